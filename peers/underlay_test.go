// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailscale/wireguard-go/conn"

	"github.com/tunrouter/tunrouter/peers"
)

// setUnderlay makes u the underlay, nil none.
func setUnderlay(t testing.TB, b *peers.Bind, u *fakeUnderlay, reopen bool) {
	t.Helper()
	var to peers.Underlay
	if u != nil {
		to = u
	}
	if got, err := peers.SetUnderlay(b, to); err != nil || got != reopen {
		t.Fatalf("SetUnderlay: reopen %t, %v; want %t", got, err, reopen)
	}
}

// past returns a Bind with one socket that is open beside an underlay of that many
// queues.
func past(t *testing.T, queues int) (*handover, *fakeUnderlay) {
	t.Helper()
	n := newFakeNet()
	b := peers.NewBindOn(&peers.Options{Sockets: 1}, n.listenAt(hostB))
	closeAtEnd(t, b)
	u := newFakeUnderlay(t, n, hostB, queues)
	setUnderlay(t, b, u, false)
	h := &handover{t: t, net: n, bind: b}
	h.fns = h.open(wgPort, 1+queues)
	h.fakeGroup = n.groups[netip.AddrPortFrom(hostB, wgPort)]
	return h, u
}

// wantTold wants that the underlay was told that since the last time, in that order.
func (u *fakeUnderlay) wantTold(want ...string) {
	u.t.Helper()
	if got := u.took(); !slices.Equal(got, want) {
		u.t.Errorf("it was told %v, want %v", got, want)
	}
}

func (u *fakeUnderlay) wantState(port uint16, mark uint32, beside int) {
	u.t.Helper()
	if p, m, n := u.state(); p != port || m != mark || n != beside {
		u.t.Errorf("port %d, mark %d, %d sockets beside; want %d, %d, %d", p, m, n, port, mark, beside)
	}
}

// It listens as long as the kernel's sockets are open, and each queue is read.
func TestUnderlayOpensAndCloses(t *testing.T) {
	h, u := past(t, 3)
	u.wantTold("beside", "listen")
	for range 3 {
		u.wantState(wgPort, 0, 1)
		h.inject()
		if len(h.members[0].in) != 0 {
			t.Fatal("the kernel's socket got it")
		}
		h.wantRead([]conn.ReceiveFunc{h.fns[1], h.fns[2], h.fns[3]})
		ended := make(chan error)
		go func() {
			_, err := h.read(h.fns[2])
			ended <- err
		}()
		h.close()
		if err := <-ended; err == nil {
			t.Error("it was read after Close")
		}
		u.wantTold("silent", "alone")
		for _, recv := range h.fns {
			h.wantEnded(recv)
		}
		h.wantSockets(0)
		h.fns = h.open(wgPort, 4)
		h.fakeGroup = h.net.groups[netip.AddrPortFrom(hostB, wgPort)]
		u.wantTold("beside", "listen")
	}
	// A receive function has the name that the device shows.
	if name := h.fns[1].PrettyName(); !strings.Contains(strings.ToLower(name), "xdp") {
		t.Errorf("a receive function is called %s", name)
	}
}

// What arrives while nobody receives waits in its queue as in a socket.
func TestUnderlayIsHandedOver(t *testing.T) {
	h, u := past(t, 3)
	h.resize(2, true)
	u.wantState(wgPort, 0, 2)
	u.took()
	ended := make(chan error)
	go func() {
		_, err := h.read(h.fns[1])
		ended <- err
	}()
	h.close()
	if err := <-ended; err == nil {
		t.Error("it was read after Close")
	}
	h.inject()
	for _, recv := range h.fns {
		h.wantEnded(recv)
	}
	h.wantSockets(2)
	fns := h.open(wgPort, 5)
	h.wantRead(fns[2:])
	for _, recv := range h.fns {
		h.wantEnded(recv)
	}
	u.wantTold("beside", "listen")
	h.resize(1, false)
	u.wantState(wgPort, 0, 1)
	h.close()
	u.wantTold("beside", "silent", "alone")
}

