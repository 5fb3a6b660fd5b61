// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// The tests of this file hold the hub to what a router owes to others, whoever
// forwards.

// Types of ICMP messages (RFC 792, RFC 4443).
const (
	icmp4Unreachable, icmp4TimeExceeded              = 3, 11
	icmp6Unreachable, icmp6TooBig, icmp6TimeExceeded = 1, 2, 3
)

// TestTraceroute sends probes as traceroute(8) does: the hub is the first hop,
// by its address in the tunnel, and the peer the second.
func TestTraceroute(t *testing.T) {
	bin := router(t)
	for _, mode := range forwardingModes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStar(t, bin, mode, lab.StarOptions{Peers: 2})
			traffic.WaitPing(t, s.Peer(1), lab.PeerTunnel4(2))
			for _, hop := range []struct {
				dst, from  netip.Addr
				limit      int
				kind, code uint8
			}{
				{lab.PeerTunnel4(2), lab.HubTunnel4, 1, icmp4TimeExceeded, 0},
				{lab.PeerTunnel4(2), lab.PeerTunnel4(2), 2, icmp4Unreachable, 3},
				{lab.PeerTunnel6(2), lab.HubTunnel6, 1, icmp6TimeExceeded, 0},
				{lab.PeerTunnel6(2), lab.PeerTunnel6(2), 2, icmp6Unreachable, 4},
			} {
				got := must(traffic.Probe(s.Peer(1), traffic.ProbeOptions{Dst: netip.AddrPortFrom(hop.dst, 33434), Size: 32, HopLimit: hop.limit}))(t)
				if got.From != hop.from || got.Type != hop.kind || got.Code != hop.code {
					t.Errorf("hop %d to %s: %s, want type %d code %d from %s", hop.limit, hop.dst, got, hop.kind, hop.code, hop.from)
				}
			}
		})
	}
}

// TestPacketTooBig sends packets that fit the MTU of the peers and not that of
// the hub.
func TestPacketTooBig(t *testing.T) {
	bin := router(t)
	const mtu, large = 1300, 1400
	for _, mode := range forwardingModes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStar(t, bin, mode, lab.StarOptions{Peers: 2, MTU: mtu})
			a, b := s.Peer(1), s.Peer(2)
			traffic.WaitPing(t, a, lab.PeerTunnel4(2))

			// Before anybody knows the MTU: the hub makes fragments.
			whole := b.Counter("Ip", "ReasmOKs")
			const pings = 5
			answered := a.EchoReplies()
			a.Exec(lab.Command{Path: "ping", Args: []string{"-n", "-q", "-M", "dont", "-i", "0.02", "-c", fmt.Sprint(pings), "-s", fmt.Sprint(large - 28), lab.PeerTunnel4(2).String()}})
			// ping does not wait long for the last.
			lab.Wait(t, lab.Patience, "answers to pings without DF", func() error {
				if n := a.EchoReplies() - answered; n != pings {
					return fmt.Errorf("%d of %d", n, pings)
				}
				return nil
			})
			if n := b.Counter("Ip", "ReasmOKs") - whole; n != pings {
				t.Errorf("%d packets arrived in fragments, want %d", n, pings)
			}
			if n := a.Counter("Ip", "FragCreates"); n != 0 {
				t.Errorf("the sender made %d fragments", n)
			}

			// ping prints what it is told …
			r := a.Exec(lab.Command{Path: "ping", Args: []string{"-n", "-M", "do", "-c", "1", "-W", "1", "-s", fmt.Sprint(large - 28), lab.PeerTunnel4(2).String()}})
			if want := fmt.Sprintf("From %s icmp_seq=1 Frag needed and DF set (mtu = %d)", lab.HubTunnel4, mtu); !strings.Contains(r.Stdout, want) {
				t.Errorf("with DF: %s%s, want %q", r.Stdout, r.Stderr, want)
			}
			// … and so is every other program.
			for _, test := range []struct {
				dst, from  netip.Addr
				headers    int
				kind, code uint8
			}{
				{lab.PeerTunnel4(2), lab.HubTunnel4, 28, icmp4Unreachable, 4},
				{lab.PeerTunnel6(2), lab.HubTunnel6, 48, icmp6TooBig, 0},
			} {
				got := must(traffic.Probe(a, traffic.ProbeOptions{Dst: netip.AddrPortFrom(test.dst, 33434), Size: large - test.headers, Whole: true}))(t)
				if got.From != test.from || got.Type != test.kind || got.Code != test.code || got.MTU != mtu {
					t.Errorf("to %s: %s, want type %d code %d from %s, MTU %d", test.dst, got, test.kind, test.code, test.from, mtu)
				}
				// TCP finds the MTU by that.
				if r := must(traffic.TCP(a, b, test.dst, 1<<20))(t); r.Received < 2<<20 {
					t.Errorf("TCP to %s carried %d bytes", test.dst, r.Received)
				}
			}
		})
	}
}
