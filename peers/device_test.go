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

func newNode(t testing.TB, n *fakeNet, i int) *node {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
	o := &peers.Options{Logger: slog.New(slog.DiscardHandler)}
	x := &node{
		t: t, net: n,
		private: private,
		public:  peers.Key(private.PublicKey().Bytes()),
		inner:   netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
		outer:   netip.AddrPortFrom(host, wgPort),
		bind:    peers.NewBindOn(o, n.listenAt(host)),
		tun:     tuntest.NewChannelTUN(),
	}
	x.dev = device.NewDevice(x.tun.TUN(), x.bind, &device.Logger{Verbosef: device.DiscardLogf, Errorf: t.Logf})
	t.Cleanup(x.dev.Close)
	x.set("private_key=%x\nlisten_port=%d\n", private.Bytes(), wgPort)
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
	p := tuntest.Ping(to.inner, x.inner)
	deadline := time.After(patience)
	select {
	case x.tun.Outbound <- p:
	case <-deadline:
		x.t.Fatalf("%s takes no packet", x.inner)
	}
	for {
		select {
		case got := <-to.tun.Inbound:
			if bytes.Equal(got, p) {
				return
			}
		case <-deadline:
			x.t.Fatalf("packet from %s did not reach %s", x.inner, to.inner)
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
