// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers"
)

// A handover is a Bind on the fake network that has grown from one socket to
// three and waits for the device to close and open it.
type handover struct {
	t    *testing.T
	net  *fakeNet
	bind *peers.Bind
	fns  []conn.ReceiveFunc // of the one socket that it had
	*fakeGroup
}

func promised(t *testing.T) *handover {
	t.Helper()
	n := newFakeNet()
	b, fns, g := openGroup(t, n, 1)
	h := &handover{t: t, net: n, bind: b, fns: fns, fakeGroup: g}
	h.resize(3, true)
	return h
}

func (h *handover) resize(sockets int, reopen bool) {
	h.t.Helper()
	got, err := h.bind.Reconfigure(batching.Options{}, sockets)
	if err != nil || got != reopen {
		h.t.Fatalf("%d sockets: reopen %t, %v; want %t", sockets, got, err, reopen)
	}
}

// inject sends one message to each of the three sockets.
func (h *handover) inject() {
	for i := range uint16(3) {
		h.net.inject(datagram{from: netip.AddrPortFrom(atA.Addr(), 999+i), to: h.at, data: transport(1, 32)[0][headroom:]})
	}
}

func (h *handover) close() {
	h.t.Helper()
	if err := h.bind.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// open opens on the port and wants that many receive functions.
func (h *handover) open(port uint16, want int) []conn.ReceiveFunc {
	h.t.Helper()
	fns, _, err := h.bind.Open(port)
	if err != nil || len(fns) != want {
		h.t.Fatalf("Open: %d receive functions, %v; want %d", len(fns), err, want)
	}
	return fns
}

func (h *handover) wantSockets(want int) {
	h.t.Helper()
	if got := h.net.sockets(); got != want {
		h.t.Fatalf("%d sockets are open, want %d", got, want)
	}
}

// read calls a receive function once.
func (h *handover) read(recv conn.ReceiveFunc) (int, error) {
	return recv(make([]byte, 2*65535), make([]conn.ReceivedPacket, h.bind.BatchSize()))
}

func (h *handover) wantRead(fns []conn.ReceiveFunc) {
	h.t.Helper()
	for i, recv := range fns {
		if n, err := h.read(recv); n != 1 || err != nil {
			h.t.Errorf("receive function %d: %d messages, %v; want the one that waited", i, n, err)
		}
	}
}

// wantEnded wants that a receive function reads nothing more.
func (h *handover) wantEnded(recv conn.ReceiveFunc) {
	h.t.Helper()
	if n, err := h.read(recv); n != 0 || !errors.Is(err, net.ErrClosed) {
		h.t.Errorf("receive: %d, %v; want net.ErrClosed", n, err)
	}
}

func TestHandoverLosesNothing(t *testing.T) {
	for _, port := range []uint16{wgPort, 0} {
		h := promised(t)
		all := manyPeers(h.bind, 6)
		sentBy(t, h.net, h.bind, all)
		ended := make(chan error)
		go func() {
			_, err := h.read(h.fns[0])
			ended <- err
		}()
		h.close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("the waiting receive function returned %v", err)
		}
		h.inject() // nobody receives
		h.wantEnded(h.fns[0])
		sentBy(t, h.net, h.bind, all)
		h.wantSockets(3)
		if h.bind.Port() != wgPort || len(h.bind.Stats().Sockets) != 3 {
			t.Errorf("in between: port %d, %d sockets", h.bind.Port(), len(h.bind.Stats().Sockets))
		}
		h.wantRead(h.open(port, 3))
		h.wantSockets(3)
		if _, _, err := h.bind.Open(wgPort); !errors.Is(err, conn.ErrBindAlreadyOpen) {
			t.Errorf("second Open: %v", err)
		}
		// The promise is kept: the next Close is one.
		h.close()
		h.wantSockets(0)
	}
}

