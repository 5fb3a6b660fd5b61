// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// Both families leave through the queue of their peer, if there are sockets of the
// family to fall back on.
func TestUnderlaySendsBothFamilies(t *testing.T) {
	v6 := netip.MustParseAddrPort("[2001:db8::1]:51820")
	for _, both := range []bool{false, true} {
		n := newFakeNet()
		listen4, listen6 := n.listenAt(hostB), n.listenAt(netip.MustParseAddr("2001:db8::2"))
		b := peers.NewBindOn(&peers.Options{Sockets: 1}, func(network string, addr netip.AddrPort, k int, o *batching.Options) (peers.Group, error) {
			if network == "udp6" && both {
				return listen6("udp4", addr, k, o)
			}
			return listen4(network, addr, k, o)
		})
		closeAtEnd(t, b)
		u := newFakeUnderlay(t, n, hostB, 2)
		setUnderlay(t, b, u, false)
		if _, _, err := b.Open(wgPort); err != nil {
			t.Fatal(err)
		}
		all := manyPeers(b, 2)
		all[1].SetAddr(v6)
		for _, pass := range []bool{false, true} {
			u.pass.Store(pass)
			for _, e := range all {
				if err := b.Send(transport(3, 64), e, headroom); err != nil {
					t.Fatal(err)
				}
			}
		}
		want, refused := int64(3), uint64(6)
		if both {
			want, refused = 6, 0
		}
		if u.direct.Load() != want || u.passed.Load() != want {
			t.Errorf("%d sent, %d passed on; want %d of each", u.direct.Load(), u.passed.Load(), want)
		}
		if s := all[1].Stats(); s.DroppedRefused != refused || s.TxPackets != 6-refused || s.DroppedClosed != 0 {
			t.Errorf("counted %+v, want %d refused", s, refused)
		}
	}
}

// A queue that closes, and one that closes under a call, cost no packet.
func TestSendFindsTheUnderlayGone(t *testing.T) {
	h, u := past(t, 2)
	e := manyPeers(h.bind, 2)[1]
	send := func(want *fakeSocket) {
		t.Helper()
		if by := sentBy(t, h.net, h.bind, []*peers.Endpoint{e})[0]; by != want {
			t.Error("sent by another socket")
		}
	}
	kernel, queue := h.members[0], u.conns[1].fakeSocket
	send(queue)
	queue.refuseWith(func(*batching.Destination) error {
		setUnderlay(t, h.bind, nil, false)
		return net.ErrClosed
	})
	send(kernel)
	queue.refuseWith(func(*batching.Destination) error {
		u.close()
		return net.ErrClosed
	})
	setUnderlay(t, h.bind, u, true)
	send(kernel)
	send(kernel)
	cookie := make([]byte, headroom+device.MessageCookieReplySize)
	cookie[headroom] = device.MessageCookieReplyType
	if err := h.bind.Send([][]byte{cookie}, initiationEndpoint(h.bind, evil), headroom); err != nil {
		t.Fatal(err)
	}
	if out := h.net.log(); out[len(out)-1].by != kernel {
		t.Error("the cookie reply was sent by another socket")
	}
	if s := e.Stats(); s.TxPackets != 4 || s.DroppedClosed+s.DroppedRefused != 0 {
		t.Errorf("counted %+v, want 4 sent", s)
	}
	// Its receive functions end, those of the sockets do not.
	h.close()
	fns := h.open(wgPort, 3)
	h.wantEnded(fns[1])
	h.wantEnded(fns[2])
	h.inject()
	if n, err := h.read(fns[0]); n != 3 || err != nil {
		t.Errorf("the kernel's socket received %d, %v; want 3", n, err)
	}
	kernel = h.net.socket(netip.AddrPortFrom(hostB, wgPort))
	kernel.refuseWith(func(*batching.Destination) error {
		h.close()
		return net.ErrClosed
	})
	if err := h.bind.Send(transport(3, 64), e, headroom); err != nil {
		t.Fatal(err)
	}
	if s := e.Stats(); s.TxPackets != 4 || s.DroppedClosed != 3 {
		t.Errorf("counted %+v, want 3 dropped when all closed", s)
	}
}

