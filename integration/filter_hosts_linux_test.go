// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

// TestFilterHosts scans peers and the hub as nmap(1) does, through the filter of
// the hub, in every mode: an open and a closed port that the rules allow answer,
// an open one that they deny is silent, and hears nothing.
func TestFilterHosts(t *testing.T) {
	bin := router(t)
	for _, mode := range forwardingModes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStar(t, bin, mode, lab.StarOptions{Peers: 2})
			listen(t, s.Peer(2), 22, 23)
			listen(t, s.Peer(1), 22)
			if !mode.netstack {
				listen(t, s.Hub, 22, 23)
			}
			for _, dst := range []netip.Addr{lab.PeerTunnel4(2), lab.PeerTunnel6(2)} {
				traffic.WaitPing(t, s.Peer(1), dst)
			}
			reload(t, bin, s, mode.sections+fmt.Sprintf(`
[Filter]
Peers = client %s
Peers = server %s
Allow = from client to server proto tcp port 22, 24
Allow = from client to server proto udp port 53
Allow = from client to server, host proto icmp
Allow = from client to host proto tcp port 22, 24
Allow = from host to server
`, s.PeerKey(1), s.PeerKey(2)))
			// What the kernels see that the rules deny.
			for i, denied := range [][2]string{{"22, 23, 54", "echo-request"}, {"23, 54", "echo-reply"}} {
				s.Peers[i].NFT(fmt.Sprintf(`table inet lab { counter denied {}
					chain in { type filter hook input priority 0; iifname wg0 meta l4proto { tcp, udp } th dport { %s } counter name denied
						iifname wg0 icmp type %s counter name denied
						iifname wg0 icmpv6 type %[2]s counter name denied
					}
					}`, denied[0], denied[1]))
			}
			for _, dst := range [][2]netip.Addr{{lab.PeerTunnel4(1), lab.PeerTunnel4(2)}, {lab.PeerTunnel6(1), lab.PeerTunnel6(2)}} {
				one, two := dst[0], dst[1]
				wantPort(t, s.Peer(1), two, 22, portOpen)
				wantPort(t, s.Peer(1), two, 24, portClosed)
				wantPort(t, s.Peer(1), two, 23, portSilent)
				wantPort(t, s.Peer(2), one, 22, portSilent)
				if n := must(traffic.Ping(s.Peer(1), two, 3, 56))(t); n != 3 {
					t.Errorf("%d of 3 pings to %s answered", n, two)
				}
				wantNoPing(t, s.Peer(2), one)
				if c, err := traffic.Probe(s.Peer(1), traffic.ProbeOptions{Dst: netip.AddrPortFrom(two, 53), Size: 8}); err != nil || c.From != two {
					t.Errorf("UDP to a closed port that is allowed: %s, %v", c, err)
				}
				if err := traffic.Send(s.Peer(1), netip.AddrPort{}, netip.AddrPortFrom(two, 54), []byte("no")); err != nil {
					t.Error(err)
				}
			}
			if !mode.netstack {
				for _, hub := range []netip.Addr{lab.HubTunnel4, lab.HubTunnel6} {
					if hub.Is6() {
						wantPort(t, s.Peer(1), hub, 24, portClosed)
						continue
					}
					wantPort(t, s.Peer(1), hub, 22, portOpen)
					wantPort(t, s.Peer(1), hub, 23, portSilent)
					wantPort(t, s.Peer(2), hub, 22, portSilent)
				}
				wantPort(t, s.Hub, lab.PeerTunnel4(2), 22, portOpen)
				wantPort(t, s.Hub, lab.PeerTunnel4(1), 22, portSilent)
			}
			if n := must(traffic.Ping(s.Peer(1), lab.HubTunnel4, 3, 56))(t); n != 3 {
				t.Errorf("%d of 3 pings to the hub answered", n)
			}
			for i, peer := range s.Peers {
				if n := peer.NFTCounter("denied"); n != 0 {
					t.Errorf("peer %d got %d packets that are denied", i+1, n)
				}
			}
		})
	}
}

// What a port does with a connection.
const (
	portOpen = iota
	portClosed
	portSilent
)

// wantPort connects to a port and checks what becomes of that.
func wantPort(t *testing.T, from *lab.Host, dst netip.Addr, port uint16, want int) {
	t.Helper()
	wait := lab.Patience
	if want == portSilent {
		wait = 200 * time.Millisecond // nothing comes, however long
	}
	err := from.Do(func() error {
		c, err := (&net.Dialer{Timeout: wait}).Dial("tcp", netip.AddrPortFrom(dst, port).String())
		if err != nil {
			return err
		}
		return c.Close()
	})
	got := portSilent
	var timeout net.Error
	switch {
	case err == nil:
		got = portOpen
	case errors.Is(err, unix.ECONNREFUSED):
		got = portClosed
	case errors.As(err, &timeout) && timeout.Timeout():
	default:
		t.Errorf("%s to port %d of %s: %v", from.Name, port, dst, err)
		return
	}
	if got != want {
		names := []string{"open", "closed", "silent"}
		t.Errorf("%s to port %d of %s: %s, want %s", from.Name, port, dst, names[got], names[want])
	}
}

// listen opens TCP ports of the host, whose connections the kernel accepts.
func listen(t *testing.T, h *lab.Host, ports ...int) {
	t.Helper()
	for _, port := range ports {
		var l *net.TCPListener
		err := h.Do(func() (err error) {
			l, err = net.ListenTCP("tcp", &net.TCPAddr{Port: port})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}
