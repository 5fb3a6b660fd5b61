// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
	"github.com/tunrouter/tunrouter/netstack/resolver"
)

// names are what a name server knows, by absolute name.
type names map[string][]netip.Addr

// answer returns the answer to query, cut short for UDP if cut says so.
func (z names) answer(query []byte, cut bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	addrs, ok := z[q.Name.String()]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
		switch {
		case cut:
			m.Truncated = true
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// serveNames answers from z on port of n until the end of the test, over TCP
// only what begins with long. It returns a counter of queries.
func serveNames(t *testing.T, n *netstack.Net, port string, z names) *atomic.Int32 {
	t.Helper()
	var queries atomic.Int32
	pc := listenUDP(t, n, "udp", ":"+port)
	l, err := n.Listen("tcp", ":"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go answerNames(pc, z, &queries)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					msg := make([]byte, 2)
					if _, err := io.ReadFull(c, msg); err != nil {
						return
					}
					msg = make([]byte, binary.BigEndian.Uint16(msg))
					if _, err := io.ReadFull(c, msg); err != nil {
						return
					}
					queries.Add(1)
					a := z.answer(msg, false)
					c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
				}
			}()
		}
	}()
	return &queries
}

// answerNames answers over pc until it is closed, and counts.
func answerNames(pc net.PacketConn, z names, queries *atomic.Int32) {
	buf := make([]byte, 1500)
	for {
		k, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		queries.Add(1)
		pc.WriteTo(z.answer(buf[:k], strings.Contains(string(buf[:k]), "\x04long")), from)
	}
}