// What is held back for others by the kernel's socket is not overtaken by what the
// underlay sends, nor the other way round.
func TestNothingIsHeldBackWhileTheUnderlayChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet()
		b, _, g := openGroup(t, n, 1)
		if _, err := b.Reconfigure(batching.Options{FlushTimeout: time.Millisecond}, 1); err != nil {
			t.Fatal(err)
		}
		u := newFakeUnderlay(t, n, hostB, 1)
		e := manyPeers(b, 1)[0]
		for _, to := range []*fakeUnderlay{u, nil} {
			from := g.members[0]
			if to == nil {
				from = u.conns[0].fakeSocket
			}
			sending, release := make(chan struct{}), make(chan struct{})
			from.refuseWith(func(*batching.Destination) error {
				close(sending)
				<-release
				return nil
			})
			sent := make(chan error)
			go func() { sent <- b.Send(transport(1, 64), e, headroom) }()
			<-sending
			done := make(chan error)
			go func() {
				var next peers.Underlay
				if to != nil {
					next = to
				}
				_, err := peers.SetUnderlay(b, next)
				done <- err
			}()
			synctest.Wait() // it waits for the call
			if o := g.options(); o.FlushTimeout != 0 || len(b.Stats().Underlay) > 0 != (to != nil) {
				t.Errorf("FlushTimeout %v with %d queues, want 0", o.FlushTimeout, len(b.Stats().Underlay))
			}
			close(release)
			if err := <-sent; err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if o := g.options(); o.FlushTimeout != time.Millisecond {
				t.Errorf("FlushTimeout %v in the end, want 1ms", o.FlushTimeout)
			}
			from.refuse.Store(nil)
		}
		if got := n.log(); len(got) != 2 {
			t.Errorf("%d were sent, want 2", len(got))
		}
	})
}

func TestUnderlayPathNoAllocs(t *testing.T) {
	h, u := past(t, 2)
	ends := manyPeers(h.bind, 4)
	bufs := transport(128, 1452)
	slab := make([]byte, 2*65535)
	packets := make([]conn.ReceivedPacket, h.bind.BatchSize())
	for _, c := range u.conns {
		c.quiet.Store(true)
	}
	d := datagram{from: atA, data: transport(1, 200)[0][headroom:]}
	if got := testing.AllocsPerRun(200, func() {
		for _, e := range ends {
			if err := h.bind.Send(bufs, e, headroom); err != nil {
				t.Fatal(err)
			}
		}
		for i, recv := range h.fns[1:] {
			for range 16 {
				u.conns[i].in <- d
			}
			if k, err := recv(slab, packets); err != nil || k != 16 {
				t.Fatalf("received %d, %v", k, err)
			}
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
	if u.direct.Load() == 0 {
		t.Error("nothing was sent past the kernel")
	}
}

// Devices that find each other, directly and over a relay, with an underlay on one
// side: path discovery, frames of the relay and what a Tap sees go through it.
func TestDevicesOverAnUnderlay(t *testing.T) {
	n, a, b, r, _ := relayed(t)
	u := newFakeUnderlay(t, n, a.outer.Addr(), 2)
	setUnderlay(t, a.bind, u, true)
	if err := a.dev.BindUpdate(); err != nil {
		t.Fatal(err)
	}
	w := new(watcher)
	a.bind.SetTap(w)
	before := len(n.log())
	for range 20 {
		a.ping(b)
		b.ping(a)
	}
	eventually(t, "the path is asked for again", func() bool {
		return slices.ContainsFunc(n.log()[before:], func(d datagram) bool { return d.from == a.outer && isDisco(d.data) })
	})
	for _, d := range n.log()[before:] {
		if d.from == a.outer && u.sentPast([]*fakeSocket{d.by})[0] < 0 {
			t.Fatalf("%d bytes to %v were sent by the kernel's socket", len(d.data), d.to)
		}
	}
	frames := map[bool]int{}
	for _, d := range w.take() {
		if d.Remote == r.at && !isDisco(d.Data) {
			frames[d.Sent]++
			if !d.Sent && d.Local != a.outer {
				t.Errorf("received at %v, want %v", d.Local, a.outer)
			}
		}
	}
	if frames[true] < 20 || frames[false] < 20 {
		t.Errorf("%d frames sent over the relay and %d received were seen, want 20 of each", frames[true], frames[false])
	}
}

// isDisco reports whether d is a message of path discovery, in a Geneve header or not.
func isDisco(d []byte) bool {
	var h geneve.Header
	return disco.IsFrame(d) || h.Decode(d) == nil && h.Protocol == geneve.ProtocolDisco
}
