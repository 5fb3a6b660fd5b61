// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Topology of this file, with a veth MTU of 1500 or 9000:
//
//	a (the router) eth0 ── veth ── eth0 b (the peer)
//	wg0 10.77.0.1 fd77::1              wg0 10.77.0.2 fd77::2

// TestInterop sends real traffic between the router and every implementation,
// over IPv4 and IPv6, with either end speaking first, with small and large
// packets.
func TestInterop(t *testing.T) {
	self := subject(t)
	t.Parallel() // beside TestRekey, which mostly waits
	for _, name := range lab.Names() {
		for _, initiator := range []bool{true, false} {
			for _, family := range []int{4, 6} {
				for _, mtu := range []int{1420, 8920} {
					role := "responder"
					if initiator {
						role = "initiator"
					}
					t.Run(fmt.Sprintf("%s/as %s/over IPv%d/MTU %d", name, role, family, mtu), func(t *testing.T) {
						t.Parallel()
						interop(t, self, implementation(t, name), initiator, family, mtu)
					})
				}
			}
		}
	}
}

func interop(t *testing.T, self, other lab.Implementation, initiator bool, family, mtu int) {
	linkMTU := 1500
	if mtu > 1420 {
		linkMTU = 9000
	}
	net := lab.TwoHosts(linkMTU).Build(t)
	a, b := net.Host("a"), net.Host("b")
	a.CountTypes()
	outerA, outerB := outer(family)
	// Who is to answer does not know where the other is, if it is able to learn.
	lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: a, OuterA: outerA, ForgetB: !initiator && self.Learns,
		B: other, HostB: b, OuterB: outerB, ForgetA: initiator && other.Learns,
		MTU: mtu,
	})

	// The first packet decides who initiates.
	first, sent, received := b, 0, 1
	to := lab.TunnelA4
	if initiator {
		first, sent, received = a, 1, 0
		to = lab.TunnelB4
	}
	traffic.WaitPing(t, first, to)
	if gotSent, gotReceived := a.NFTCounter("sent1") > 0, a.NFTCounter("received1") > 0; gotSent != (sent == 1) || gotReceived != (received == 1) {
		t.Errorf("initiations sent %t, received %t; want only the %s", gotSent, gotReceived, map[bool]string{true: "first", false: "second"}[initiator])
	}
	if n := a.NFTCounter("sent3"); n != 0 {
		t.Errorf("%d cookie replies without load", n)
	}

	for _, dir := range []struct {
		from, to *lab.Host
		dst4     netip.Addr
		dst6     netip.Addr
	}{{a, b, lab.TunnelB4, lab.TunnelB6}, {b, a, lab.TunnelA4, lab.TunnelA6}} {
		for _, dst := range []netip.Addr{dir.dst4, dir.dst6} {
			// Full packets, unfragmented inside, and small ones.
			full := mtu - 28
			if dst.Is6() {
				full = mtu - 48
			}
			for _, size := range []int{56, full} {
				if n := must(traffic.Ping(dir.from, dst, 5, size))(t); n != 5 {
					t.Errorf("%s to %s: %d of 5 pings of %d bytes answered", dir.from.Name, dst, n, size)
				}
			}
			const bytes = 4 << 20
			if r := must(traffic.TCP(dir.from, dir.to, dst, bytes))(t); r.Received < 2*bytes {
				t.Errorf("%s to %s: TCP carried %d bytes, want %d", dir.from.Name, dst, r.Received, 2*bytes)
			}
			// Small receive buffers and other faults of other programs lose a
			// packet now and then on a busy machine. Two routers lose none.
			packets, allowed := int64(300), int64(6)
			switch other.Name {
			case lab.RouterName:
				allowed = 0
			case lab.DebianName:
				allowed = 250
			}
			if raceEnabled {
				allowed *= 10 // the router is slow then
			}
			for _, size := range []int{8, 200, full - 8} {
				before := dir.from.TxDropped("wg0")
				r := must(traffic.UDP(dir.from, dir.to, dst, packets, size, 3000))(t)
				unread := dir.from.TxDropped("wg0") - before
				if dir.from == a || other.Name == lab.RouterName {
					unread = 0 // the router has to read all
				}
				// What another program was not there to read is known exactly.
				if r.Lost > allowed+unread || r.Duplicated != 0 || r.Reordered != 0 || r.Corrupt != 0 {
					t.Errorf("%s to %s: UDP of %d bytes: %s; %d of them not read by %s", dir.from.Name, dst, size, r, unread, other.Name)
				}
			}
		}
	}
}
