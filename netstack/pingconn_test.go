// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// TestPingConn pings through connections, as programs with a package of their
// own for ICMP do.
func TestPingConn(t *testing.T) {
	testutil.LeakCheck(t)
	a, _ := netstacktest.Pair(t, nil, nil)
	for _, tt := range []struct {
		network, address string
		local            string
		proto            int // of icmp.ParseMessage
		request, reply   icmp.Type
	}{
		{"ping", "10.99.0.2", "10.99.0.1", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply},
		{"ping4", "10.99.0.2", "10.99.0.1", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply},
		{"ping", "fd99::2", "fd99::1", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply},
		{"ping6", "fd99::2", "fd99::1", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply},
		{"ping6", "fd99::1", "fd99::1", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply}, // itself
	} {
		t.Run(tt.network+" "+tt.address, func(t *testing.T) {
			c, err := a.Net().DialContext(t.Context(), tt.network, tt.address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if l, r := c.LocalAddr().String(), c.RemoteAddr().String(); l != tt.local || r != tt.address {
				t.Errorf("from %s to %s, want %s to %s", l, r, tt.local, tt.address)
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
			const count = 5
			for seq := range count {
				msg, err := (&icmp.Message{Type: tt.request, Body: &icmp.Echo{ID: 4711, Seq: seq, Data: fmt.Append(nil, "data ", seq)}}).Marshal(nil)
				if err != nil {
					t.Fatal(err)
				}
				msg[2], msg[3] = 0xde, 0xad // the checksum is not ours to know
				if n, err := c.Write(msg); n != len(msg) || err != nil {
					t.Fatal(n, err)
				}
			}
			// Replies that have come before Read is called count too.
			buf := make([]byte, 1500)
			for seq := range count {
				n, err := c.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				m, err := icmp.ParseMessage(tt.proto, buf[:n])
				if err != nil {
					t.Fatal(err)
				}
				e, ok := m.Body.(*icmp.Echo)
				if m.Type != tt.reply || !ok || e.Seq != seq || string(e.Data) != fmt.Sprint("data ", seq) {
					t.Errorf("reply %d: %v %+v", seq, m.Type, m.Body)
				}
			}
		})
	}
}

// TestPingConnErrors checks deadlines, bad messages and ends.
func TestPingConnErrors(t *testing.T) {
	testutil.LeakCheck(t)
	a, _ := netstacktest.Pair(t, nil, nil)
	request := []byte{8, 0, 0, 0, 0, 0, 0, 1}
	dial := func(network, address string) net.Conn {
		t.Helper()
		c, err := a.Net().DialContext(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial("ping", "10.99.0.77") // which does not answer
	if _, err := c.Write(request); err != nil {
		t.Error(err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	for range 2 {
		_, err := c.Read(make([]byte, 100))
		wantOpError(t, err, "read", os.ErrDeadlineExceeded)
	}
	c.SetWriteDeadline(time.Unix(1, 0))
	_, err := c.Write(request)
	wantOpError(t, err, "write", os.ErrDeadlineExceeded)
	c.SetDeadline(time.Time{})
	for _, bad := range [][]byte{nil, request[:7], {0, 0, 0, 0, 0, 0, 0, 1}, {128, 0, 0, 0, 0, 0, 0, 1}, {8, 1, 0, 0, 0, 0, 0, 1}} {
		_, err := c.Write(bad)
		wantOpError(t, err, "write", syscall.EINVAL)
	}
	_, err = dial("ping6", "fd99::2").Write(request)
	wantOpError(t, err, "write", syscall.EINVAL)

	// A reply that does not fit.
	c = dial("ping4", "10.99.0.2")
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for _, size := range []int{4, 0} {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, size)); n != size || err != nil {
			t.Errorf("read %d, %v into %d bytes", n, err, size)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		network, address string
		ctx              context.Context
	}{
		{"ping", "", t.Context()},
		{"ping", "10.99.0.2:7", t.Context()},
		{"ping4", "fd99::2", t.Context()},
		{"ping6", "10.99.0.2", t.Context()},
		{"ping", "example.com", t.Context()},
		{"ping", "127.0.0.1", t.Context()},
		{"ping5", "10.99.0.2", t.Context()},
		{"ping", "10.99.0.2", ctx},
	} {
		if c, err := a.Net().DialContext(tt.ctx, tt.network, tt.address); err == nil {
			c.Close()
			t.Errorf("dial %s %q: no error", tt.network, tt.address)
		}
	}

	done := make(chan error)
	for _, end := range []func(net.Conn){
		func(c net.Conn) { c.Close() },
		func(net.Conn) { a.Close() },
	} {
		c := dial("ping", "10.99.0.77")
		go func() {
			_, err := c.Read(make([]byte, 100))
			done <- err
		}()
		end(c)
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read of what is closed: %v", err)
		}
		if _, err := c.Write(request); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write to what is closed: %v", err)
		}
	}
}
