// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"bytes"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A depot is an outbox in front of a post.
type depot struct {
	*world
	post
	out outbox
}

func newDepot(w *world) *depot {
	d := &depot{world: w}
	d.out.prepare(w.table, postOffice{&d.post})
	return d
}

// arrive adds the n-th frame of a flow.
func (d *depot) arrive(s letter, from netip.AddrPort, n byte) Drop {
	d.Helper()
	b := withHeader(d, vniOf(s), geneve.ProtocolWireGuard, false, []byte{n, from.Addr().As4()[3]})
	return d.out.add(d.now, vniOf(s), from, b)
}

func TestFlowsLeaveWithOneCall(t *testing.T) {
	w := newWorld(t, 4, TableOptions{})
	a, b, c := w.people[0], w.people[1], w.people[2]
	ab, ac := w.session(a, b), w.session(a, c)
	d := newDepot(w)
	for i := range byte(40) { // interleaved, and two of them from one address
		for _, drop := range []Drop{d.arrive(ab, a.addr, i), d.arrive(ab, b.addr, i), d.arrive(ac, a.addr, i)} {
			if drop != DropNone {
				t.Fatal(drop)
			}
		}
		if drop := d.arrive(ac, b.addr, i); drop != DropNotLeg {
			t.Fatalf("drop %v, want %v", drop, DropNotLeg)
		}
	}
	d.out.flush(w.now)
	if !slices.Equal(d.calls, []int{40, 40, 40}) {
		t.Errorf("calls of %v frames, want 3 of 40", d.calls)
	}
	for i, to := range []netip.AddrPort{b.addr, a.addr, c.addr} {
		for j := range 40 {
			if k := 40*i + j; d.to[k] != to || d.frames[k][8] != byte(j) {
				t.Errorf("frame %d is the %dth to %v, want the %dth to %v", k, d.frames[k][8], d.to[k], j, to)
			}
		}
	}
	if n := d.out.frames.Load(); n != 120 {
		t.Errorf("%d frames counted, want 120", n)
	}
	for _, s := range w.table.Sessions() {
		if s.VNI == ab.VNI && (s.Legs[0].Frames != 40 || s.Legs[1].Frames != 40 || s.Legs[0].Bytes != 400) {
			t.Errorf("legs %+v", s.Legs)
		}
	}
	d.calls = nil
	if d.out.flush(w.now); len(d.calls) != 0 {
		t.Errorf("flushed again: %v", d.calls)
	}
}

func TestMoreFlowsThanGathered(t *testing.T) {
	const n = maxFlows + 3
	w := newWorld(t, n+1, TableOptions{})
	d := newDepot(w)
	var sessions []letter
	for _, p := range w.people[1:] {
		sessions = append(sessions, w.session(w.people[0], p))
	}
	for i := range byte(10) {
		for j, s := range sessions {
			d.arrive(s, w.people[j+1].addr, i)
		}
	}
	d.out.flush(w.now)
	next := make(map[byte]byte)
	for _, f := range d.frames {
		if who := f[9]; f[8] != next[who] {
			t.Fatalf("frame %d of leg %d, want frame %d", f[8], who, next[who])
		}
		next[f[9]]++
	}
	if len(d.frames) != 10*n || len(next) != n {
		t.Errorf("%d frames of %d legs, want %d of %d", len(d.frames), len(next), 10*n, n)
	}
}

func TestRateOfOneClient(t *testing.T) {
	const rate = 1 << 20
	w := newWorld(t, 3, TableOptions{MaxRate: rate})
	a, b, c := w.people[0], w.people[1], w.people[2]
	ab, ac := w.session(a, b), w.session(a, c)
	d := newDepot(w)
	big := make([]byte, 1024-geneve.HeaderLen)
	for range 10 { // both sessions share what a may send
		for _, s := range []letter{ab, ac} {
			for range 64 {
				d.out.add(w.now, vniOf(s), a.addr, withHeader(t, vniOf(s), geneve.ProtocolWireGuard, false, big))
			}
			d.out.flush(w.now)
		}
	}
	if n := d.out.bytes.Load(); n != rate/4 {
		t.Errorf("%d bytes at once, want %d", n, rate/4)
	}
	if n := w.drops()[DropRate.String()]; n != 10*2*64-rate/4/1024 {
		t.Errorf("%d dropped, want %d", n, 10*2*64-rate/4/1024)
	}
	if d.arrive(ab, b.addr, 1); d.out.n != 1 {
		t.Fatal("not taken")
	}
	if d.out.flush(w.now); d.out.bytes.Load() != rate/4+10 {
		t.Error("the limit of one client concerns another")
	}
	w.now = w.now.Add(100 * time.Millisecond)
	for range 200 {
		d.out.add(w.now, vniOf(ab), a.addr, withHeader(t, vniOf(ab), geneve.ProtocolWireGuard, false, big))
	}
	d.out.flush(w.now)
	if n := d.out.bytes.Load() - rate/4 - 10; n < rate/10-1024 || n > rate/10 {
		t.Errorf("%d bytes in 100 ms, want %d", n, rate/10)
	}
}

// A stubborn writer takes some packets, and none from a chosen source.
type stubborn struct {
	post
	err  error
	take int
}

func (s *stubborn) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	if s.err != syscall.EMSGSIZE && !dst.Local().IsValid() {
		return s.post.WriteBatch(bufs, offset, dst, vni)
	}
	n, _ := s.post.WriteBatch(bufs[:min(s.take, len(bufs))], offset, dst, vni)
	return n, &batching.SendError{Op: "sendmmsg", Remote: dst.Remote(), Err: s.err}
}

func TestRefusedSource(t *testing.T) {
	for _, tt := range []struct {
		err      error
		released bool
	}{{syscall.EINVAL, true}, {syscall.EADDRNOTAVAIL, true}, {syscall.ENETUNREACH, true}, {syscall.EPERM, false}, {syscall.EMSGSIZE, false}} {
		w := newWorld(t, 2, TableOptions{})
		a, b := w.people[0], w.people[1]
		s := w.session(a, b)
		local := netip.MustParseAddr("192.0.2.9")
		found := w.table.slots.get(vniOf(s))
		found.at[1].Store((&source{remote: b.addr, local: local}).place())

		writer := &stubborn{err: tt.err, take: 2}
		var out outbox
		out.prepare(w.table, postOffice{writer})
		for i := range byte(5) {
			out.add(w.now, vniOf(s), a.addr, withHeader(t, vniOf(s), geneve.ProtocolWireGuard, false, []byte{i}))
		}
		out.flush(w.now)
		var got []byte
		for _, f := range writer.frames {
			got = append(got, f[8])
		}
		want, dropped := []byte{0, 1}, uint64(3)
		if tt.released {
			want, dropped = []byte{0, 1, 2, 3, 4}, 0
		}
		if !bytes.Equal(got, want) || w.drops()[DropSend.String()] != dropped || out.frames.Load() != uint64(len(want)) {
			t.Errorf("%v: sent %v (counted %d), drops %v", tt.err, got, out.frames.Load(), w.drops())
		}
		if now := found.at[1].Load().dst.Local(); now.IsValid() == tt.released {
			t.Errorf("%v: the source is %v", tt.err, now)
		}
	}
}
