// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun/tuntest"
	"github.com/tunrouter/tunrouter/peers"
)

// patience bounds a wait for something that must happen; nothing waits that
// long in a run that passes.
const patience = 20 * time.Second

// A node is a WireGuard device on a channel TUN and the fake network.
type node struct {
	t       testing.TB
	net     *fakeNet
	private *ecdh.PrivateKey
	public  peers.Key
	inner   netip.Addr
	outer   netip.AddrPort
	bind    *peers.Bind
	tun     *tuntest.ChannelTUN
	dev     *device.Device
}

const wgPort = 51820

// newNode returns a node with one socket.
func newNode(t testing.TB, n *fakeNet, i int) *node {
	t.Helper()
	host := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
	o := &peers.Options{Logger: slog.New(slog.DiscardHandler), Sockets: 1}
	x := startNode(t, peers.NewBindOn(o, n.listenAt(host)), i, wgPort)
	x.net, x.outer = n, netip.AddrPortFrom(host, wgPort)
	return x
}

// restartNode returns another node with the keys and addresses of x, on another port.
func restartNode(t testing.TB, n *fakeNet, x *node, port uint16) *node {
	t.Helper()
	o := &peers.Options{Logger: slog.New(slog.DiscardHandler), Sockets: 1}
	host := x.outer.Addr()
	again := startNodeAs(t, peers.NewBindOn(o, n.listenAt(host)), int(host.As4()[3]), port, x.private)
	again.net, again.outer = n, netip.AddrPortFrom(host, port)
	return again
}

// startNode returns a node that is up; port 0 is a free one.
func startNode(t testing.TB, b *peers.Bind, i int, port uint16) *node {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return startNodeAs(t, b, i, port, private)
}

func startNodeAs(t testing.TB, b *peers.Bind, i int, port uint16, private *ecdh.PrivateKey) *node {
	t.Helper()
	x := &node{
		t:       t,
		private: private,
		public:  peers.Key(private.PublicKey().Bytes()),
		inner:   netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
		bind:    b,
		tun:     tuntest.NewChannelTUN(),
	}
	x.dev = device.NewDevice(x.tun.TUN(), x.bind, &device.Logger{Verbosef: device.DiscardLogf, Errorf: t.Logf})
	t.Cleanup(x.dev.Close)
	x.set("private_key=%x\nlisten_port=%d\n", private.Bytes(), port)
	if err := x.dev.Up(); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *node) set(format string, args ...any) {
	x.t.Helper()
	if err := x.dev.IpcSet(fmt.Sprintf(format, args...)); err != nil {
		x.t.Fatal(err)
	}
}

// peer makes o a peer of x and returns its endpoint. An invalid addr means that
// x does not know where o is.
func (x *node) peer(o *node, addr netip.AddrPort) *peers.Endpoint {
	x.t.Helper()
	e := x.bind.Add(o.public)
	if addr.IsValid() {
		e.SetAddr(addr)
	}
	key := hex.EncodeToString(o.public[:])
	x.set("public_key=%s\nendpoint=%s\nallowed_ip=%s/32\n", key, key, o.inner)
	return e
}

// ping sends one packet through the tunnel and waits until it has come out.
func (x *node) ping(to *node) {
	x.t.Helper()
	if err := x.tryPing(to); err != nil {
		x.t.Fatal(err)
	}
}

// tryPing is ping for goroutines other than that of the test.
func (x *node) tryPing(to *node) error {
	p := tuntest.Ping(to.inner, x.inner)
	deadline := time.After(patience)
	select {
	case x.tun.Outbound <- p:
	case <-deadline:
		return fmt.Errorf("%s takes no packet", x.inner)
	}
	for {
		select {
		case got := <-to.tun.Inbound:
			if bytes.Equal(got, p) {
				return nil
			}
		case <-deadline:
			return fmt.Errorf("packet from %s did not reach %s", x.inner, to.inner)
		}
	}
}

// pair returns two nodes, the first of which knows where the second is.
func pair(t *testing.T) (n *fakeNet, a, b *node, ofB, ofA *peers.Endpoint) {
	t.Helper()
	n = newFakeNet()
	a, b = newNode(t, n, 1), newNode(t, n, 2)
	return n, a, b, a.peer(b, b.outer), b.peer(a, netip.AddrPort{})
}

func wantAddr(t *testing.T, e *peers.Endpoint, want netip.AddrPort) {
	t.Helper()
	if got := e.Addr(); got != want {
		t.Fatalf("peer is at %v, want %v", got, want)
	}
}

// eventually waits for cond, which another goroutine makes true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

// handshake returns a text that changes with every handshake of x.
func (x *node) handshake() string {
	x.t.Helper()
	s, err := x.dev.IpcGet()
	if err != nil {
		x.t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "last_handshake_time") {
			out.WriteString(line)
		}
	}
	if out.Len() == 0 {
		x.t.Fatalf("the device tells of no handshake:\n%s", s)
	}
	return out.String()
}