// TestResolver resolves and dials names through the tunnel, while servers,
// search domains and addresses change.
func TestResolver(t *testing.T) {
	testutil.LeakCheck(t)
	dead4, dead6 := netip.MustParseAddr("10.99.0.77"), netip.MustParseAddr("fd99::77")
	o := &netstack.Options{
		DNS:    []netip.AddrPort{netip.AddrPortFrom(netstacktest.B4, 0)},
		Search: []string{"test"},
	}
	a, b := netstacktest.Pair(t, o, nil)
	queries := serveNames(t, b.Net(), "53", names{
		"both.test.": {netstacktest.B4, netstacktest.B6},
		"long.test.": {netstacktest.B4},
		"half.test.": {dead4, dead6, netstacktest.B4},
		"home.test.": {netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()},
	})
	other := serveNames(t, b.Net(), "5353", names{"both.other.": {netstacktest.B6}})
	l, err := b.Net().Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listenUDP(t, b.Net(), "udp", ":80")
	dialed := func(network, address string) string {
		t.Helper()
		c, err := a.Net().DialContext(context.Background(), network, address)
		if err != nil {
			t.Errorf("dial %s %s: %v", network, address, err)
			return ""
		}
		defer c.Close()
		return c.RemoteAddr().String()
	}
	for _, tt := range []struct{ network, address, want string }{
		{"tcp", "both:80", "[fd99::2]:80"},
		{"tcp4", "both.test:http", "10.99.0.2:80"},
		{"udp", "both.test.:80", "[fd99::2]:80"},
		{"udp4", "both:80", "10.99.0.2:80"},
		{"tcp", "long:80", "10.99.0.2:80"},
		{"tcp", "half:80", "10.99.0.2:80"}, // two dead addresses, no deadline
		{"ping", "both", "fd99::2"},
		{"ping4", "both", "10.99.0.2"},
	} {
		if got := dialed(tt.network, tt.address); got != tt.want {
			t.Errorf("%s %s: connected to %s, want %s", tt.network, tt.address, got, tt.want)
		}
	}

	if n := queries.Load(); n != 2+4+2 { // "long" twice over TCP
		t.Errorf("%d queries for 3 names", n)
	}
	var de *net.DNSError
	for _, address := range []string{"none:80", "both.:80"} {
		_, err := a.Net().DialContext(t.Context(), "tcp", address)
		if !errors.As(err, &de) || !de.IsNotFound || de.Server != "10.99.0.2:53" {
			t.Errorf("dial %s: %#v", address, err)
		}
	}
	for _, address := range []string{"home:80", "localhost:80"} {
		_, err := a.Net().DialContext(t.Context(), "tcp", address)
		wantOpError(t, err, "dial", syscall.ENETUNREACH)
	}
	if got, err := a.Net().Resolver().LookupHost(t.Context(), "both"); err != nil || strings.Join(got, " ") != "fd99::2 10.99.0.2" {
		t.Errorf("LookupHost: %v, %v", got, err)
	}

	// The device's addresses decide which families are asked for.
	if err := a.SetAddresses([]netip.Addr{netstacktest.A4, netip.MustParseAddr("fe80::1")}); err != nil {
		t.Fatal(err)
	}
	if got := dialed("tcp", "both:80"); got != "10.99.0.2:80" {
		t.Errorf("connected to %s from IPv4", got)
	}
	if err := a.SetAddresses([]netip.Addr{netstacktest.A4, netstacktest.A6}); err != nil {
		t.Fatal(err)
	}

	if err := a.SetResolver(o.DNS, o.Search, resolver.PreferIPv4); err != nil {
		t.Fatal(err)
	}
	if got := dialed("tcp", "both:80"); got != "10.99.0.2:80" {
		t.Errorf("connected to %s, want IPv4 preferred", got)
	}
	before := queries.Load()
	if err := a.SetResolver([]netip.AddrPort{netip.AddrPortFrom(netstacktest.B6, 5353)}, []string{"other"}, 0); err != nil {
		t.Fatal(err)
	}
	if got := dialed("tcp", "both:80"); got != "[fd99::2]:80" || other.Load() != 2 || queries.Load() != before {
		t.Errorf("connected to %s after %d queries", got, other.Load())
	}
	bad := []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), 53)}
	if err := a.SetResolver(bad, nil, 0); err == nil || !strings.Contains(err.Error(), "0.0.0.0:53") {
		t.Errorf("server 0.0.0.0: %v", err)
	}
	if _, err := netstack.New(&netstack.Options{DNS: bad}); err == nil || !strings.Contains(err.Error(), "0.0.0.0:53") {
		t.Errorf("server 0.0.0.0: %v", err)
	}
	if err := a.SetResolver(nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Net().DialContext(t.Context(), "tcp", "both:80"); err == nil || !strings.Contains(err.Error(), "set DNS in [Interface]") {
		t.Errorf("without servers: %v", err)
	}
}

// TestResolverCloses closes a device that waits for an answer.
func TestResolverCloses(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, &netstack.Options{DNS: []netip.AddrPort{netip.AddrPortFrom(netstacktest.B4, 53)}}, nil)
	pc := listenUDP(t, b.Net(), "udp", ":53")
	done := make(chan error)
	go func() {
		_, err := a.Net().DialContext(context.Background(), "tcp", "a.test:80")
		done <- err
	}()
	if _, _, err := pc.ReadFrom(make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial of a closed device: %v", err)
	}
	if err := a.SetResolver(nil, nil, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("SetResolver of a closed device: %v", err)
	}
}

// TestUnreachable dials addresses that packets must not be sent to.
func TestUnreachable(t *testing.T) {
	testutil.LeakCheck(t)
	a, _ := netstacktest.Pair(t, nil, nil)
	for _, host := range []string{"127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"} {
		for _, network := range []string{"tcp", "udp"} {
			_, err := a.Net().DialContext(t.Context(), network, net.JoinHostPort(host, "80"))
			wantOpError(t, err, "dial", syscall.ENETUNREACH)
		}
		_, err := a.Net().Ping(t.Context(), netip.MustParseAddr(host))
		wantOpError(t, err, "ping", syscall.ENETUNREACH)
	}
	for i, q := range a.Stats().Queues {
		if q.Packets+uint64(q.Depth) != 0 {
			t.Errorf("queue %d: %d packets sent", i, q.Packets)
		}
	}
}
