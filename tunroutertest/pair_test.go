// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunroutertest_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/tunroutertest"
)

// patience bounds waits for what must happen.
const patience = 60 * time.Second

// TestPair uses both directions, both families, TCP and UDP.
func TestPair(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := tunroutertest.Pair(t)
	for _, tt := range []struct {
		from, to *netstack.Net
		host     string
	}{
		{a, b, "10.99.0.2"}, {a, b, "fd99::2"}, {b, a, "10.99.0.1"}, {b, a, "fd99::1"},
	} {
		transfer(t, tt.from, tt.to, tt.host, 1<<20)
	}
	pc, err := b.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c, err := a.DialContext(t.Context(), "udp", "10.99.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("datagram")); err != nil {
		t.Fatal(err)
	}
	pc.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 100)
	if n, _, err := pc.ReadFrom(buf); err != nil || string(buf[:n]) != "datagram" {
		t.Errorf("received %q, %v", buf[:n], err)
	}
}

// transfer sends size bytes to host, which is to, and compares checksums.
func transfer(t *testing.T, from, to *netstack.Net, host string, size int) {
	t.Helper()
	l, err := to.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write(data)
			c.Close()
		}
		sent <- err
	}()
	c, err := from.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("%d bytes of %d from %s, %v", len(got), len(data), host, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestPairWith checks that options count.
func TestPairWith(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    tunroutertest.PairOptions
		to   string
	}{
		{"addresses", tunroutertest.PairOptions{
			A: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
			B: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("198.51.100.1")},
		}, "198.51.100.1"},
		{"mtu 576", tunroutertest.PairOptions{
			A:   []netip.Addr{netip.MustParseAddr("10.99.0.1")},
			B:   []netip.Addr{netip.MustParseAddr("10.99.0.2")},
			MTU: 576,
		}, "10.99.0.2"},
		{"mtu 9000", tunroutertest.PairOptions{MTU: 9000}, "fd99::2"},
		{"loss", tunroutertest.PairOptions{Loss: 0.02}, "10.99.0.2"},
		{"much loss", tunroutertest.PairOptions{Loss: 0.2}, "fd99::2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testutil.LeakCheck(t)
			a, b := tunroutertest.PairWith(t, &tt.o)
			transfer(t, a, b, tt.to, 64<<10)
		})
	}
}

// TestHTTP runs a server of httptest inside the tunnel.
func TestHTTP(t *testing.T) {
	testutil.LeakCheck(t)
	client, server := tunroutertest.Pair(t)
	l, err := server.Listen("tcp", "10.99.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from %s", r.URL.Path, r.RemoteAddr)
	}))
	s.Listener.Close() // the one on the host
	s.Listener = l
	s.Start()
	defer s.Close()

	transport := &http.Transport{DialContext: client.DialContext}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport, Timeout: patience}
	resp, err := hc.Get(s.URL + "/tunnel")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.HasPrefix(body, []byte("/tunnel from 10.99.0.1:")) {
		t.Errorf("got %q, %v", body, err)
	}
}

// TestParallel has 20 pairs at once, with the same addresses.
func TestParallel(t *testing.T) {
	testutil.LeakCheck(t)
	t.Run("pairs", func(t *testing.T) {
		for i := range 20 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				a, b := tunroutertest.Pair(t)
				transfer(t, a, b, "10.99.0.2", 16<<10+16*i)
			})
		}
	})
}
