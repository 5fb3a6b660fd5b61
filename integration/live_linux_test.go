// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Topology of this file:
//
//	a (the router) eth0 ── veth ── eth0 b (a peer)
//
// The tests change a running device through its control socket.

// TestFwMark sets, changes and removes the mark of the outer packets.
func TestFwMark(t *testing.T) {
	self := subject(t)
	for _, family := range []int{4, 6} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) {
			t.Parallel()
			net := lab.TwoHosts(1500).Build(t)
			a, b := net.Host("a"), net.Host("b")
			a.NFT(`table inet lab {
				counter first {}
				counter second {}
				counter none {}
				chain out { type filter hook output priority 0;
					udp dport 51820 meta mark 0x51 counter name first
					udp dport 51820 meta mark 0xca6c counter name second
					udp dport 51820 meta mark 0 counter name none
				}
				}`)
			outerA, outerB := outer(family)
			tun := lab.StartTunnel(lab.TunnelOptions{A: self, B: implementation(t, lab.UpstreamName), HostA: a, HostB: b, OuterA: outerA, OuterB: outerB})
			last := map[string]int64{}
			for _, step := range []struct {
				mark    uint32
				counter string
			}{{0, "none"}, {0x51, "first"}, {0xca6c, "second"}, {0, "none"}} {
				tun.A.Set(fmt.Sprintf("fwmark=%d\n", step.mark))
				if got := tun.A.Status().FwMark; got != step.mark {
					t.Errorf("mark is %#x after setting %#x", got, step.mark)
				}
				traffic.WaitPing(t, a, lab.TunnelB4)
				for _, name := range []string{"none", "first", "second"} {
					n := a.NFTCounter(name)
					if grew := n > last[name]; grew != (name == step.counter) {
						t.Errorf("mark %#x: counter %s went from %d to %d", step.mark, name, last[name], n)
					}
					last[name] = n
				}
			}
		})
	}
}

// TestListenPortChange moves the router to another port and back under traffic
// that the peer initiated.
func TestListenPortChange(t *testing.T) {
	self := subject(t)
	t.Parallel()
	net := lab.TwoHosts(1500).Build(t)
	a, b := net.Host("a"), net.Host("b")
	tun := lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: a, OuterA: lab.A4,
		B: implementation(t, lab.UpstreamName), HostB: b, OuterB: lab.B4,
	})
	traffic.WaitPing(t, a, lab.TunnelB4)
	for _, port := range []uint16{51999, lab.Port} {
		flow := must(traffic.StartFlow(a, b, lab.TunnelB4, 200, 500))(t)
		tun.A.Set(fmt.Sprintf("listen_port=%d\n", port))
		if got := tun.A.Status().ListenPort; got != port {
			t.Errorf("port is %d after setting %d", got, port)
		}
		waitEndpoint(t, tun.B, tun.A.PublicKey(), netip.AddrPortFrom(lab.A4, port))
		wantPings(t, a, b)
		r := must(flow.Stop())(t)
		// The sockets are opened anew; what arrives at that moment may be lost.
		if r.Lost > 50 || r.Duplicated+r.Corrupt != 0 {
			t.Errorf("to port %d: %s", port, r)
		}
		each := min(runtime.NumCPU(), 4) // per family, by default
		out := a.Output("ss", "-Hlun")
		for _, addr := range []string{"0.0.0.0", "[::]"} {
			if n := strings.Count(out, fmt.Sprintf("%s:%d ", addr, port)); n != each {
				t.Errorf("%d sockets on %s after the change to port %d, want %d:\n%s", n, addr, port, each, out)
			}
		}
		if strings.Count(out, "\n") != 2*each {
			t.Errorf("sockets on another port after the change to port %d:\n%s", port, out)
		}
	}

	// A port that is taken is refused with EADDRINUSE, and nothing changes.
	taken := must(listenUDP(a, 52000))(t)
	defer taken.Close()
	if errno := tun.A.SetErrno("listen_port=52000\n"); errno != -98 {
		t.Errorf("taken port: errno %d, want -98", errno)
	}
}

// TestUnchangedSettings repeats the settings that are in force, under load: not
// a packet is lost.
func TestUnchangedSettings(t *testing.T) {
	bin := router(t)
	self := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true}
	net := lab.TwoHosts(1500).Build(t)
	a, b := net.Host("a"), net.Host("b")
	tun := lab.StartTunnel(lab.TunnelOptions{A: self, B: self, HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4})
	traffic.WaitPing(t, a, lab.TunnelB4)
	peer := tun.B.PublicKey()
	before := tun.A.Peer(peer).Handshake

	out := must(traffic.StartFlow(a, b, lab.TunnelB4, 200, 3000))(t)
	in := must(traffic.StartFlow(b, a, lab.TunnelA6, 200, 3000))(t)
	a.WriteFile("/run/wg0.conf", a.Output("wg", "showconf", "wg0"), 0o600)
	for range 20 {
		tun.A.Set(fmt.Sprintf("listen_port=%d\nfwmark=0\n", lab.Port))
		tun.A.Set(fmt.Sprintf("private_key=%s\n", tun.A.PrivateKey.Hex()))
		tun.A.Set(fmt.Sprintf("public_key=%s\nreplace_allowed_ips=true\nallowed_ip=%s/32\nallowed_ip=%s/128\n", peer.Hex(), lab.TunnelB4, lab.TunnelB6))
		a.Output("wg", "syncconf", "wg0", "/run/wg0.conf")
	}
	for name, f := range map[string]*traffic.Flow{"out": out, "in": in} {
		if r := must(f.Stop())(t); r.Lost+r.Duplicated+r.Corrupt+r.Reordered != 0 {
			t.Errorf("%s: %s", name, r)
		}
	}
	if after := tun.A.Peer(peer).Handshake; !after.Equal(before) {
		t.Errorf("the session was renewed: handshake at %v, before at %v", after, before)
	}
}

