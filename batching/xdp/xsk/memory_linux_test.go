// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/link"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

const queues = 4

// Four queues on one memory at each end: all of them carry packets at the same
// time, each to its own socket; sockets go in any order, the one that registered the
// memory first or last, and come back while the others carry on, also when none of
// them was left.
func TestSharedMemory(t *testing.T) {
	for name, flags := range map[string]link.XDPAttachFlags{"native": link.XDPDriverMode, "generic": link.XDPGenericMode} {
		t.Run(name, func(t *testing.T) {
			testutil.LeakCheck(t)
			l := newPair(t, queues+1)
			shift := 0
			if flags == link.XDPGenericMode {
				shift = 1
			}
			var mem [2]*xsk.Memory
			for i := range mem {
				mem[i] = newMemory(t, &xsk.MemoryOptions{Queues: queues, RxFrames: 16, TxFrames: 16})
			}
			tx, rx := make([]*xsk.Socket, queues), make([]*xsk.Socket, queues)
			reopen := func(q int) {
				l.ns.Run(func() {
					tx[q] = open(t, l.near, &xsk.Options{Queue: q + shift, Memory: mem[0]})
					rx[q] = open(t, l.far, &xsk.Options{Queue: q, Memory: mem[1]})
				})
				deadline(t, tx[q], rx[q])
			}
			for q := range queues {
				reopen(q)
			}
			var put func(q int)
			l.ns.Run(func() {
				sockets := redirect(t, l.far, flags, rx...)
				put = func(q int) {
					if err := sockets.Put(uint32(q), uint32(rx[q].FD())); err != nil {
						t.Fatal(err)
					}
				}
			})
			seq := 0
			traffic := func(on ...int) {
				t.Helper()
				seq += 1000
				var wg sync.WaitGroup
				for _, q := range on {
					wg.Go(func() { exchange(t, tx[q], rx[q], seq+100*q) })
				}
				wg.Wait()
			}
			traffic(0, 1, 2, 3)
			// The one that registered goes and comes back among the others.
			if err := errors.Join(tx[0].Close(), rx[0].Close()); err != nil {
				t.Fatal(err)
			}
			reopen(0)
			put(0)
			if xsk.Registered(rx[0]) {
				t.Error("memory registered again while others used it")
			}
			traffic(0, 1, 2, 3)
			rnd := rand.New(rand.NewPCG(7, 8))
			for range 3 {
				order := rnd.Perm(queues)
				for i, q := range order {
					if err := errors.Join(tx[q].Close(), rx[q].Close()); err != nil {
						t.Fatal(err)
					}
					traffic(order[i+1:]...)
				}
				for i, q := range rnd.Perm(queues) {
					reopen(q)
					put(q)
					if xsk.Registered(rx[q]) != (i == 0) {
						t.Errorf("socket %d registered memory: %v", i, xsk.Registered(rx[q]))
					}
					if i == queues-1 {
						traffic(0, 1, 2, 3)
					}
				}
			}
		})
	}
}

// exchange sends 60 packets in batches that fit the frames, and expects them.
func exchange(t *testing.T, tx, rx *xsk.Socket, seq int) {
	t.Helper()
	frames := make([]xsk.Frame, 12)
	for at := seq; at < seq+60; at += len(frames) {
		var bufs [][]byte
		for i := range frames {
			bufs = append(bufs, packet(at+i, 60+(at+i)%1400))
		}
		for sent := 0; sent < len(bufs); {
			n, err := tx.BatchWrite(bufs[sent:], 0)
			if err == nil && n == 0 {
				err = tx.WaitWrite()
			}
			if err != nil {
				t.Errorf("packet %d: %v", at, err)
				return
			}
			sent += n
		}
		for got := 0; got < len(bufs); {
			n, err := rx.BatchRead(frames)
			if err != nil {
				t.Errorf("packet %d: %v, %+v", at, err, rx.Stats())
				return
			}
			for i, f := range frames[:n] {
				if got+i >= len(bufs) || !bytes.Equal(f.Data, bufs[got+i]) {
					t.Errorf("packet %d: got %d bytes %x…", at+got+i, len(f.Data), f.Data[:18])
				}
			}
			if err := rx.Release(frames[:n]); err != nil {
				t.Error(err)
			}
			got += n
		}
	}
}

