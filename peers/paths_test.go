// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/tun/tuntest"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/path"
)

func runUntilEnd(t testing.TB, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func choice(x *node, of peers.Key) path.Path {
	s, _ := x.bind.PathStatus(of)
	return s.Choice.Primary
}

// between makes everything between two hosts get lost while cut is true.
func (n *fakeNet) between(a, b *node, cut *atomic.Bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = func(d *datagram) bool {
		x, y := d.from.Addr(), d.to.Addr()
		return cut.Load() && (x == a.outer.Addr() && y == b.outer.Addr() || x == b.outer.Addr() && y == a.outer.Addr())
	}
}

// TestTwoRoutersFindEachOther: both have discovery on, one knows where the other
// is. They choose the direct path.
func TestTwoRoutersFindEachOther(t *testing.T) {
	_, a, b, _, _ := pair(t)
	a.discover()
	b.discover()
	a.ping(b)
	eventually(t, "both chose the direct path", func() bool {
		return choice(a, b.public) == path.Path{Addr: b.outer} && choice(b, a.public) == path.Path{Addr: a.outer}
	})
	b.ping(a)
}

// TestPlainPeerSeesLittle: a peer without discovery gets at most three messages
// that are not WireGuard's, and everything works.
func TestPlainPeerSeesLittle(t *testing.T) {
	n, a, b, _, _ := pair(t)
	a.discover()
	a.ping(b)
	b.ping(a) // what a has heard it asks
	eventually(t, "the peer was found to be none", func() bool {
		s, _ := a.bind.PathStatus(b.public)
		return s.Router == "no"
	})
	a.ping(b)
	other := 0
	for _, d := range n.log() {
		if d.data[0] > 4 || d.data[0] == 0 {
			other++
		}
	}
	if other == 0 || other > 3 {
		t.Errorf("%d messages that are not WireGuard's, want 1 to 3", other)
	}
	if got := b.bind.Stats().RxDropped["disco_unknown"]; got != uint64(other) {
		t.Errorf("the peer counted %d of them, want %d", got, other)
	}
}

// TestRelayWithoutEndpoint: neither knows where the other is, both know a relay.
// The direct path is cut: everything goes over the relay. Then it is repaired, and
// they change to it; cut again, they go back, and no packet of the tunnel is lost
// for good.
func TestRelayWithoutEndpoint(t *testing.T) {
	n := newFakeNet()
	a, b := newNode(t, n, 1), newNode(t, n, 2)
	a.peer(b, netip.AddrPort{})
	b.peer(a, netip.AddrPort{})
	r := newFakeRelay(t, n, a, b)
	var cut atomic.Bool
	cut.Store(true)
	n.between(a, b, &cut)
	a.discover(r)
	b.discover(r)

	a.ping(b)
	b.ping(a)
	over := func(x, o *node, relayed bool) func() bool {
		return func() bool {
			p := choice(x, o.public)
			return p != (path.Path{}) && p.VNI.IsSet() == relayed
		}
	}
	if p := choice(a, b.public); !p.VNI.IsSet() || p.Addr != r.at {
		t.Errorf("the path is %v, want one over the relay at %v", p, r.at)
	}
	stop := sendSteadily(t, a, b)
	eventually(t, "both use the relay", func() bool { return over(a, b, true)() && over(b, a, true)() })
	cut.Store(false)
	eventually(t, "both use the direct path", func() bool { return over(a, b, false)() && over(b, a, false)() })
	cut.Store(true)
	eventually(t, "both use the relay again", func() bool { return over(a, b, true)() && over(b, a, true)() })
	stop()
	a.ping(b)
	b.ping(a)
}

// sendSteadily sends packets both ways, and does not mind what is lost.
func sendSteadily(t *testing.T, a, b *node) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, x := range [][2]*node{{a, b}, {b, a}} {
		wg.Go(func() { drain(x[0], done) })
		wg.Go(func() { pour(x[0], x[1], done) })
	}
	return sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
}

func drain(x *node, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-x.tun.Inbound:
		}
	}
}

func pour(x, to *node, done <-chan struct{}) {
	p := tuntest.Ping(to.inner, x.inner)
	for {
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
		}
		select {
		case <-done:
			return
		case x.tun.Outbound <- p:
		}
	}
}

// TestRelayedFramesNeedASession: frames with a VNI that is not ours, or with
// options, go no further.
func TestRelayedFramesNeedASession(t *testing.T) {
	n, a, b, _, _ := pair(t)
	a.discover()
	a.ping(b)
	before := a.bind.Stats().RxPackets
	vni, err := geneve.MakeVNI(7)
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 8+32)
	h := geneve.Header{VNI: vni, Protocol: geneve.ProtocolWireGuard}
	if _, err := h.Put(frame); err != nil {
		t.Fatal(err)
	}
	frame[8] = 4
	options := append([]byte{1}, frame[1:]...)
	for _, f := range [][]byte{frame, options} {
		n.inject(datagram{from: b.outer, to: a.outer, data: f})
	}
	eventually(t, "both were counted", func() bool {
		d := a.bind.Stats().RxDropped
		return d["unknown_vni"] == 1 && d["unknown_type"]+d["bad_geneve"] == 1
	})
	if got := a.bind.Stats().RxPackets; got != before {
		t.Errorf("%d of them went to the device", got-before)
	}
}

