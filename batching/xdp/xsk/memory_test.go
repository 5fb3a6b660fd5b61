// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"errors"
	"math"
	"net"
	"testing"
)

// newSims returns a memory of the given queues and a sim for each.
func newSims(t *testing.T, queues, rxFrames, txFrames int) (*Memory, []*sim, *int) {
	t.Helper()
	o := MemoryOptions{Queues: queues, RxFrames: rxFrames, TxFrames: txFrames, FrameSize: 64}
	gone := new(int)
	m := newMemory(make([]byte, o.size()), o, func([]byte) error { *gone++; return nil })
	sims := make([]*sim, queues)
	for q := range sims {
		p, err := m.take(7, q)
		if err != nil {
			t.Fatal(err)
		}
		sims[q] = &sim{}
		sims[q].attach(p)
	}
	return m, sims, gone
}

// Sockets of one memory have frames of their own: no two share one, all of it is
// used, a frame of another socket is refused, and a descriptor that names another
// socket's frame is counted and lends nothing.
func TestMemoryParts(t *testing.T) {
	m, sims, _ := newSims(t, 3, 2, 3)
	seen := make(map[uint64]bool)
	note := func(addr uint64) {
		if seen[addr] || addr%64 != 0 || addr >= uint64(len(m.data)) {
			t.Errorf("frame at %d handed out twice, or is none", addr)
		}
		seen[addr] = true
	}
	for q, s := range sims {
		rx, tx := make([]Frame, 2), make([]Frame, 3)
		for i := range s.kFill.ready(2) {
			note(s.kFill.get(i))
		}
		s.deliver(uint64(100*q), 2)
		if n := s.rx.receive(rx); n != 2 {
			t.Fatalf("queue %d: %d frames received", q, n)
		}
		if n := s.tx.alloc(tx); n != 3 {
			t.Fatalf("queue %d: %d frames to send", q, n)
		}
		for i := range tx {
			note(uint64(tx[i].index) * 64)
		}
		other := sims[(q+1)%3]
		if n, err := other.rx.release(rx); n != 0 || !errors.Is(err, ErrFrame) {
			t.Errorf("frame of queue %d released by another: %d, %v", q, n, err)
		}
		if n, err := other.tx.transmit(tx); n != 0 || !errors.Is(err, ErrFrame) {
			t.Errorf("frame of queue %d sent by another: %d, %v", q, n, err)
		}
		if n, err := other.tx.release(tx); n != 0 || !errors.Is(err, ErrFrame) {
			t.Errorf("frame of queue %d freed by another: %d, %v", q, n, err)
		}
		if n, err := s.rx.release(rx); n != 2 || err != nil {
			t.Errorf("released: %d, %v", n, err)
		}
	}
	if len(seen) != 15 {
		t.Errorf("%d frames used, want 15", len(seen))
	}
	s := sims[1]
	s.kRx.put(0, desc{addr: 0, len: 8})
	s.kRx.publish(1)
	s.kDone.put(0, uint64(len(m.data)-64))
	s.kDone.publish(1)
	if n, done := s.rx.receive(make([]Frame, 1)), s.tx.complete(); n != 0 || done != 0 || s.c.rxBad.Load() != 1 || s.c.txBad.Load() != 1 {
		t.Errorf("frames of other queues from the kernel: %d received, %d sent, %+v", n, done, s.c.stats())
	}
}

// The memory goes once, with the last of itself, its sockets and borrowed frames,
// whatever the order.
func TestMemoryGoesLast(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}} {
		m, sims, gone := newSims(t, 2, 2, 2)
		frames := make([]Frame, 1)
		sims[1].deliver(0, 1)
		if sims[1].rx.receive(frames) != 1 {
			t.Fatal("no frame")
		}
		for i, what := range order {
			if *gone != 0 {
				t.Fatalf("%v: unmapped after %d", order, i)
			}
			var err error
			switch what {
			case 0, 1:
				sims[what].rx.closed = true
				err = sims[what].part.letGo(1)
			case 2:
				err = errors.Join(m.Close(), m.Close())
			case 3:
				var n int
				n, err = sims[1].rx.release(frames)
				err = errors.Join(err, sims[1].part.letGo(int64(n)))
			}
			if err != nil {
				t.Error(err)
			}
		}
		if *gone != 1 {
			t.Errorf("%v: unmapped %d times", order, *gone)
		}
	}
}

