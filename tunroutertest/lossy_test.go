// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunroutertest_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunroutertest"
)

// TestLossy checks that the same datagrams pass in every run, both ways, and that they come from the
// address that the others went to.
func TestLossy(t *testing.T) {
	testutil.LeakCheck(t)
	open := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
		return c
	}
	caller, listener := open(), open()
	path := tunroutertest.StartLossy(t, listener.LocalAddr().(*net.UDPAddr).AddrPort(), 0.5)
	send := func(from *net.UDPConn) {
		t.Helper()
		for i := range 20 {
			if _, err := from.WriteToUDPAddrPort([]byte{byte(i)}, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	receive := func(to *net.UDPConn) {
		t.Helper()
		var got []byte
		for buf := make([]byte, 10); len(got) < 8; {
			n, from, err := to.ReadFromUDPAddrPort(buf)
			if err != nil || n != 1 || netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != path {
				t.Fatalf("%d bytes from %v, %v", n, from, err)
			}
			got = append(got, buf[0])
		}
		if want := []byte{0, 2, 4, 6, 8, 10, 11, 13}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	send(caller)
	receive(listener)
	send(listener)
	receive(caller)
}
