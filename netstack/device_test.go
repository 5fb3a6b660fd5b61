// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// TestDevice checks what wireguard-go relies on.
func TestDevice(t *testing.T) {
	testutil.LeakCheck(t)
	d, err := netstack.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := d.Name(); name != "netstack" || err != nil {
		t.Errorf("Name %q, %v", name, err)
	}
	if mtu, err := d.MTU(); mtu != 1420 || err != nil {
		t.Errorf("MTU %d, %v", mtu, err)
	}
	if got, want := len(d.Queues()), min(runtime.GOMAXPROCS(0), 4); got != want {
		t.Errorf("%d queues, want %d", got, want)
	}
	if d.BatchSize() != 128 || d.File() != nil {
		t.Errorf("BatchSize %d, File %v", d.BatchSize(), d.File())
	}
	for i, q := range tun.QueuesOf(d) {
		if q.File() != nil {
			t.Errorf("queue %d has a file", i)
		}
	}
	if e := <-d.Events(); e != tun.EventUp {
		t.Errorf("event %v, want EventUp", e)
	}
	for range 3 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if e, ok := <-d.Events(); ok {
		t.Errorf("event %v after Close", e)
	}
	if err := d.SetMTU(1300); !errors.Is(err, os.ErrClosed) {
		t.Errorf("SetMTU: %v", err)
	}
	if err := d.SetAddresses(nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("SetAddresses: %v", err)
	}
	for _, network := range []string{"tcp", "udp"} {
		_, err = d.Net().DialContext(t.Context(), network, "10.0.0.1:1")
		wantOpError(t, err, "dial", net.ErrClosed)
	}
	_, err = d.Net().Listen("tcp", ":1")
	wantOpError(t, err, "listen", net.ErrClosed)
	_, err = d.Net().ListenPacket("udp", ":1")
	wantOpError(t, err, "listen", net.ErrClosed)
	_, err = d.Net().Ping(t.Context(), hostV4)
	wantOpError(t, err, "ping", net.ErrClosed)
	d.Stats()
}

func TestOptions(t *testing.T) {
	testutil.LeakCheck(t)
	v6 := []netip.Addr{netip.MustParseAddr("fd00::1")}
	for _, tt := range []struct {
		o    netstack.Options
		want string // in the error; "" for none
	}{
		{netstack.Options{}, ""},
		{netstack.Options{MTU: 65535, Queues: 256, ReceiveBuffer: 64 << 10, KeepAlive: -1, CongestionControl: "reno"}, ""},
		{netstack.Options{MTU: 576, Addresses: []netip.Addr{hostV4, hostV4, netip.AddrFrom16(hostV4.As16())}}, ""},
		{netstack.Options{MTU: 575}, "mtu 575"},
		{netstack.Options{MTU: 65536}, "mtu 65536"},
		{netstack.Options{MTU: 1279, Addresses: v6}, "fd00::1 needs at least 1280"},
		{netstack.Options{Queues: -1}, "queues -1"},
		{netstack.Options{Queues: 257}, "queues 257"},
		{netstack.Options{CongestionControl: "bbr"}, `congestion control "bbr"`},
		{netstack.Options{ReceiveBuffer: 1}, "receive buffer 1"},
		{netstack.Options{SendBuffer: -1}, "send buffer -1"},
		{netstack.Options{Addresses: []netip.Addr{{}}}, "not usable"},
		{netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, "127.0.0.1"},
		{netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("224.0.0.1")}}, "224.0.0.1"},
		{netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("255.255.255.255")}}, "255.255.255.255"},
		{netstack.Options{Addresses: []netip.Addr{netip.IPv6Unspecified()}}, "::"},
	} {
		before := tt.o
		before.Addresses = slices.Clone(tt.o.Addresses)
		d, err := netstack.New(&tt.o)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.o, err, tt.want)
		}
		if !slices.Equal(before.Addresses, tt.o.Addresses) || before.MTU != tt.o.MTU || before.Queues != tt.o.Queues {
			t.Errorf("the options were changed: %+v", tt.o)
		}
		if d != nil {
			d.Close()
		}
	}
}

