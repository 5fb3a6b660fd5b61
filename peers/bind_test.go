// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers"
)

const headroom = device.MessageEncapsulatingTransportSize

var (
	hostB = netip.MustParseAddr("192.0.2.2")
	atA   = netip.MustParseAddrPort("192.0.2.1:51820")
	keyA  = peers.Key{1}
)

// openBind returns an open Bind on the fake network, its receive function and
// socket, and what it logs.
func openBind(t testing.TB, n *fakeNet) (*peers.Bind, conn.ReceiveFunc, *fakeSocket, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o := &peers.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Sockets: 1}
	b := peers.NewBindOn(o, n.listenAt(hostB))
	fns, port, err := b.Open(wgPort)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if len(fns) != 1 || port != wgPort || b.Port() != wgPort {
		t.Fatalf("Open: %d functions, port %d", len(fns), port)
	}
	return b, fns[0], n.socket(netip.AddrPortFrom(hostB, wgPort)), &log
}

// transport returns buffers with n transport messages of the given size behind
// the headroom.
func transport(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, headroom+size)
		bufs[i][headroom] = device.MessageTransportType
	}
	return bufs
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name string
		typ  byte
		size int
		want string
	}{
		{"initiation", 1, 148, ""},
		{"response", 2, 92, ""},
		{"cookie reply", 3, 64, ""},
		{"keepalive", 4, 32, ""},
		{"transport at MTU", 4, 1420 + 32, ""},
		{"largest", 4, 65507, ""},
		{"empty", 4, 0, "too_short"},
		{"three bytes", 4, 3, "too_short"},
		{"short initiation", 1, 147, "bad_length"},
		{"long initiation", 1, 149, "bad_length"},
		{"short response", 2, 91, "bad_length"},
		{"short cookie reply", 3, 63, "bad_length"},
		{"short transport", 4, 31, "bad_length"},
		{"type 0", 0, 148, "unknown_type"},
		{"type 5", 5, 148, "unknown_type"},
	} {
		b := make([]byte, tt.size)
		if tt.size > 0 {
			b[0] = tt.typ
		}
		if got := peers.Classify(b); got != tt.want {
			t.Errorf("%s: dropped as %q, want %q", tt.name, got, tt.want)
		}
		for i := 1; i < 4 && tt.want == ""; i++ { // the three zero bytes are part of the type
			b[i] = 1
			if got := peers.Classify(b); got != "unknown_type" {
				t.Errorf("%s with byte %d set: dropped as %q, want unknown_type", tt.name, i, got)
			}
			b[i] = 0
		}
	}
}

// Every length with random content: what is no message by type and length is
// counted, the rest reaches the device, nothing gets lost between.
func TestEveryLengthIsCountedOrDelivered(t *testing.T) {
	n := newFakeNet()
	b, recv, sock, _ := openBind(t, n)
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 2*65536)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	to := netip.AddrPortFrom(hostB, wgPort)
	slab := make([]byte, 2*65535)
	packets := make([]conn.ReceivedPacket, b.BatchSize())
	marker := transport(1, 32)[0][headroom:]
	sent, got := uint64(0), uint64(0)
	for size := 0; size <= 65507; size += 1 + size/64 {
		for typ := range byte(6) {
			d := slices.Clone(noise[rng.IntN(65536):][:size])
			if size >= 4 && typ > 0 {
				copy(d, []byte{typ, 0, 0, 0})
			}
			n.inject(datagram{from: evil, to: to, data: d})
			n.inject(datagram{from: evil, to: to, data: marker}) // so that the read returns
			sent += 2
			for len(sock.in) > 0 {
				k, err := recv(slab, packets)
				if err != nil {
					t.Fatal(err)
				}
				got += uint64(k)
			}
		}
	}
	s := b.Stats()
	dropped := uint64(0)
	for _, c := range s.RxDropped {
		dropped += c
	}
	for _, reason := range []string{"too_short", "unknown_type", "bad_length", "bad_geneve"} {
		if s.RxDropped[reason] == 0 {
			t.Errorf("nothing was dropped as %s", reason)
		}
	}
	if got != s.RxPackets || got+dropped != sent {
		t.Errorf("delivered %d (counted %d) and dropped %d of %d", got, s.RxPackets, dropped, sent)
	}
	if out := n.log(); len(out) != 0 {
		t.Errorf("%d datagrams were answered", len(out))
	}
}

