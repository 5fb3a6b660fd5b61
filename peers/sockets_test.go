// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/peers"
)

// openGroup returns a Bind with that many sockets, open on the fake network, its
// receive functions and its group.
func openGroup(t testing.TB, n *fakeNet, sockets int) (*peers.Bind, []conn.ReceiveFunc, *fakeGroup) {
	t.Helper()
	b := peers.NewBindOn(&peers.Options{Sockets: sockets}, n.listenAt(hostB))
	fns, _, err := b.Open(wgPort)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, b)
	return b, fns, n.groups[netip.AddrPortFrom(hostB, wgPort)]
}

// closeAtEnd closes b for good when the test ends.
func closeAtEnd(t testing.TB, b *peers.Bind) {
	t.Cleanup(func() {
		for range 2 { // the first one may be taken for a handover
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// manyPeers adds n peers, all at the same place.
func manyPeers(b *peers.Bind, n int) []*peers.Endpoint {
	out := make([]*peers.Endpoint, n)
	for i := range out {
		out[i] = b.Add(peers.Key{1, byte(i)})
		out[i].SetAddr(atA)
	}
	return out
}

// sentBy sends once to each peer and returns which socket did it.
func sentBy(t *testing.T, n *fakeNet, b *peers.Bind, to []*peers.Endpoint) []*fakeSocket {
	t.Helper()
	before := len(n.log())
	for _, e := range to {
		if err := b.Send(transport(1, 64), e, headroom); err != nil {
			t.Fatal(err)
		}
	}
	log := n.log()[before:]
	if len(log) != len(to) {
		t.Fatalf("%d messages left, want %d", len(log), len(to))
	}
	out := make([]*fakeSocket, len(log))
	for i, d := range log {
		out[i] = d.by
	}
	return out
}

func TestPeerStaysOnItsSocket(t *testing.T) {
	n := newFakeNet()
	b, _, g := openGroup(t, n, 3)
	all := manyPeers(b, 30)
	for _, sockets := range []int{3, 2, 5, 1} {
		if _, err := b.Reconfigure(batching.Options{}, sockets); err != nil {
			t.Fatal(err)
		}
		first := sentBy(t, n, b, all)
		for range 20 {
			for i, s := range sentBy(t, n, b, all) {
				if s != first[i] {
					t.Fatalf("with %d sockets: peer %d changed its socket", sockets, i)
				}
			}
		}
		uses := make(map[*fakeSocket]int)
		for _, s := range first {
			uses[s]++
		}
		for i, s := range g.members {
			if want := len(all) / sockets; uses[s] != want {
				t.Errorf("socket %d of %d has %d peers, want %d", i, sockets, uses[s], want)
			}
		}
	}
}

// A peer that was removed and added again leaves no gap in the spread.
func TestPeersAreSpreadInTurn(t *testing.T) {
	n := newFakeNet()
	b, _, g := openGroup(t, n, 2)
	for range 3 {
		e := b.Add(keyA)
		e.SetAddr(atA)
		if b.Add(keyA) != e {
			t.Fatal("a peer was made twice")
		}
		sentBy(t, n, b, []*peers.Endpoint{e})
		b.Remove(keyA)
	}
	if a, c := g.members[0].queued.Load(), g.members[1].queued.Load(); a != 2 || c != 1 {
		t.Errorf("sockets were used %d and %d times, want 2 and 1", a, c)
	}
}

// Cookie replies go to addresses that anybody can forge.
func TestCookieRepliesAreNotHeldBack(t *testing.T) {
	n := newFakeNet()
	b, _, g := openGroup(t, n, 2)
	reply := make([]byte, headroom+device.MessageCookieReplySize)
	reply[headroom] = device.MessageCookieReplyType
	if err := b.Send([][]byte{reply}, initiationEndpoint(b, evil), headroom); err != nil {
		t.Fatal(err)
	}
	direct, queued := int64(0), int64(0)
	for _, s := range g.members {
		direct += s.direct.Load()
		queued += s.queued.Load()
	}
	if direct != 1 || queued != 0 {
		t.Errorf("%d sent at once, %d queued; want 1 and 0", direct, queued)
	}
}

func TestNumberOfSockets(t *testing.T) {
	for _, tt := range []struct{ asked, want int }{
		{1, 1}, {2, 2}, {7, 7}, {0, min(runtime.NumCPU(), 4)}, {-1, min(runtime.NumCPU(), 4)},
	} {
		n := newFakeNet()
		b, fns, _ := openGroup(t, n, tt.asked)
		if len(fns) != tt.want || n.sockets() != tt.want {
			t.Errorf("asked %d: %d receive functions for %d sockets, want %d", tt.asked, len(fns), n.sockets(), tt.want)
		}
		want := peers.GroupStats{Network: "udp4", Asked: tt.want, Got: tt.want}
		if s := b.Stats(); len(s.Groups) != 1 || s.Groups[0] != want || len(s.Sockets) != tt.want {
			t.Errorf("asked %d: groups %+v with %d sockets, want %+v", tt.asked, s.Groups, len(s.Sockets), want)
		}
	}
}

// Fewer sockets than asked for: each is read, each peer is sent to.
func TestFewerSocketsThanAsked(t *testing.T) {
	n := newFakeNet()
	n.most = 2
	b, fns, _ := openGroup(t, n, 4)
	if len(fns) != 2 {
		t.Fatalf("%d receive functions for 2 sockets", len(fns))
	}
	if g := b.Stats().Groups[0]; g.Asked != 4 || g.Got != 2 {
		t.Errorf("stats say %+v, want 2 of 4", g)
	}
	sentBy(t, n, b, manyPeers(b, 8))
	d := newDriver(t, b, fns, nil)
	to := netip.AddrPortFrom(hostB, wgPort)
	for i := range uint16(100) {
		n.inject(datagram{from: netip.AddrPortFrom(atA.Addr(), 1000+i), to: to, data: transport(1, 32)[0][headroom:]})
	}
	d.wait(100)
	n.most = 3 // some of what is missing is there now
	if reopen, err := b.Reconfigure(batching.Options{}, 4); err != nil || !reopen {
		t.Fatalf("Reconfigure: reopen %t, %v", reopen, err)
	}
	if got := d.update(wgPort); got != 3 {
		t.Errorf("%d receive functions, want 3", got)
	}
	if g := b.Stats().Groups[0]; g.Asked != 4 || g.Got != 3 {
		t.Errorf("stats say %+v, want 3 of 4", g)
	}
}

// On real sockets: one means exactly one for each family, and what they can do is
// in the statistics.
func TestRealSocketsPerFamily(t *testing.T) {
	testutil.LeakCheck(t)
	for _, sockets := range []int{1, 2} {
		b := peers.NewBind(&peers.Options{Sockets: sockets})
		closeAtEnd(t, b)
		fns, port, err := b.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		s := b.Stats()
		if len(s.Sockets) != len(fns) || len(s.Groups) == 0 {
			t.Errorf("%d sockets in %d groups, %d receive functions", len(s.Sockets), len(s.Groups), len(fns))
		}
		got := make(map[string]int)
		for _, sock := range s.Sockets {
			if sock.Index != got[sock.Network] || sock.Local.Port() != port {
				t.Errorf("socket %s/%d on %v, want index %d on port %d", sock.Network, sock.Index, sock.Local, got[sock.Network], port)
			}
			got[sock.Network]++
			if !sock.GSO && len(sock.Reasons) == 0 {
				t.Errorf("socket %s/%d does without GSO and says nothing why", sock.Network, sock.Index)
			}
		}
		for _, g := range s.Groups {
			if g.Asked != sockets || g.Got != got[g.Network] || sockets == 1 && g.Got != 1 {
				t.Errorf("asked for %d: %+v, %d listed", sockets, g, got[g.Network])
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if s := b.Stats(); len(s.Sockets) != 0 || len(s.Groups) != 0 {
			t.Errorf("closed, and there are %d sockets in %d groups", len(s.Sockets), len(s.Groups))
		}
	}
}

// A port that another Bind shares among its sockets is taken all the same.
func TestSharedPortIsTaken(t *testing.T) {
	testutil.LeakCheck(t)
	on := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	a := peers.NewBind(&peers.Options{Sockets: 2, ListenOn: on})
	_, port, err := a.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, a)
	for _, sockets := range []int{1, 2} {
		b := peers.NewBind(&peers.Options{Sockets: sockets, ListenOn: on})
		if _, _, err := b.Open(port); err == nil {
			t.Errorf("%d sockets opened on the port of another Bind", sockets)
		}
		closeAtEnd(t, b)
	}
}

// What Queue says of packets held back earlier is not about those of this call.
func TestLateErrors(t *testing.T) {
	n := newFakeNet()
	b, _, sock, log := openBind(t, n)
	e := b.Add(keyA)
	e.SetAddr(atA)
	sock.loseWith(syscall.EPERM)
	for range 10 {
		if err := b.Send(transport(2, 64), e, headroom); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s.TxPackets != 20 || s.DroppedRefused != 0 {
		t.Errorf("counted %+v, want 20 sent", s)
	}
	if got := strings.Count(log.String(), "held back for peer were lost"); got != 1 {
		t.Errorf("logged %d times, want once:\n%s", got, log)
	}
	if s := log.String(); strings.Contains(s, "sending to peer fails") || strings.Contains(s, "works again") {
		t.Errorf("taken for an error of the call:\n%s", s)
	}
	// A source that is refused is released all the same, and nothing is sent twice.
	initiationEndpoint(b, atA).FromPeer(keyA)
	sock.loseWith(syscall.EINVAL)
	before := len(n.log())
	if err := b.Send(transport(2, 64), e, headroom); err != nil {
		t.Fatal(err)
	}
	if s := e.Stats(); e.Source().IsValid() || s.SourcesReleased != 1 || len(n.log())-before != 2 {
		t.Errorf("source %v, released %d times, %d sent; want none, once, 2", e.Source(), s.SourcesReleased, len(n.log())-before)
	}
}

func TestGroupPathNoAllocs(t *testing.T) {
	n := newFakeNet()
	var log bytes.Buffer
	b := peers.NewBindOn(&peers.Options{Sockets: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))}, n.listenAt(hostB))
	fns, _, err := b.Open(wgPort)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, b)
	members := n.groups[netip.AddrPortFrom(hostB, wgPort)].members
	ends := manyPeers(b, 4)
	bufs := transport(128, 1452)
	slab := make([]byte, 2*65535)
	packets := make([]conn.ReceivedPacket, b.BatchSize())
	for _, s := range members {
		s.quiet.Store(true)
	}
	d := datagram{from: atA, data: transport(1, 200)[0][headroom:]}
	if got := testing.AllocsPerRun(200, func() {
		for _, e := range ends {
			if err := b.Send(bufs, e, headroom); err != nil {
				t.Fatal(err)
			}
		}
		for i, recv := range fns {
			for range 16 {
				members[i].in <- d
			}
			if k, err := recv(slab, packets); err != nil || k != 16 {
				t.Fatalf("received %d, %v", k, err)
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", &log)
	}
}