// relayed returns two nodes that reach each other over a relay only, and have chosen
// that path.
func relayed(t *testing.T) (n *fakeNet, a, b *node, r *fakeRelay, ofB *peers.Endpoint) {
	t.Helper()
	n = newFakeNet()
	a, b = newNode(t, n, 1), newNode(t, n, 2)
	ofB = a.peer(b, netip.AddrPort{})
	b.peer(a, netip.AddrPort{})
	r = newFakeRelay(t, n, a, b)
	var cut atomic.Bool
	cut.Store(true)
	n.between(a, b, &cut)
	a.discover(r)
	b.discover(r)
	a.ping(b)
	b.ping(a)
	eventually(t, "the relay is used", func() bool { return choice(a, b.public).VNI.IsSet() })
	return n, a, b, r, ofB
}

// A batch over a relay costs no allocation, sent or received, nor does being told
// that the peer was heard.
func TestRelayedPathNoAllocs(t *testing.T) {
	n, a, b, r, ofB := relayed(t)
	vni := choice(a, b.public).VNI
	frame := make([]byte, geneve.HeaderLen, 256)
	h := geneve.Header{VNI: vni, Protocol: geneve.ProtocolWireGuard}
	if _, err := h.Put(frame); err != nil {
		t.Fatal(err)
	}
	frame = append(frame, transport(1, 200)[0][headroom:]...)
	g := newFakeGroup(n, a.outer, &batching.Options{})
	in := newFakeSocket(g)
	recv := peers.ReceiveFrom(a.bind, in)
	n.socket(a.outer).quiet.Store(true)

	bufs := transport(128, 1452)
	slab := make([]byte, 2*65535)
	packets := make([]conn.ReceivedPacket, a.bind.BatchSize())
	d := datagram{from: r.at, to: a.outer, data: frame}
	// The devices and the relay go on meanwhile, but do little.
	if got := testing.AllocsPerRun(1000, func() {
		if err := a.bind.Send(bufs, ofB, headroom); err != nil {
			t.Fatal(err)
		}
		for range 16 {
			in.in <- d
		}
		k, err := recv(slab, packets)
		if err != nil || k != 16 || packets[0].Size != 200 {
			t.Fatalf("%d packets, the first of %d bytes, %v; want 16 of 200", k, packets[0].Size, err)
		}
		for i := range packets[:k] {
			packets[i].Endpoint.(conn.PeerAwareEndpoint).FromPeer(b.public)
		}
	}); got != 0 {
		t.Errorf("%v allocations for a batch sent and one received, want 0", got)
	}
}

// A peer that starts again on another port is answered there at once, although the
// path to where it was is trusted.
func TestRestartedPeerIsAnsweredAtOnce(t *testing.T) {
	n, a, b, ofB, _ := pair(t)
	a.discover()
	b.discover()
	a.ping(b)
	b.ping(a)
	old := path.Path{Addr: b.outer}
	eventually(t, "the path is chosen", func() bool { return choice(a, b.public) == old })

	// The device of b goes away without a word, and another one with its key comes up.
	b.dev.Close()
	again := restartNode(t, n, b, 53000)
	again.peer(a, a.outer)
	again.ping(a)
	a.ping(again)
	if n := ofB.Stats().TxAgain; n == 0 {
		t.Error("nothing was sent over a second path, so the answer waited until the old one was given up")
	}
	// It speaks nothing but WireGuard now, and is at the new address for good once the
	// old path is dead.
	stop := sendSteadily(t, a, again)
	defer stop()
	eventually(t, "the old path is given up", func() bool { return choice(a, b.public) != old && ofB.Addr() == again.outer })
}

// Nothing of path discovery goes to where the tunnel itself leads.
func TestNothingIsSentThroughTheTunnel(t *testing.T) {
	n, a, b, _, _ := pair(t)
	a.bind.SetInside(func(addr netip.Addr) bool { return addr == b.outer.Addr() })
	a.discover()
	a.ping(b)
	b.ping(a)
	eventually(t, "frames are held back", func() bool {
		s, _ := a.bind.PathStats()
		return s.Dropped["through_tunnel"] > 0
	})
	for _, d := range n.log() {
		if d.from == a.outer && (d.data[0] > 4 || d.data[0] == 0) {
			t.Fatalf("a frame of %d bytes was sent to %v", len(d.data), d.to)
		}
	}
}