// Who gets a part: a queue its own again when that is free, nobody another's that the
// kernel has had.
func TestMemoryTake(t *testing.T) {
	m, sims, _ := newSims(t, 2, 1, 1)
	refused := func(what string, ifindex, queue int) {
		t.Helper()
		if p, err := m.take(ifindex, queue); !errors.Is(err, ErrMemory) {
			t.Errorf("%s: got %v, %v, want ErrMemory", what, p, err)
		}
	}
	refused("queue that has a socket", 7, 0)
	refused("one queue too many", 7, 2)
	m.join(nil, sims[0].part, 7)
	frames := make([]Frame, 1)
	sims[0].deliver(0, 1)
	if sims[0].rx.receive(frames) != 1 || sims[0].part.letGo(1) != nil {
		t.Fatal("no frame")
	}
	refused("queue with a borrowed frame", 7, 0)
	if n, err := sims[0].rx.release(frames); n != 1 || err != nil || sims[0].part.letGo(1) != nil {
		t.Fatal(n, err)
	}
	refused("free part of another queue", 7, 2)
	refused("another interface", 8, 0)
	if p, err := m.take(7, 0); err != nil || p != sims[0].part {
		t.Errorf("queue 0 again: %v, %v", p, err)
	}
	// A part that no socket was bound with is free for any queue.
	if err := sims[1].part.letGo(1); err != nil {
		t.Fatal(err)
	}
	if p, err := m.take(7, 5); err != nil || p != sims[1].part {
		t.Errorf("queue 5 instead of 1: %v, %v", p, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.take(7, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed memory: %v", err)
	}
}

func TestMemoryOptions(t *testing.T) {
	got, err := (*MemoryOptions)(nil).withDefaults()
	want := MemoryOptions{Queues: 1, RxFrames: 2048, TxFrames: 2048, FrameSize: 2048}
	if got != want || err != nil || got.size() != 8<<20 {
		t.Errorf("nil: got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []MemoryOptions{
		{Queues: -1}, {Queues: 257}, {RxFrames: -1}, {TxFrames: 1<<20 + 1}, {FrameSize: 100}, {Queues: 3, RxFrames: 1 << 20},
	} {
		if got, err := bad.withDefaults(); err == nil {
			t.Errorf("%+v: accepted as %+v", bad, got)
		}
	}
	if _, err := (&MemoryOptions{RxFrames: 1 << 20, TxFrames: 1 << 20, FrameSize: 4096}).withDefaults(); (err == nil) != (math.MaxInt > 1<<33) {
		t.Errorf("8 GiB: %v", err)
	}
	m := newMemory(nil, MemoryOptions{Queues: 4, RxFrames: 8, TxFrames: 4, FrameSize: 4096}, nil)
	for _, o := range []Options{{Memory: m}, {Memory: m, RxFrames: 8, TxFrames: 4, FrameSize: 4096}} {
		if got, err := o.withDefaults(); err != nil || got != (Options{Memory: m, RxFrames: 8, TxFrames: 4, FrameSize: 4096}) {
			t.Errorf("%+v: got %+v, %v", o, got, err)
		}
	}
	for _, o := range []Options{{Memory: m, RxFrames: 4}, {Memory: m, TxFrames: 8}, {Memory: m, FrameSize: 2048}} {
		if got, err := o.withDefaults(); err == nil {
			t.Errorf("%+v: accepted as %+v", o, got)
		}
	}
}

// A socket that joins gets the mode of the first one, or an error.
func TestModeAllows(t *testing.T) {
	for m, want := range map[Mode][2]bool{ModeAuto: {true, true}, ModeZeroCopy: {false, true}, ModeCopy: {true, false}} {
		if got := [2]bool{m.allows(false), m.allows(true)}; got != want {
			t.Errorf("%v: got %v, want %v", m, got, want)
		}
	}
}

// A packet that was dropped is too long or had no frame.
func TestTooLong(t *testing.T) {
	for _, tt := range []struct {
		k        Kernel
		zeroCopy bool
		want     uint64
	}{
		{Kernel{}, false, 0},
		{Kernel{RxDropped: 5, RxFillEmpty: 3}, false, 2},
		{Kernel{RxDropped: 5, RxFillEmpty: 6, RxRingFull: 9}, false, 0}, // read in between
		{Kernel{RxDropped: 5, RxFillEmpty: 3000}, true, 5},
	} {
		if got := tt.k.tooLong(tt.zeroCopy); got != tt.want {
			t.Errorf("%+v, zero-copy %v: got %d, want %d", tt.k, tt.zeroCopy, got, tt.want)
		}
		if s := (Stats{Kernel: tt.k}); s.Dropped() != tt.k.RxDropped+tt.k.RxRingFull {
			t.Errorf("%+v: %d dropped", tt.k, s.Dropped())
		}
	}
}
