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

// TestForwardingFairness floods two peers that hear nothing, one of which never
// had a session, through a hub of sixteen. The others lose nothing of their
// traffic with each other, which every byte of is compared. It does not run
// beside others: it counts every packet.
func TestForwardingFairness(t *testing.T) {
	bin := router(t)
	const (
		peers       = 16
		deaf, never = 15, 16 // blocked with a session, and without
	)
	s, _ := newStar(t, bin, hubMode{sections: forwardingOn}, lab.StarOptions{Peers: peers, Quiet: true})
	const block = `table inet lab { counter blocked {}
		chain in { type filter hook input priority 0; udp dport 51820 counter name blocked drop
		}
		}`
	s.Peer(never).NFT(block)
	for i := 1; i < never-1; i += 2 {
		traffic.WaitPing(t, s.Peer(i), lab.PeerTunnel4(i+1))
	}
	traffic.WaitPing(t, s.Peer(13), lab.PeerTunnel4(deaf))
	s.Peer(deaf).NFT(block)

	// Peers 1 to 4 have TCP, 5 to 12 UDP, 13 and 14 are those that flood.
	var floods []*traffic.Flow
	rate := 5000
	if raceEnabled {
		rate = 200 // the hub is slow then, and more would be more than it carries
	}
	for i, to := range map[int]int{13: deaf, 14: never} {
		floods = append(floods, must(traffic.StartFlow(s.Peer(i), s.Peer(to), lab.PeerTunnel4(to), 1200, rate))(t))
	}
	flows := make(map[string]*traffic.Flow)
	for i := 5; i <= 11; i += 2 {
		for _, way := range [][2]int{{i, i + 1}, {i + 1, i}} {
			from, to := way[0], way[1]
			dst := []netip.Addr{lab.PeerTunnel4(to), lab.PeerTunnel6(to)}[i/2%2]
			flows[fmt.Sprintf("%d to %d", from, to)] = must(traffic.StartFlow(s.Peer(from), s.Peer(to), dst, 100*i, 300))(t)
		}
	}
	for i := 1; i <= 3; i += 2 {
		for _, dst := range []netip.Addr{lab.PeerTunnel4(i + 1), lab.PeerTunnel6(i + 1)} {
			if r := must(traffic.TCP(s.Peer(i), s.Peer(i+1), dst, 8<<20))(t); r.Received < 16<<20 {
				t.Errorf("%d to %s: TCP carried %d bytes", i, dst, r.Received)
			}
		}
	}
	for name, f := range flows {
		lab.Wait(t, lab.Patience, name, func() error {
			if n := f.Sent(); n < 600 {
				return fmt.Errorf("%d packets sent", n)
			}
			return nil
		})
	}
	for name, f := range flows {
		if r := must(f.Stop())(t); r.Lost+r.Duplicated+r.Corrupt+r.Reordered != 0 {
			t.Errorf("%s: %s", name, r)
		}
	}
	for _, f := range floods {
		if r := must(f.Stop())(t); r.Received != 0 || r.Sent < int64(rate) {
			t.Errorf("flood: %s", r)
		}
	}
	for _, i := range []int{deaf, never} {
		if s.Peer(i).NFTCounter("blocked") == 0 {
			t.Errorf("nothing reached the host of peer %d: the test proves nothing", i)
		}
	}
	wantNoKernel(t, s)
}