func TestOpenCloseOpen(t *testing.T) {
	n := newFakeNet()
	b, recv, _, _ := openBind(t, n)
	e := b.Add(keyA)
	e.SetAddr(atA)
	if _, _, err := b.Open(wgPort); !errors.Is(err, conn.ErrBindAlreadyOpen) {
		t.Errorf("second Open: %v", err)
	}
	ended := make(chan error)
	go func() {
		_, err := recv(make([]byte, 2*65535), make([]conn.ReceivedPacket, b.BatchSize()))
		ended <- err
	}()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive after Close: %v, want net.ErrClosed", err)
	}
	if err := b.Send(transport(3, 100), e, headroom); err != nil {
		t.Errorf("Send while closed: %v", err)
	}
	if s := e.Stats(); s.DroppedClosed != 3 || s.TxPackets != 0 {
		t.Errorf("sending while closed counted %+v", s)
	}
	if _, port, err := b.Open(0); err != nil || port == 0 || port == wgPort {
		t.Fatalf("Open(0): port %d, %v", port, err)
	}
	wantAddr(t, e, atA)
	if err := b.Send(transport(3, 100), e, headroom); err != nil {
		t.Fatal(err)
	}
	if s := e.Stats(); s.TxPackets != 3 || s.TxBytes != 300 {
		t.Errorf("counted %d packets, %d bytes, want 3 and 300: the headroom is no part of a message", s.TxPackets, s.TxBytes)
	}
}

func TestStickySourceIsReleasedWhenRefused(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EINVAL, syscall.EADDRNOTAVAIL, syscall.ENETUNREACH} {
		n := newFakeNet()
		b, _, sock, _ := openBind(t, n)
		e := b.Add(keyA)
		initiationEndpoint(b, atA).FromPeer(keyA)
		if e.Source() != hostB {
			t.Fatalf("source is %v, want %v", e.Source(), hostB)
		}
		sock.refuseWith(func(d *batching.Destination) error {
			if d.Local().IsValid() {
				return errno
			}
			return nil
		})
		if err := b.Send(transport(5, 64), e, headroom); err != nil {
			t.Fatal(err)
		}
		if s := e.Stats(); e.Source().IsValid() || s.SourcesReleased != 1 || s.TxPackets != 5 {
			t.Errorf("%v: source %v, %+v; want none, released once, all 5 sent", errno, e.Source(), s)
		}
	}
}

func TestRevalidateSources(t *testing.T) {
	n := newFakeNet()
	b, _, _, _ := openBind(t, n)
	keyC := peers.Key{3}
	stays, goes := b.Add(keyA), b.Add(keyC)
	initiationEndpoint(b, atA).FromPeer(keyA)
	initiationEndpoint(b, evil).FromPeer(keyC)
	b.RevalidateSources(func(remote, local netip.Addr, ifIndex uint32) bool {
		if local != hostB || ifIndex != 1 {
			t.Errorf("asked about source %v on interface %d", local, ifIndex)
		}
		return remote == atA.Addr()
	})
	if stays.Source() != hostB || goes.Source().IsValid() {
		t.Errorf("sources %v and %v, want %v and none", stays.Source(), goes.Source(), hostB)
	}
	wantAddr(t, goes, evil) // the address itself stays
	stays.ClearSrc()
	if stays.Source().IsValid() {
		t.Error("ClearSrc left the source")
	}
}

