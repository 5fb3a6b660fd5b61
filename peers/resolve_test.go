// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/peers"
)

// names is a resolver whose answers change.
type names struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
	asked int
}

func (n *names) set(err error, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err, n.addrs = err, nil
	for _, a := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(a))
	}
}

func (n *names) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if host != "vpn.example.org" {
		return nil, errors.New("no such host")
	}
	return slices.Clone(n.addrs), n.err
}

// initiate sends a handshake initiation with that sender index to e.
func initiate(t *testing.T, b *peers.Bind, e *peers.Endpoint, sender uint32) {
	t.Helper()
	buf := make([]byte, headroom+device.MessageInitiationSize)
	buf[headroom] = device.MessageInitiationType
	binary.LittleEndian.PutUint32(buf[headroom+4:], sender)
	if err := b.Send([][]byte{buf}, e, headroom); err != nil {
		t.Fatal(err)
	}
}

func TestNameIsLookedUpAgainWhenHandshakesGoUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet()
		var dns names
		dns.set(nil, "192.0.2.10")
		b := peers.NewBindOn(&peers.Options{Lookup: dns.lookup}, n.listenAt(hostB))
		if _, _, err := b.Open(wgPort); err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.RunResolver(ctx) }()

		e := b.Add(keyA)
		e.SetName(peers.Name{Host: "vpn.example.org", Port: 51820})
		if err := e.Resolve(ctx); err != nil {
			t.Fatal(err)
		}
		wantAddr(t, e, netip.MustParseAddrPort("192.0.2.10:51820"))

		// Answered handshakes ask for nothing, even after the name has moved.
		dns.set(nil, "2001:db8::1", "192.0.2.11", "192.0.2.12")
		for i := range uint32(5) {
			initiate(t, b, e, i+1)
			peers.Answered(b, i+1)
		}
		synctest.Wait()
		if dns.asked != 1 {
			t.Fatalf("looked up %d times, want once", dns.asked)
		}

		// Unanswered ones do, and go through the addresses of open families.
		for i, want := range []string{"192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.11"} {
			initiate(t, b, e, uint32(100+i))
			synctest.Wait()
			wantAddr(t, e, netip.AddrPortFrom(netip.MustParseAddr(want), 51820))
		}

		// A resolver that fails leaves the address alone, and is asked again.
		dns.set(errors.New("timeout"))
		asked := dns.asked
		for i := range uint32(3) {
			initiate(t, b, e, 200+i)
			synctest.Wait()
		}
		if dns.asked != asked+3 {
			t.Errorf("asked %d times after failures, want 3", dns.asked-asked)
		}
		wantAddr(t, e, netip.MustParseAddrPort("192.0.2.11:51820"))

		// An authenticated packet ends it.
		initiationEndpoint(b, atA).FromPeer(keyA)
		asked = dns.asked
		initiate(t, b, e, 300)
		synctest.Wait()
		if dns.asked != asked {
			t.Error("looked up although the peer was just heard")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("RunResolver: %v", err)
		}
	})
}

func TestNameOfAPeerThatIsNowhereIsLookedUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet()
		var dns names
		dns.set(nil, "192.0.2.10")
		b := peers.NewBindOn(&peers.Options{Lookup: dns.lookup}, n.listenAt(hostB))
		if _, _, err := b.Open(wgPort); err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go b.RunResolver(ctx)
		e := b.Add(keyA)
		e.SetName(peers.Name{Host: "vpn.example.org", Port: 1})
		initiate(t, b, e, 1)
		synctest.Wait()
		wantAddr(t, e, netip.MustParseAddrPort("192.0.2.10:1"))
	})
}

func TestNextAddr(t *testing.T) {
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	for _, tt := range []struct {
		addrs []netip.Addr
		cur   netip.Addr
		want  netip.Addr
	}{
		{[]netip.Addr{a, b}, netip.Addr{}, a},
		{[]netip.Addr{a, b}, a, b},
		{[]netip.Addr{a, b}, b, a},
		{[]netip.Addr{a}, a, a},
		{[]netip.Addr{a, b}, c, a},
		{nil, c, netip.Addr{}},
	} {
		got, ok := peers.NextAddr(tt.addrs, tt.cur)
		if got != tt.want || ok != tt.want.IsValid() {
			t.Errorf("after %v in %v: got %v, %v; want %v", tt.cur, tt.addrs, got, ok, tt.want)
		}
	}
}