func TestHandoverEnds(t *testing.T) {
	for name, end := range map[string]func(h *handover){
		"closed again": func(h *handover) { h.close() },
		"other port": func(h *handover) {
			h.open(wgPort+1, 3)
			if h.bind.Port() != wgPort+1 || h.net.groups[h.at] != nil {
				h.t.Errorf("port %d is open", h.bind.Port())
			}
			h.close()
		},
		"other configured port": func(h *handover) {
			h.bind.SetPort(wgPort + 1)
			h.open(0, 3)
			if h.bind.Port() != wgPort+1 {
				h.t.Errorf("port %d is open", h.bind.Port())
			}
			h.close()
		},
		"open fails": func(h *handover) {
			other := netip.AddrPortFrom(hostB, wgPort+1)
			h.net.groups[other] = newFakeGroup(h.net, other, &batching.Options{})
			if _, _, err := h.bind.Open(wgPort + 1); !errors.Is(err, syscall.EADDRINUSE) {
				h.t.Fatalf("Open of a port that is taken: %v", err)
			}
			h.wantSockets(0)
			h.open(wgPort, 3) // as after every Open that failed
			h.close()
		},
		"device down and up": func(h *handover) {
			h.close()
			h.open(wgPort, 3)
			h.close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := promised(t)
			h.close()
			h.wantSockets(3)
			end(h)
			h.wantSockets(0)
			h.wantEnded(h.fns[0])
			h.close()
			e := h.bind.Add(keyA)
			e.SetAddr(atA)
			if err := h.bind.Send(transport(1, 64), e, headroom); err != nil || e.Stats().DroppedClosed != 1 {
				t.Errorf("Send after Close: %v, %+v", err, e.Stats())
			}
		})
	}
}

// Nobody opens: the device went down or ended at that moment.
func TestHandoverIsNotWaitedForForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := promised(t)
		h.close()
		time.Sleep(peers.HandoverTimeout - time.Second)
		h.wantSockets(3)
		time.Sleep(2 * time.Second)
		h.wantSockets(0)
		h.open(wgPort, 3)
		time.Sleep(2 * peers.HandoverTimeout)
		h.wantSockets(3)

		// One that is over leaves the next one its time.
		h.resize(4, true)
		h.close()
		time.Sleep(peers.HandoverTimeout - time.Second)
		h.open(wgPort, 4)
		h.resize(5, true)
		h.close()
		time.Sleep(peers.HandoverTimeout - time.Second)
		h.wantSockets(5)
		h.open(wgPort, 5)
		time.Sleep(2 * peers.HandoverTimeout)
		h.wantSockets(5)
	})
}

// Sockets that were added and given up before anybody read them.
func TestSocketsThatLeaveUnread(t *testing.T) {
	h := promised(t)
	h.inject()
	h.resize(1, true) // they have to be read to their end
	h.wantSockets(3)
	h.close()
	fns := h.open(wgPort, 3)
	h.wantRead(fns)
	for _, recv := range fns[1:] {
		h.wantEnded(recv)
	}
	h.wantSockets(1)
	h.resize(1, false)
	h.close()
	h.wantSockets(0)
}

// Fewer sockets while nobody reads: Open knows.
func TestResizeDuringHandover(t *testing.T) {
	for _, sockets := range []int{1, 2, 5} {
		h := promised(t)
		h.close()
		h.inject()
		h.resize(sockets, false)
		h.wantSockets(3)
		fns := h.open(wgPort, max(sockets, 3))
		h.wantRead(fns[:3])
		for _, recv := range fns[min(sockets, 3):3] {
			h.wantEnded(recv)
		}
		h.wantSockets(sockets)
		if got := len(h.bind.Stats().Sockets); got != sockets {
			t.Errorf("%d sockets are used, want %d", got, sockets)
		}
		h.close()
		h.wantSockets(0)
	}
}

