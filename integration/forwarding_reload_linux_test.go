// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// TestForwardingReload switches forwarding and filter rules of a running hub in
// every order while two peers talk. Nothing of their UDP is lost, and their TCP
// goes on. It does not run beside others: it counts every packet.
func TestForwardingReload(t *testing.T) {
	bin := router(t)
	s, p := newStar(t, bin, hubMode{forward: true}, lab.StarOptions{Peers: 2})
	a, b := s.Peer(1), s.Peer(2)
	traffic.WaitPing(t, a, lab.PeerTunnel4(2))
	hub := &lab.Device{Host: s.Hub, Name: "wg0", Process: p}
	session := hub.Peer(s.PeerKey(1)).Handshake

	// Rules that allow the traffic, of which all but the last change.
	filter := func(n int) string {
		rules := fmt.Sprintf("\n[Filter]\nPeers = one %s\n", s.PeerKey(1))
		for i := range n {
			rules += fmt.Sprintf("Deny = from one to any proto tcp port %d\n", i+1)
		}
		return rules + "Allow = any\n"
	}
	const off = "[Router]\nPeerForwarding = off\n"
	steps := []string{
		forwardingOn, off, forwardingOn + filter(0), forwardingOn + filter(1), forwardingOn + filter(50), off + filter(50),
		off + filter(2), off, forwardingOn, forwardingOn + filter(3), forwardingOn, "[Router]\n", forwardingOn,
	}
	there := must(traffic.StartFlow(a, b, lab.PeerTunnel4(2), 200, 1000))(t)
	back := must(traffic.StartFlow(b, a, lab.PeerTunnel6(1), 200, 1000))(t)
	stream := must(traffic.StartStream(a, b, lab.PeerTunnel4(2), lab.Patience))(t)
	for i, sections := range steps {
		reload(t, bin, s, sections)
		reached := stream.Received() + 4<<20
		lab.Wait(t, lab.Patience, fmt.Sprintf("4 MiB more after step %d", i), func() error {
			if n := stream.Received(); n < reached {
				return fmt.Errorf("%d bytes missing", reached-n)
			}
			return nil
		})
	}
	for name, f := range map[string]*traffic.Flow{"there": there, "back": back} {
		if r := must(f.Stop())(t); r.Lost+r.Duplicated+r.Corrupt != 0 || r.Sent == 0 {
			t.Errorf("UDP %s: %s", name, r)
		}
	}
	if r := must(stream.Stop())(t); r.Received == 0 {
		t.Error("TCP carried nothing")
	}
	if got := hub.Peer(s.PeerKey(1)).Handshake; !got.Equal(session) {
		t.Errorf("the session was renewed: handshake at %v, before at %v", got, session)
	}
	// The last step is in force: without the kernel too.
	s.Hub.Sysctl("net/ipv4/ip_forward", "0")
	if n := must(traffic.Ping(a, lab.PeerTunnel4(2), 3, 56))(t); n != 3 {
		t.Errorf("%d of 3 pings answered without the kernel", n)
	}
	// And a rule that denies does so at once.
	reload(t, bin, s, forwardingOn+"\n[Filter]\nDeny = from any to any proto icmp\nAllow = any\n")
	wantNoPing(t, a, lab.PeerTunnel4(2))
}