// TestSetMTU changes the MTU of a device with a connection in both directions
// and checks that packets keep to it and the connection goes on.
func TestSetMTU(t *testing.T) {
	var longest atomic.Int64
	a, b := netstacktest.Pair(t, nil, &netstacktest.LinkOptions{Mangle: func(_ tun.Device, in [][]byte) [][]byte {
		for _, p := range in {
			for {
				old := longest.Load()
				if int64(len(p)) <= old || longest.CompareAndSwap(old, int64(len(p))) {
					break
				}
			}
		}
		return in
	}})
	<-a.Events()
	c, d := connect(t, a.Net(), b.Net(), netstacktest.B4)
	defer c.Close()
	defer d.Close()
	send := func() int {
		t.Helper()
		go c.Write(make([]byte, 2<<20))
		if n, err := io.CopyN(io.Discard, d, 2<<20); err != nil {
			t.Fatal(n, err)
		}
		return int(longest.Swap(0))
	}
	first := send()
	if first > 1420 || first < 1350 {
		t.Errorf("longest packet %d with MTU 1420", first)
	}
	if err := a.SetMTU(1280); err != nil {
		t.Fatal(err)
	}
	if e := <-a.Events(); e != tun.EventMTUUpdate {
		t.Errorf("event %v", e)
	}
	if mtu, _ := a.MTU(); mtu != 1280 {
		t.Errorf("MTU %d", mtu)
	}
	if got := send(); got > 1280 || got < 1250 {
		t.Errorf("longest packet %d with MTU 1280", got)
	}
	if err := a.SetMTU(9000); err != nil {
		t.Fatal(err)
	}
	if err := b.SetMTU(9000); err != nil {
		t.Fatal(err)
	}
	if got := send(); got != first {
		t.Errorf("longest packet %d of a connection made for %d", got, first)
	}
	c, d = connect(t, a.Net(), b.Net(), netstacktest.B4)
	defer c.Close()
	defer d.Close()
	if got := send(); got > 9000 || got < 8900 {
		t.Errorf("longest packet %d with MTU 9000", got)
	}

	for range 100 { // nobody looks at the events: no wait, and the last counts
		for _, mtu := range []int{1400, 1300} {
			if err := a.SetMTU(mtu); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, mtu := range []int{0, 575, 1279, 65536} {
		if err := a.SetMTU(mtu); err == nil {
			t.Errorf("SetMTU(%d): no error", mtu)
		}
	}
	if mtu, _ := a.MTU(); mtu != 1300 {
		t.Errorf("MTU %d after refused changes", mtu)
	}
}

// TestSetAddresses renumbers a live host: connections over an address that
// stays go on, one that goes does not answer, a new one does.
func TestSetAddresses(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	l, err := b.Net().Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Net().DialContext(t.Context(), "tcp", netip.AddrPortFrom(netstacktest.B6, 80).String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	alive := func() {
		t.Helper()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Read(make([]byte, 9)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	alive()
	added := netip.MustParseAddr("10.99.0.3")
	if err := b.SetAddresses([]netip.Addr{added, netstacktest.B6}); err != nil {
		t.Fatal(err)
	}
	alive()
	if got := b.Addresses(); !slices.Equal(got, []netip.Addr{added, netstacktest.B6}) {
		t.Errorf("addresses %v", got)
	}
	if _, err := a.Net().Ping(t.Context(), added); err != nil {
		t.Error(err)
	}
	before := b.Stats()
	req := testutil.Echo(netstacktest.A4, netstacktest.B4, 1, 1, nil)
	if _, err := b.Write([][]byte{req}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Net().Ping(t.Context(), added); err != nil { // after it
		t.Error(err)
	}
	// Not by what b sends: the acknowledgement of what alive wrote may be late.
	if n := b.Stats().Inbound.DropsAddress - before.Inbound.DropsAddress; n != 1 {
		t.Errorf("%d packets dropped, want one: the removed address must not answer", n)
	}
	if c, err := b.Net().DialContext(t.Context(), "udp", "10.99.0.1:5"); err != nil || !strings.HasPrefix(c.LocalAddr().String(), "10.99.0.3:") {
		t.Errorf("source of a new socket: %v, %v", c, err)
	}
	// Nothing changes when one is refused.
	for _, bad := range [][]netip.Addr{{netip.MustParseAddr("10.99.0.4"), {}}, {netip.MustParseAddr("ff02::1")}} {
		if err := b.SetAddresses(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
	if got := b.Addresses(); !slices.Equal(got, []netip.Addr{added, netstacktest.B6}) {
		t.Errorf("addresses %v", got)
	}
	alive()
	if err := b.SetAddresses(nil); err != nil || len(b.Addresses()) != 0 {
		t.Error(err, b.Addresses())
	}
	if _, err := b.Net().DialContext(t.Context(), "tcp", "10.99.0.1:5"); err == nil {
		t.Error("a host without address connected")
	}
}
