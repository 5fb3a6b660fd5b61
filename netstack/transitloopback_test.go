// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
)

// Packets to loopback addresses are taken if asked for, and otherwise dropped;
// packets from them are dropped in any case.
func TestTransitLoopback(t *testing.T) {
	for _, to := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")} {
		from := farV4
		if to.Is6() {
			from = farV6
		}
		for _, wanted := range []bool{false, true} {
			d := newDevice(t, &netstack.Options{Queues: 1}) // readOne reads the first
			requests, datagrams, echoes := make(chan netip.Addr, 9), make(chan netip.Addr, 9), make(chan netip.Addr, 9)
			useTransit(t, d, &netstack.Transit{
				Loopback: wanted,
				TCP:      func(r *netstack.TCPRequest) { requests <- r.Destination.Addr(); r.Refuse() },
				UDP:      func(g *netstack.Datagrams) bool { datagrams <- g.Destination.Addr(); return true },
				Echo:     func(e *netstack.Echo) bool { echoes <- e.Destination; return true },
			})
			src, dst := netip.AddrPortFrom(from, 1000), netip.AddrPortFrom(to, 80)
			packets := [][]byte{
				testutil.UDP(src, dst, []byte("x")), testutil.UDP(netip.AddrPortFrom(to, 1000), dst, []byte("x")),
				testutil.Echo(from, to, 1, 1, []byte("x")), syn(src, dst),
			}
			if _, err := d.Write(packets, 0); err != nil {
				t.Fatal(err)
			}
			if got := len(datagrams) + len(echoes); wanted != (got == 2) || !wanted && got != 0 {
				t.Errorf("%v, wanted %v: %d datagrams, %d echoes", to, wanted, len(datagrams), len(echoes))
			}
			if !wanted {
				d.Close()
				if len(requests) != 0 {
					t.Errorf("%v: %d requests without being asked for", to, len(requests))
				}
				continue
			}
			if got := <-requests; got != to {
				t.Errorf("request to %v, want %v", got, to)
			}
			// The reset comes from where the request went.
			answer := readOne(t, d)
			if len(answer) != 1 || source(answer[0]) != to {
				t.Errorf("answer %x, want one from %v", answer, to)
			}
		}
	}
}

func source(packet []byte) netip.Addr {
	if packet[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(packet[12:]))
	}
	return netip.AddrFrom16([16]byte(packet[8:]))
}
