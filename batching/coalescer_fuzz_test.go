// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// Operations of FuzzCoalescer, each of 6 bytes: what, which remote, source and
// VNI, how many packets, offset, size (2).
const (
	opQueue = iota // and everything above opSleep
	opSet
	opFlush
	opSleep
	opSize = 6
)

// FuzzCoalescer queues packets, changes options, flushes and lets time pass, while
// the flush function fails now and then. Packets come out as they went in, once
// and in order for each remote; what does not is accounted for; and what is sent
// while options are in force is a run.
func FuzzCoalescer(f *testing.F) {
	seed := func(fails uint16, ops ...[opSize]byte) {
		var b []byte
		for _, op := range ops {
			b = append(b, op[:]...)
		}
		f.Add(b, fails)
	}
	one := [opSize]byte{opQueue, 0, 1, 8, 0, 200}
	seed(0, slices.Repeat([][opSize]byte{one}, 70)...)
	seed(0, one, [opSize]byte{4, 1, 3, 0, 5, 100}, one, [opSize]byte{opSleep}, one, [opSize]byte{opSet, 3, 0, 0, 1, 0}, one, one, one)
	seed(0, one, [opSize]byte{4, 0x10, 3, 9, 0, 200}, [opSize]byte{4, 0x41, 2, 20, 0, 0}, [opSize]byte{opFlush})
	seed(0b1011, one, one, [opSize]byte{4, 0, 9, 8, 0, 100}, [opSize]byte{opSleep}, one, one, [opSize]byte{opFlush}, one)
	f.Fuzz(func(t *testing.T, ops []byte, fails uint16) {
		synctest.Test(t, func(t *testing.T) { fuzzCoalescer(t, ops, fails) })
	})
}

// A ledger compares what goes in with what comes out.
type ledger struct {
	t  *testing.T
	mu sync.Mutex // held by flush: timers of several remotes run at once
	// segments and bytes are the limits in force, off says that there are none.
	segments, bytes int
	off             bool
	fails           uint16 // one bit for each call: it fails

	in, out   map[netip.AddrPort][]string // out is what was sent
	failed    bool                        // any call
	tooLong   bool                        // some call of the present operation
	delivered int
}

func (l *ledger) flush(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	header := 0
	if vni.IsSet() {
		header = geneve.HeaderLen
	}
	if len(bufs) == 0 {
		l.t.Error("nothing to send")
	}
	var packets []string
	total, first := 0, len(bufs[0])-offset
	for i, buf := range bufs {
		size := len(buf) - offset
		if !l.off && (size > first || size < first && i < len(bufs)-1) {
			l.t.Errorf("packet %d of %d has %d bytes, the first %d", i, len(bufs), size, first)
		}
		total += size + header
		packets = append(packets, string(buf[offset:]))
		scribble(buf[:offset])
	}
	if !l.off && len(bufs) > 1 && (len(bufs) > l.segments || total > l.bytes || first+header == 0) {
		l.t.Errorf("run of %d packets and %d bytes, first %d, limits %d and %d", len(bufs), total, first, l.segments, l.bytes)
	}
	n, err := len(packets), error(nil)
	fails := l.fails&1 != 0
	l.fails = l.fails>>1 | l.fails<<15
	if fails {
		l.failed = true
		n, err = len(packets)/2, syscall.ENETUNREACH
		if l.fails&2 != 0 {
			l.tooLong, err = true, syscall.EMSGSIZE // all but the last ones
			packets = packets[len(packets)-n:]
		}
	}
	l.out[dst.Remote()] = append(l.out[dst.Remote()], packets[:n]...)
	l.delivered += n
	return n, err
}

func fuzzCoalescer(t *testing.T, ops []byte, fails uint16) {
	l := &ledger{t: t, segments: 64, bytes: 2000, fails: fails,
		in: make(map[netip.AddrPort][]string), out: make(map[netip.AddrPort][]string)}
	q := batching.NewCoalescer(l.flush, l.segments, l.bytes, time.Millisecond)
	var (
		src          source
		taken, extra int // by the coalescer, and while it was off
	)
	for ; len(ops) >= opSize; ops = ops[opSize:] {
		arg := int(binary.BigEndian.Uint16(ops[4:]))
		switch ops[0] {
		case opSet:
			// What waits follows the old limits.
			_ = q.FlushAll()
			l.segments, l.bytes, l.off = 1+int(ops[1])%64, 1+arg, ops[2]&1 != 0
			timeout := time.Millisecond
			if l.off {
				timeout = 0
			}
			if err := q.Set(l.segments, l.bytes, timeout); err != nil {
				t.Errorf("set: %v, with nothing waiting", err)
			}
		case opFlush:
			if err := q.FlushAll(); err != nil && !l.failed {
				t.Errorf("flush: %v", err)
			}
		case opSleep:
			time.Sleep(time.Duration(arg) * time.Microsecond)
			synctest.Wait()
		default:
			local, vni := "", geneve.VNI(0)
			if ops[1]&0x10 != 0 {
				local = "192.0.2.9"
			}
			offset := int(ops[3]) % 24
			if ops[1]&0x40 != 0 {
				vni = mustVNI(t, uint32(ops[1]>>7))
				offset += headroom
			}
			dst := destination(int(ops[1]&3), local)
			sizes := slices.Repeat([]int{arg % 3000}, 1+int(ops[2])%80)
			if ops[2] >= 160 {
				sizes[len(sizes)-1] /= 2
			}
			bufs, packets := src.packets(offset, sizes...)
			l.tooLong = false
			n, err := q.Queue(bufs, offset, dst, vni)
			if n < len(bufs) && err == nil || n > len(bufs) || err != nil && !l.failed {
				t.Errorf("queue of %d: got %d, %v", len(bufs), n, err)
			}
			for _, buf := range bufs {
				scribble(buf)
			}
			if n < len(bufs) && !l.tooLong {
				packets = packets[:n] // else n does not say which
			}
			l.in[dst.Remote()] = append(l.in[dst.Remote()], packets...)
			if l.off {
				extra += n
			} else {
				taken += n
			}
		}
	}
	if err := q.Close(); err != nil && !l.failed {
		t.Errorf("close: %v", err)
	}
	s := q.Stats()
	if s.Packets != uint64(taken) || s.Waiting != 0 || s.Lost > 0 && !l.failed {
		t.Errorf("got %+v, want %d packets, none waiting", s, taken)
	}
	if l.delivered+int(s.Lost) != taken+extra {
		t.Errorf("%d packets sent and %d lost, of %d", l.delivered, s.Lost, taken+extra)
	}
	for remote, packets := range l.out {
		in := l.in[remote]
		if !l.failed && !slices.Equal(packets, in) {
			t.Errorf("%v: got %d packets, want the %d that were queued", remote, len(packets), len(in))
		}
		for i, p := range packets {
			at := slices.Index(in, p)
			if at < 0 {
				t.Fatalf("%v: packet %d of %d was not queued, or sent before", remote, i, len(packets))
			}
			in = in[at+1:]
		}
	}
}