// Set while open, it sends at once and receives when it has receive functions. What
// the one before has received is read by the functions that it has, which end.
func TestSetUnderlayWhileOpen(t *testing.T) {
	n := newFakeNet()
	b, fns, g := openGroup(t, n, 1)
	d := newDriver(t, b, fns, nil)
	all := manyPeers(b, 6)
	if err := b.SetMark(42); err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(hostB, wgPort)
	flood := func() {
		for i := range uint16(300) {
			n.inject(datagram{from: netip.AddrPortFrom(atA.Addr(), 1000+i), to: to, data: transport(1, 32)[0][headroom:]})
		}
	}
	one, two := newFakeUnderlay(t, n, hostB, 2), newFakeUnderlay(t, n, hostB, 3)
	setUnderlay(t, b, nil, false)
	setUnderlay(t, b, one, true)
	one.wantState(0, 42, 1)
	one.wantTold("beside")
	if got := one.sentPast(sentBy(t, n, b, all)); !slices.Equal(got, []int{0, 1, 0, 1, 0, 1}) {
		t.Errorf("peers are sent to through the queues %v", got)
	}
	flood() // the kernel's socket gets it
	d.wait(300)
	setUnderlay(t, b, one, true) // still
	if got := d.update(wgPort); got != 3 {
		t.Fatalf("%d receive functions, want 3", got)
	}
	one.wantState(wgPort, 42, 1)
	setUnderlay(t, b, one, false)
	flood()
	setUnderlay(t, b, two, true)
	d.wait(600)
	one.wantState(0, 42, 0)
	two.wantState(0, 42, 1)
	flood()
	d.wait(900)
	if got := d.update(wgPort); got != 4 {
		t.Fatalf("%d receive functions, want 4", got)
	}
	flood()
	setUnderlay(t, b, nil, false)
	d.wait(1200)
	two.wantState(0, 42, 0)
	for _, by := range sentBy(t, n, b, all) {
		if by != g.members[0] {
			t.Error("sent by an underlay that was removed")
		}
	}
	// The same again, whose queues have seen a deadline.
	setUnderlay(t, b, two, true)
	if got := d.update(wgPort); got != 4 {
		t.Fatalf("%d receive functions, want 4", got)
	}
	flood()
	d.wait(1500)
	if s := b.Stats(); s.RxErrors != 0 {
		t.Errorf("%d reads failed", s.RxErrors)
	}
}

// The Open that is awaited does the rest, whatever became of the underlay meanwhile.
func TestSetUnderlayDuringHandover(t *testing.T) {
	h := promised(t)
	h.close()
	u := newFakeUnderlay(t, h.net, hostB, 2)
	setUnderlay(t, h.bind, u, false)
	u.wantState(0, 0, 3)
	fns := h.open(wgPort, 5)
	u.wantState(wgPort, 0, 3)
	h.resize(4, true)
	h.close()
	setUnderlay(t, h.bind, nil, false)
	u.wantState(0, 0, 0)
	for _, recv := range fns {
		h.wantEnded(recv)
	}
	h.open(wgPort, 4)
	h.close()
	h.wantSockets(0)
}

// Nobody opens the Bind for an underlay that was set.
func TestUnderlayThatNobodyOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet()
		b, _, _ := openGroup(t, n, 1)
		u := newFakeUnderlay(t, n, hostB, 1)
		setUnderlay(t, b, u, true)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		u.wantState(0, 0, 1)
		time.Sleep(peers.HandoverTimeout + time.Second)
		u.wantState(0, 0, 0)
		if n.sockets() != 0 {
			t.Errorf("%d sockets are open", n.sockets())
		}
	})
}

// The mark is that of the sockets, which the device sets anew when it opens them.
func TestUnderlayHasTheMark(t *testing.T) {
	h, u := past(t, 1)
	if err := h.bind.SetMark(7); err != nil {
		t.Fatal(err)
	}
	u.wantState(wgPort, 7, 1)
	h.resize(2, true)
	h.close()
	h.open(wgPort, 3)
	u.wantState(wgPort, 7, 2)
	h.close()
	h.open(wgPort, 3)
	u.wantState(wgPort, 0, 2)
}

// Queues are listed apart, and what they dropped as the Bind's stays in the totals.
func TestUnderlayIsCounted(t *testing.T) {
	h, u := past(t, 2)
	drop := func(n uint64) { u.conns[1].drop(n) }
	want := func(what string, n uint64) {
		t.Helper()
		if d := h.bind.Stats().Totals.Dropped; d["not_ours"] != n || d["overflow"] != n {
			t.Errorf("%s: totals %v, want %d of each", what, d, n)
		}
	}
	drop(3)
	want("open", 3)
	s := h.bind.Stats()
	if len(s.Sockets) != 1 || len(s.Groups) != 1 || len(s.Underlay) != 2 {
		t.Fatalf("%d sockets in %d groups, %d queues; want 1, 1, 2", len(s.Sockets), len(s.Groups), len(s.Underlay))
	}
	if q := s.Underlay[1]; q.Network != "xdp" || q.Index != 1 || q.Rx.Overflow != 3 {
		t.Errorf("the second queue is %+v", q)
	}
	h.close()
	want("closed", 3)
	if n := len(h.bind.Stats().Underlay); n != 0 {
		t.Errorf("%d queues while closed", n)
	}
	h.open(wgPort, 3)
	drop(1)
	want("open again", 4)
	setUnderlay(t, h.bind, nil, false)
	want("removed", 4)
	drop(10) // of somebody else
	want("not ours", 4)
	setUnderlay(t, h.bind, u, true)
	want("again", 4)
	drop(2)
	want("again ours", 6)
	setUnderlay(t, h.bind, newFakeUnderlay(t, h.net, hostB, 1), true)
	want("replaced", 6)
}
