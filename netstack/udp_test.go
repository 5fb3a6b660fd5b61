// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

func listenUDP(t *testing.T, n *netstack.Net, network, address string) net.PacketConn {
	t.Helper()
	pc, err := n.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

// echo sends back what comes until pc is closed.
func echo(pc net.PacketConn) {
	buf := make([]byte, 65535)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		pc.WriteTo(buf[:n], from)
	}
}

// TestUDP sends datagrams of many sizes, whole and in fragments, between sockets
// of all families.
func TestUDP(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	for _, tt := range []struct {
		network, listen string
		to              netip.Addr
		shown           string
	}{
		{"udp", ":70", netstacktest.B4, "[::]:70"},
		{"udp", ":71", netstacktest.B6, "[::]:71"},
		{"udp4", ":72", netstacktest.B4, "0.0.0.0:72"},
		{"udp6", "[fd99::2]:73", netstacktest.B6, "[fd99::2]:73"},
	} {
		t.Run(tt.network+" "+tt.to.String(), func(t *testing.T) {
			pc := listenUDP(t, b.Net(), tt.network, tt.listen)
			if pc.LocalAddr().String() != tt.shown {
				t.Errorf("LocalAddr %v, want %s", pc.LocalAddr(), tt.shown)
			}
			go echo(pc)
			to := netip.AddrPortFrom(tt.to, pc.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			c, err := a.Net().DialContext(t.Context(), tt.network, to.String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))
			buf := make([]byte, 65535)
			for _, n := range []int{0, 1, 1000, 1372, 1373, 8000, 65507 - 48} {
				if k, err := c.Write(pattern(n)); k != n || err != nil {
					t.Fatalf("wrote %d of %d: %v", k, n, err)
				}
				k, err := c.Read(buf)
				if err != nil || !bytes.Equal(buf[:k], pattern(n)) {
					t.Fatalf("%d of %d bytes: %v", k, n, err)
				}
			}
			if c.RemoteAddr().String() != to.String() {
				t.Errorf("RemoteAddr %v", c.RemoteAddr())
			}

			// The same from a socket that is not connected.
			free := listenUDP(t, a.Net(), "udp", ":0")
			free.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := free.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(to)); err != nil {
				t.Fatal(err)
			}
			k, from, err := free.ReadFrom(buf)
			if err != nil || string(buf[:k]) != "hello" || from.String() != to.String() {
				t.Errorf("%q from %v, want %v: %v", buf[:k], from, to, err)
			}
		})
	}
}