// TestPresharedKeyRotation changes the pre-shared key of a peer with wg(8)
// under traffic. The session goes on; the next handshake uses the new key.
func TestPresharedKeyRotation(t *testing.T) {
	self := subject(t)
	t.Parallel()
	net := lab.TwoHosts(1500).Build(t)
	a, b := net.Host("a"), net.Host("b")
	other := implementation(t, lab.UpstreamName)
	tun := lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: a, OuterA: lab.A4, PresharedKey: lab.NewKey(),
		B: other, HostB: b, OuterB: lab.B4,
	})
	traffic.WaitPing(t, a, lab.TunnelB4)
	peer := tun.B.PublicKey()
	before := tun.A.Peer(peer)

	flow := must(traffic.StartFlow(a, b, lab.TunnelB4, 200, 1000))(t)
	var psk lab.Key
	for range 10 {
		psk = lab.NewKey()
		a.WriteFile("/run/psk", psk.String()+"\n", 0o600)
		a.Output("wg", "set", "wg0", "peer", peer.String(), "preshared-key", "/run/psk")
		wantPings(t, a, b)
	}
	if r := must(flow.Stop())(t); r.Lost+r.Duplicated+r.Corrupt+r.Reordered != 0 {
		t.Errorf("UDP: %s", r)
	}
	after := tun.A.Peer(peer)
	if after.PresharedKey != psk {
		t.Errorf("the key did not change")
	}
	if !after.Handshake.Equal(before.Handshake) {
		t.Errorf("the session was renewed: handshake at %v, before at %v", after.Handshake, before.Handshake)
	}

	// The peer loses its session: with the old key it gets no new one, with the
	// new key it does.
	restart := func(psk lab.Key) {
		tun.B.Process.Kill()
		o := lab.DeviceOptions{
			PrivateKey: tun.B.PrivateKey, Addresses: []string{lab.TunnelB4.String() + "/24", lab.TunnelB6.String() + "/64"},
			Peers: []lab.Peer{{PublicKey: tun.A.PublicKey(), PresharedKey: psk, Endpoint: outerPort(lab.A4), AllowedIPs: []string{"10.77.0.1/32", "fd77::1/128"}}},
		}
		tun.B = lab.StartDevice(b, other, o)
	}
	restart(before.PresharedKey)
	if n := must(traffic.Ping(b, lab.TunnelA4, 20, 56))(t); n != 0 {
		t.Errorf("%d pings answered with the old key", n)
	}
	restart(psk)
	traffic.WaitPing(t, b, lab.TunnelA4)
	wantPings(t, a, b)
}

// TestChainedRequests sends requests of every kind that tools use.
func TestChainedRequests(t *testing.T) {
	self := subject(t)
	t.Parallel()
	h := lab.NewHost(t, "a")
	d := lab.StartDevice(h, self, lab.DeviceOptions{})
	one, two := lab.NewKey().Public(), lab.NewKey().Public()
	d.Set(fmt.Sprintf("public_key=%s\nallowed_ip=10.1.0.0/16\nallowed_ip=fd01::/64\npublic_key=%s\nallowed_ip=10.2.0.0/16\nendpoint=192.0.2.9:7\n", one.Hex(), two.Hex()))
	wantAllowed := func(key lab.Key, want ...string) {
		t.Helper()
		got := d.Peer(key).AllowedIPs
		if strings.Join(sorted(got), " ") != strings.Join(sorted(want), " ") {
			t.Errorf("allowed IPs %q, want %q", got, want)
		}
	}
	wantAllowed(one, "10.1.0.0/16", "fd01::/64")
	wantAllowed(two, "10.2.0.0/16")
	// The last to claim a prefix has it.
	d.Set(fmt.Sprintf("public_key=%s\nallowed_ip=10.1.0.0/16\n", two.Hex()))
	wantAllowed(one, "fd01::/64")
	wantAllowed(two, "10.1.0.0/16", "10.2.0.0/16")
	// update_only does not create, remove removes.
	three := lab.NewKey().Public()
	d.Set(fmt.Sprintf("public_key=%s\nupdate_only=true\nallowed_ip=10.3.0.0/16\npublic_key=%s\nremove=true\n", three.Hex(), one.Hex()))
	if peers := d.Status().Peers; len(peers) != 1 {
		t.Errorf("%d peers, want one", len(peers))
	}
	if got, want := d.Peer(two).Endpoint, netip.MustParseAddrPort("192.0.2.9:7"); got != want {
		t.Errorf("endpoint %s, want %s", got, want)
	}
	for _, bad := range []string{
		"no_such_key=1\n", "listen_port=65536\n", "private_key=00\n", "public_key=" + two.Hex() + "\nallowed_ip=10.0.0.0/33\n",
		"public_key=" + two.Hex() + "\nendpoint=nowhere\n",
	} {
		if errno := d.SetErrno(bad); errno != -22 {
			t.Errorf("%q: errno %d, want -22", bad, errno)
		}
	}
	d.Set("replace_peers=true\n")
	if peers := d.Status().Peers; len(peers) != 0 {
		t.Errorf("%d peers after replacing them by none", len(peers))
	}
}