func newMemory(t *testing.T, o *xsk.MemoryOptions) *xsk.Memory {
	t.Helper()
	m, err := xsk.NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// One registration, one mapping: the frames of all queues lie in it, the frame of
// another socket is refused, and the mapping goes with the last user, here a frame.
func TestSharedMemoryIsOne(t *testing.T) {
	testutil.LeakCheck(t)
	before := ringMappings(t)
	l := newPair(t, queues)
	m := newMemory(t, &xsk.MemoryOptions{Queues: queues, RxFrames: 1024, TxFrames: 1024})
	s := make([]*xsk.Socket, queues)
	frames := make([][]xsk.Frame, queues)
	first, last := ^uintptr(0), uintptr(0)
	for q := range s {
		l.ns.Run(func() { s[q] = open(t, l.near, &xsk.Options{Queue: q, Memory: m, Mode: xsk.ModeCopy}) })
		frames[q] = make([]xsk.Frame, 1024)
		if n, err := s[q].Alloc(frames[q]); n != 1024 || err != nil {
			t.Fatal(n, err)
		}
		if xsk.Registered(s[q]) != (q == 0) {
			t.Errorf("queue %d registered memory: %v", q, xsk.Registered(s[q]))
		}
		for i := range frames[q] {
			at := uintptr(unsafe.Pointer(&frames[q][i].Data[0]))
			first, last = min(first, at), max(last, at)
		}
		if err := s[0].Free(frames[q][:1]); (err == nil) != (q == 0) {
			t.Errorf("frame of queue %d freed by 0: %v", q, err)
		}
	}
	const part = 2048 * 2048 // bytes
	if last-first != (queues-1)*part+1023*2048 {
		t.Errorf("frames over %d bytes", last-first)
	}
	l.ns.Run(func() {
		for what, o := range map[string]*xsk.Options{
			"queue that has a socket": {Queue: 1, Memory: m},
			"one queue too many":      {Queue: queues, Memory: m},
		} {
			if _, err := xsk.Open(l.near.Attrs().Index, o); !errors.Is(err, xsk.ErrMemory) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		if _, err := xsk.Open(l.far.Attrs().Index, &xsk.Options{Memory: m}); !errors.Is(err, xsk.ErrMemory) {
			t.Errorf("another interface: got %v", err)
		}
	})
	closing := []error{m.Close()}
	for _, s := range s {
		closing = append(closing, s.Close())
	}
	if err := errors.Join(closing...); err != nil {
		t.Fatal(err)
	}
	if got := ringMappings(t); got != before {
		t.Errorf("%d rings mapped after Close, want %d", got, before)
	}
	l.ns.Run(func() {
		if _, err := xsk.Open(l.near.Attrs().Index, &xsk.Options{Memory: m}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed memory: got %v", err)
		}
	})
	frames[0] = frames[0][1:] // freed above
	for q := range s {
		if !isMapped(t, first) {
			t.Fatalf("memory gone before the frames of queue %d", q)
		}
		frames[q][0].Data[0]++ // still there
		if err := s[q].Free(frames[q]); err != nil {
			t.Error(err)
		}
	}
	// Something else, if anything, is there now; not the whole of it is.
	if isMapped(t, first) && isMapped(t, first+queues*part-part) {
		t.Error("memory still mapped")
	}
}

// isMapped reports whether the process has memory at the address.
func isMapped(t *testing.T, addr uintptr) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err != nil {
			t.Fatal(err)
		}
		if from <= addr && addr < to {
			return true
		}
	}
	return false
}

// What failed to open leaves nothing, and the part to others: a queue that the
// interface does not have, zero-copy where the first socket copies, an interface
// that is gone.
func TestSharedMemoryErrors(t *testing.T) {
	testutil.LeakCheck(t)
	l := newPair(t, 2)
	before := ringMappings(t)
	m := newMemory(t, &xsk.MemoryOptions{Queues: 2, RxFrames: 8, TxFrames: 8})
	index := l.near.Attrs().Index
	refused := func(what string, index int, o *xsk.Options, want error) {
		t.Helper()
		o.Memory = m
		l.ns.Run(func() {
			if _, err := xsk.Open(index, o); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", what, err, want)
			}
		})
	}
	refused("no interface", 1<<20, &xsk.Options{}, unix.ENODEV)
	refused("no queue, alone", index, &xsk.Options{Queue: 9}, unix.EINVAL)
	refused("zero-copy, alone", index, &xsk.Options{Mode: xsk.ModeZeroCopy}, unix.EOPNOTSUPP)
	var s *xsk.Socket
	l.ns.Run(func() { s = open(t, l.near, &xsk.Options{Queue: 1, Memory: m}) })
	refused("no queue", index, &xsk.Options{Queue: 9}, unix.EINVAL)
	refused("zero-copy", index, &xsk.Options{Mode: xsk.ModeZeroCopy}, unix.EOPNOTSUPP)
	var taken *xsk.Socket // by memory of its own
	l.ns.Run(func() { taken = open(t, l.near, &xsk.Options{RxFrames: 8, TxFrames: 8}) })
	refused("taken", index, &xsk.Options{}, unix.EBUSY)
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	l.ns.Run(func() { open(t, l.near, &xsk.Options{Memory: m}) })
	if got := ringMappings(t); got != before+8 {
		t.Errorf("%d rings mapped, want 8 more than %d", got, before)
	}
	if s.ZeroCopy() {
		t.Error("a veth pair does zero-copy")
	}
}

// Sockets of one memory are opened and closed at the same time, so that each Open
// finds others that are about to close, or none.
func TestSharedMemoryConcurrently(t *testing.T) {
	testutil.LeakCheck(t)
	before := ringMappings(t)
	l := newPair(t, queues)
	m := newMemory(t, &xsk.MemoryOptions{Queues: queues, RxFrames: 8, TxFrames: 8})
	var wg sync.WaitGroup
	for q := range queues {
		wg.Go(func() {
			for range 5 {
				err := l.ns.Do(func() error {
					s, err := xsk.Open(l.near.Attrs().Index, &xsk.Options{Queue: q, Memory: m})
					if err != nil {
						return err
					}
					_, err = s.BatchWrite([][]byte{packet(q, 60)}, 0)
					return errors.Join(err, s.Close())
				})
				if err != nil {
					t.Errorf("queue %d: %v", q, err)
				}
			}
		})
	}
	wg.Wait()
	if got := ringMappings(t); got != before {
		t.Errorf("%d rings mapped, want %d", got, before)
	}
}