// A socket that leaves while the others are handed over is read to its end by
// the function that it has.
func TestLeavingSocketDuringHandover(t *testing.T) {
	h := promised(t)
	h.close()
	fns := h.open(wgPort, 3)
	h.inject()
	h.resize(2, false)
	h.resize(3, true)
	h.wantSockets(4)
	h.close()
	h.wantRead(fns[2:])
	h.wantEnded(fns[2])
	h.wantSockets(3)
	h.wantEnded(fns[0])
	h.wantRead(h.open(wgPort, 3)[:2])
}

func TestShrinkingNeedsNoReopen(t *testing.T) {
	n := newFakeNet()
	b, fns, g := openGroup(t, n, 3)
	h := &handover{t: t, net: n, bind: b, fns: fns, fakeGroup: g}
	h.inject()
	h.resize(1, false)
	h.wantSockets(3)
	h.wantRead(fns)
	for _, recv := range fns[1:] {
		h.wantEnded(recv)
	}
	h.wantSockets(1)
	h.inject()
	if n, err := h.read(fns[0]); n != 3 || err != nil {
		t.Errorf("the socket that stays received %d, %v; want 3", n, err)
	}
	h.close()
	h.wantSockets(0)
}

// A socket that does not wake up must not keep the device waiting.
func TestHandoverWithoutDeadlines(t *testing.T) {
	h := promised(t)
	h.members[1].stuck.Store(true)
	h.close()
	h.wantSockets(0)
	h.wantEnded(h.fns[0])

	h = promised(t)
	h.close()
	h.members[1].stuck.Store(true) // it cannot be read again
	h.open(wgPort, 3)
	h.wantSockets(3)
	if h.closed == false || h.net.groups[h.at] == h.fakeGroup {
		t.Error("the sockets that cannot be read were handed over")
	}
}

func TestReconfigureWhileClosed(t *testing.T) {
	n := newFakeNet()
	b := peers.NewBindOn(&peers.Options{Sockets: 2}, n.listenAt(hostB))
	closeAtEnd(t, b)
	if reopen, err := b.Reconfigure(batching.Options{MaxSegments: 7}, 3); err != nil || reopen {
		t.Fatalf("Reconfigure: reopen %t, %v", reopen, err)
	}
	fns, _, err := b.Open(wgPort)
	if err != nil {
		t.Fatal(err)
	}
	g := n.groups[netip.AddrPortFrom(hostB, wgPort)]
	if got := g.options().MaxSegments; len(fns) != 3 || got != 7 {
		t.Errorf("opened %d sockets with MaxSegments %d, want 3 and 7", len(fns), got)
	}
}

// Options of open sockets change, their mark does not: it is the device's. What
// is refused changes nothing, now or later.
func TestReconfigureWhileOpen(t *testing.T) {
	n := newFakeNet()
	b, _, g := openGroup(t, n, 2)
	if err := b.SetMark(42); err != nil {
		t.Fatal(err)
	}
	if reopen, err := b.Reconfigure(batching.Options{MaxSegments: 7}, 2); err != nil || reopen {
		t.Fatalf("Reconfigure: reopen %t, %v", reopen, err)
	}
	if o := g.options(); o.MaxSegments != 7 || o.Mark != 42 {
		t.Errorf("MaxSegments %d, mark %d; want 7 and 42", o.MaxSegments, o.Mark)
	}
	g.refusal = errors.New("refused")
	if reopen, err := b.Reconfigure(batching.Options{MaxSegments: 8}, 5); !errors.Is(err, g.refusal) || reopen {
		t.Errorf("refused: reopen %t, %v", reopen, err)
	}
	if s := b.Stats().Groups[0]; s.Asked != 2 || s.Got != 2 {
		t.Errorf("refused, and there are %+v", s)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.SetMark(43); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetMark while closed: %v", err)
	}
	fns, _, err := b.Open(wgPort)
	if err != nil {
		t.Fatal(err)
	}
	g = n.groups[netip.AddrPortFrom(hostB, wgPort)]
	if o := g.options(); len(fns) != 2 || o.MaxSegments != 7 || o.Mark != 0 {
		t.Errorf("opened %d with MaxSegments %d and mark %d; want 2, 7, and none until the device sets it", len(fns), o.MaxSegments, o.Mark)
	}
}