func TestUDPErrors(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	dial := func(to string) net.Conn {
		t.Helper()
		c, err := a.Net().DialContext(t.Context(), "udp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	sink := listenUDP(t, b.Net(), "udp", "10.99.0.2:60")

	c := dial("10.99.0.2:9") // closed: the answer is port unreachable
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	wantOpError(t, err, "read", syscall.ECONNREFUSED)

	c = dial("10.99.0.2:60")
	_, err = c.Write(make([]byte, 65536))
	wantOpError(t, err, "write", syscall.EMSGSIZE)
	_, err = c.(net.PacketConn).WriteTo([]byte("x"), c.RemoteAddr())
	wantOpError(t, err, "write", net.ErrWriteToConnected)
	_, err = sink.(net.Conn).Write([]byte("x"))
	wantOpError(t, err, "write", syscall.EDESTADDRREQ)
	if _, err := sink.WriteTo([]byte("x"), &net.TCPAddr{}); err == nil {
		t.Error("sent to a TCP address")
	}
	if _, err := sink.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("[fd99::1]:5"))); err == nil {
		t.Error("sent from an IPv4 socket to an IPv6 address")
	}

	// What does not fit is lost, as everywhere.
	for _, s := range []string{"long datagram", "next"} {
		if _, err := c.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	sink.SetReadDeadline(time.Now().Add(20 * time.Second))
	for _, want := range []string{"long", "next"} {
		buf := make([]byte, 4)
		if n, _, err := sink.ReadFrom(buf); string(buf[:n]) != want || err != nil {
			t.Errorf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	sink.SetReadDeadline(time.Now())
	_, _, err = sink.ReadFrom(make([]byte, 4))
	wantOpError(t, err, "read", os.ErrDeadlineExceeded)

	sink.SetReadDeadline(time.Time{})
	read := make(chan error)
	go func() {
		_, _, err := sink.ReadFrom(make([]byte, 4))
		read <- err
	}()
	sink.Close()
	wantOpError(t, <-read, "read", net.ErrClosed)
	_, err = sink.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.99.0.1:5")))
	wantOpError(t, err, "write", net.ErrClosed)
}

// TestUDPWaits checks that a sender whose packets nobody reads waits, that its
// deadline and Close end the wait, and that all it sent is there afterwards.
func TestUDPWaits(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 1})
	c, err := d.Net().DialContext(t.Context(), "udp", "10.1.0.9:1")
	if err != nil {
		t.Fatal(err)
	}
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	sent := 0
	for err == nil {
		if _, err = c.Write(pattern(1000)); err == nil {
			sent++
		}
	}
	wantOpError(t, err, "write", os.ErrDeadlineExceeded)
	if q := d.Stats().Queues[0]; q.Depth != sent || q.DropsFull != 0 {
		t.Errorf("sent %d: %+v", sent, q)
	}
	c.SetWriteDeadline(time.Time{})
	wrote := make(chan error)
	go func() {
		_, err := c.Write(pattern(1000))
		wrote <- err
	}()
	c.Close()
	wantOpError(t, <-wrote, "write", net.ErrClosed)
}

// TestCloseWhileRingFull closes a device while senders wait in its ring, inside
// the stack, where only Close reaches them.
func TestCloseWhileRingFull(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, &netstack.Options{Queues: 1})
	const senders = 8 // each may have a quarter of a ring in flight
	errs := make(chan error)
	for range senders {
		c, err := d.Net().DialContext(t.Context(), "udp", "10.1.0.9:1")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if _, err := c.Write(pattern(1000)); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for d.Stats().Queues[0].Waits == 0 {
		runtime.Gosched()
	}
	d.Close()
	for range senders {
		wantOpError(t, <-errs, "write", net.ErrClosed)
	}
}

// TestFragments checks that a datagram in fragments is verified too, which only
// the stack can do, after reassembly.
func TestFragments(t *testing.T) {
	d := newDevice(t, nil)
	pc := listenUDP(t, d.Net(), "udp", ":5")
	pc.SetReadDeadline(time.Now().Add(20 * time.Second))
	fragments := func(id byte, payload []byte, spoil byte) [][]byte {
		whole := testutil.UDP(netip.AddrPortFrom(farV4, 4), netip.AddrPortFrom(hostV4, 5), payload)
		whole[len(whole)-1] += spoil
		const cut = 20 + 1024
		first, last := bytes.Clone(whole[:cut]), append(bytes.Clone(whole[:20]), whole[cut:]...)
		for i, b := range [][]byte{first, last} {
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			b[5] = id
			binary.BigEndian.PutUint16(b[6:], []uint16{0x2000, 1024 / 8}[i])
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], ^tun.Checksum(b[:20], 0))
		}
		return [][]byte{last, first}
	}
	bad := fragments(1, append(pattern(2000), "bad"...), 1)
	good := fragments(2, append(pattern(2000), "good"...), 0)
	if n, err := d.Write(append(bad, good...), 0); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	buf := make([]byte, 3000)
	n, _, err := pc.ReadFrom(buf)
	if err != nil || !bytes.Equal(buf[:n], append(pattern(2000), "good"...)) {
		t.Errorf("%d bytes ending in %q, %v", n, buf[max(n-4, 0):n], err)
	}
}

func TestPing(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	ctx := t.Context()
	for _, to := range []netip.Addr{netstacktest.B4, netstacktest.B6, netstacktest.A4, netstacktest.A6, netip.AddrFrom16(netstacktest.B4.As16())} {
		rtt, err := a.Net().Ping(ctx, to)
		if err != nil || rtt <= 0 {
			t.Errorf("%v: %v, %v", to, rtt, err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := a.Net().Ping(short, netip.MustParseAddr("10.99.0.77"))
	wantOpError(t, err, "ping", context.DeadlineExceeded)
	if _, err := a.Net().Ping(ctx, netip.Addr{}); err == nil {
		t.Error("pinged no address")
	}
	done := make(chan error)
	go func() {
		_, err := b.Net().Ping(ctx, netip.MustParseAddr("fd99::77"))
		done <- err
	}()
	for b.Stats().Queues[0].Packets+b.Stats().Queues[len(b.Stats().Queues)-1].Packets == 0 {
		runtime.Gosched()
	}
	b.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ping of a closed device: %v", err)
	}
}