func TestSendFailureIsLoggedOnceAndCounted(t *testing.T) {
	n := newFakeNet()
	b, _, sock, log := openBind(t, n)
	e := b.Add(keyA)
	e.SetAddr(atA)
	sock.refuseWith(func(*batching.Destination) error { return syscall.EPERM })
	for range 100 {
		if err := b.Send(transport(2, 64), e, headroom); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s.DroppedRefused != 200 || s.TxPackets != 0 {
		t.Errorf("counted %+v, want 200 refused", s)
	}
	sock.refuseWith(func(*batching.Destination) error { return nil })
	for range 2 {
		if err := b.Send(transport(2, 64), e, headroom); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(log.String(), "sending to peer fails"); got != 1 {
		t.Errorf("failure logged %d times, want once:\n%s", got, log)
	}
	if got := strings.Count(log.String(), "works again"); got != 1 {
		t.Errorf("recovery logged %d times, want once:\n%s", got, log)
	}
}

func TestCookieReplyGoesWhereTheInitiationCameFrom(t *testing.T) {
	n := newFakeNet()
	b, _, _, _ := openBind(t, n)
	reply := make([]byte, headroom+device.MessageCookieReplySize)
	reply[headroom] = device.MessageCookieReplyType
	ep := initiationEndpoint(b, evil)
	if err := b.Send([][]byte{reply}, ep, headroom); err != nil {
		t.Fatal(err)
	}
	if out := n.log(); len(out) != 1 || out[0].to != evil {
		t.Errorf("sent %+v, want one message to %v", out, evil)
	}
	if a, b := ep.DstToBytes(), initiationEndpoint(b, evil).DstToBytes(); !bytes.Equal(a, b) || len(a) == 0 {
		t.Errorf("DstToBytes is not stable: % x and % x; cookies are made from it", a, b)
	}
	if ep.DstIP() != evil.Addr() {
		t.Errorf("DstIP is %v, want %v: the rate limit works by it", ep.DstIP(), evil.Addr())
	}
}

func TestRemovedPeerLearnsNothing(t *testing.T) {
	n := newFakeNet()
	b, _, _, _ := openBind(t, n)
	old := b.Add(keyA)
	r := initiationEndpoint(b, atA)
	r.FromPeer(keyA)
	b.Remove(keyA)
	r.FromPeer(keyA)
	fresh := b.Add(keyA)
	wantAddr(t, fresh, netip.AddrPort{})
	r.FromPeer(keyA)
	wantAddr(t, fresh, atA)
	if old == fresh {
		t.Error("a removed peer came back")
	}
}

func TestParseEndpoint(t *testing.T) {
	b := peers.NewBind(nil)
	key := strings.Repeat("ab", 32)
	ep, err := b.ParseEndpoint(key)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := b.ParseEndpoint(key); again != ep {
		t.Error("the endpoint of a peer is not stable")
	}
	for _, bad := range []string{"", "192.0.2.1:51820", key[:62], key + "ab", strings.Repeat("zz", 32)} {
		if _, err := b.ParseEndpoint(bad); err == nil {
			t.Errorf("ParseEndpoint(%q) accepted it", bad)
		}
	}
}

// The device asks for port 0 after a configured port was taken once.
func TestConfiguredPortIsNotTradedForAnother(t *testing.T) {
	n := newFakeNet()
	other := peers.NewBindOn(nil, n.listenAt(hostB))
	if _, _, err := other.Open(wgPort); err != nil {
		t.Fatal(err)
	}
	b := peers.NewBindOn(nil, n.listenAt(hostB))
	b.SetPort(wgPort)
	for _, port := range []uint16{wgPort, 0, 0} {
		if _, _, err := b.Open(port); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("Open(%d) while the port is taken: %v, want EADDRINUSE", port, err)
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, port, err := b.Open(0); err != nil || port != wgPort {
		t.Errorf("Open(0) when the port is free again: port %d, %v", port, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.SetPort(0)
	if _, port, err := b.Open(0); err != nil || port == wgPort {
		t.Errorf("Open(0) without a configured port: port %d, %v", port, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRandomPortIsFreeInBothFamilies(t *testing.T) {
	n, tries := newFakeNet(), 0
	b := peers.NewBindOn(nil, func(network string, addr netip.AddrPort, _ int, o *batching.Options) (peers.Group, error) {
		if network == "udp4" {
			tries++
			return newFakeGroup(n, netip.AddrPortFrom(hostB, cmp.Or(addr.Port(), uint16(1000+tries))), o), nil
		}
		if addr.Port() < 1004 {
			return nil, fmt.Errorf("udp6 port %d: %w", addr.Port(), syscall.EADDRINUSE)
		}
		return nil, syscall.EAFNOSUPPORT
	})
	if _, port, err := b.Open(0); err != nil || port != 1004 {
		t.Errorf("Open(0): port %d, %v; want 1004, the first that is free in both", port, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Open(1003); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("Open(1003): %v, want EADDRINUSE", err)
	}
}

func TestPacketPathNoAllocs(t *testing.T) {
	n := newFakeNet()
	b, recv, sock, _ := openBind(t, n)
	e := b.Add(keyA)
	initiationEndpoint(b, atA).FromPeer(keyA)
	bufs := transport(128, 1452)
	slab := make([]byte, 2*65535)
	packets := make([]conn.ReceivedPacket, b.BatchSize())
	d := datagram{from: atA, to: sock.group.at, data: transport(1, 200)[0][headroom:]}
	sock.quiet.Store(true)
	if got := testing.AllocsPerRun(200, func() {
		if err := b.Send(bufs, e, headroom); err != nil {
			t.Fatal(err)
		}
		for range 16 {
			sock.in <- d
		}
		k, err := recv(slab, packets)
		if err != nil {
			t.Fatal(err)
		}
		for i := range packets[:k] {
			packets[i].Endpoint.(conn.PeerAwareEndpoint).FromPeer(keyA)
		}
	}); got != 0 {
		t.Errorf("%v allocations for a batch sent and one received, want 0", got)
	}
	wantAddr(t, e, atA)
}

// initiationEndpoint returns the endpoint object of an initiation from addr.
func initiationEndpoint(b *peers.Bind, addr netip.AddrPort) interface {
	conn.Endpoint
	conn.PeerAwareEndpoint
} {
	return peers.InitiationFrom(b, addr, hostB, 1)
}