// A socket leaves, is read to its end and closed while a message is on its way to
// it.
func TestSendFindsItsSocketGone(t *testing.T) {
	n := newFakeNet()
	b, fns, g := openGroup(t, n, 2)
	h := &handover{t: t, net: n, bind: b, fns: fns, fakeGroup: g}
	all := manyPeers(b, 2)
	stays, leaves := g.members[0], g.members[1]
	leaves.refuseWith(func(*batching.Destination) error {
		h.resize(1, false)
		h.wantEnded(fns[1])
		return net.ErrClosed
	})
	for _, by := range sentBy(t, n, b, all) {
		if by != stays {
			t.Error("sent by the socket that left")
		}
	}
	if s := all[1].Stats(); s.TxPackets != 1 || s.DroppedClosed != 0 {
		t.Errorf("counted %+v, want one message sent", s)
	}
	stays.refuseWith(func(*batching.Destination) error {
		h.close()
		return net.ErrClosed
	})
	if err := b.Send(transport(3, 64), all[1], headroom); err != nil {
		t.Fatal(err)
	}
	if s := all[1].Stats(); s.TxPackets != 1 || s.DroppedClosed != 3 {
		t.Errorf("counted %+v, want 3 dropped when all sockets closed", s)
	}
}

// What is held back by the socket that a peer had would be sent after what the
// next one sends: nothing is while a call may still use the first.
func TestNothingIsHeldBackWhilePeersChangeSockets(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := newFakeNet()
			b, _, g := openGroup(t, n, 1)
			e := manyPeers(b, 1)[0]
			sending, release := make(chan struct{}), make(chan struct{})
			g.members[0].refuseWith(func(*batching.Destination) error {
				close(sending)
				<-release
				return nil
			})
			go func() {
				if err := b.Send(transport(1, 64), e, headroom); err != nil {
					t.Error(err)
				}
			}()
			<-sending
			done := make(chan error)
			go func() {
				_, err := b.Reconfigure(batching.Options{FlushTimeout: time.Millisecond}, 2)
				done <- err
			}()
			synctest.Wait() // it waits for the call
			if o := g.options(); o.FlushTimeout != 0 || len(b.Stats().Sockets) != 2 {
				t.Errorf("FlushTimeout %v with %d sockets, want 0 with 2", o.FlushTimeout, len(b.Stats().Sockets))
			}
			if !stuck {
				close(release)
			}
			if err := <-done; err != nil { // does not wait for ever
				t.Error(err)
			}
			if o := g.options(); o.FlushTimeout != time.Millisecond {
				t.Errorf("FlushTimeout %v in the end, want 1ms", o.FlushTimeout)
			}
			if stuck {
				close(release)
			}
		})
	}
}

// Sends go on while sockets leave under them.
func TestSendingWhileSocketsLeave(t *testing.T) {
	n := newFakeNet()
	b, fns, _ := openGroup(t, n, 4)
	d := newDriver(t, b, fns, nil)
	all := manyPeers(b, 4)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, e := range all {
				if err := b.Send(transport(4, 64), e, headroom); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for i := range 200 {
		reopen, err := b.Reconfigure(batching.Options{}, 1+3*(i%2))
		if err != nil {
			t.Fatal(err)
		}
		if reopen {
			d.update(wgPort)
		}
	}
	close(stop)
	<-ended
	for i, e := range all {
		if s := e.Stats(); s.DroppedClosed != 0 || s.DroppedRefused != 0 || s.TxPackets == 0 {
			t.Errorf("peer %d: %+v", i, s)
		}
	}
}
