// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Topology of this file:
//
//	a (the router) eth0 ── veth ── eth0 b (a peer)

// dump runs "wg show wg0 dump" and returns the fields of each line: the
// interface, then the peers.
func dump(h *lab.Host) [][]string {
	var lines [][]string
	for line := range strings.Lines(h.Output("wg", "show", "wg0", "dump")) {
		lines = append(lines, strings.Split(strings.TrimSpace(line), "\t"))
	}
	return lines
}

// TestWG configures and reads a device with wg(8) alone.
func TestWG(t *testing.T) {
	self := subject(t)
	t.Parallel()
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	daemonize(t, a, self, "wg0")
	key, other, psk := lab.NewKey(), lab.NewKey(), lab.NewKey()
	a.WriteFile("/etc/wireguard/key", key.String()+"\n", 0o600)
	a.WriteFile("/etc/wireguard/psk", psk.String()+"\n", 0o600)

	if got := a.Output("wg", "show", "interfaces"); got != "wg0\n" {
		t.Errorf("wg show interfaces: %q", got)
	}
	if got, want := dump(a), []string{"(none)", "(none)", "0", "off"}; len(got) != 1 || got[0][3] != want[3] || got[0][1] != want[1] {
		t.Errorf("dump of a new device: %q, want about %q", got, want)
	}

	a.Output("wg", "set", "wg0", "private-key", "/etc/wireguard/key", "listen-port", "51820", "fwmark", "0x33")
	a.Output("wg", "set", "wg0", "peer", other.Public().String(), "preshared-key", "/etc/wireguard/psk",
		"endpoint", "192.0.2.2:51820", "persistent-keepalive", "25", "allowed-ips", "10.77.0.2/32,fd77::2/128,10.0.0.0/8")
	got := dump(a)
	want := [][]string{
		{key.String(), key.Public().String(), "51820", "0x33"},
		{other.Public().String(), psk.String(), "192.0.2.2:51820", "10.77.0.2/32,fd77::2/128,10.0.0.0/8", "0", "0", "", "25"},
	}
	if len(got) != 2 || !slices.Equal(got[0], want[0]) || len(got[1]) != 8 {
		t.Fatalf("dump %q, want %q", got, want)
	}
	for i, field := range want[1] {
		switch i {
		case 3: // in any order
			if sorted := sorted(strings.Split(got[1][3], ",")); !slices.Equal(sorted, []string{"10.0.0.0/8", "10.77.0.2/32", "fd77::2/128"}) {
				t.Errorf("allowed IPs %q", sorted)
			}
		case 6: // bytes sent: initiations
		default:
			if got[1][i] != field {
				t.Errorf("field %d of the peer is %q, want %q", i, got[1][i], field)
			}
		}
	}

	// The other end, and traffic.
	lab.StartDevice(b, implementation(t, lab.UpstreamName), lab.DeviceOptions{
		PrivateKey: other, Addresses: []string{"10.77.0.2/24"},
		Peers: []lab.Peer{{PublicKey: key.Public(), PresharedKey: psk, Endpoint: outerPort(lab.A4), AllowedIPs: []string{"10.77.0.1/32"}}},
	})
	a.AddAddress("wg0", "10.77.0.1/24")
	a.SetUp("wg0")
	start := time.Now()
	traffic.WaitPing(t, a, lab.TunnelB4)
	must(traffic.TCP(a, b, lab.TunnelB4, 1<<20))(t)
	got = dump(a)
	var handshake, rx, tx int64
	if _, err := fmt.Sscan(strings.Join(got[1][4:7], " "), &handshake, &rx, &tx); err != nil {
		t.Fatalf("dump %q: %v", got, err)
	}
	if age := time.Now().Unix() - handshake; age < 0 || age > int64(time.Since(start).Seconds())+2 {
		t.Errorf("latest handshake %d seconds ago", age)
	}
	if rx < 1<<20 || tx < 1<<20 {
		t.Errorf("transfer: %d received, %d sent, want more than was carried inside", rx, tx)
	}
	pretty := a.Output("wg", "show", "wg0")
	for _, want := range []string{"interface: wg0", "listening port: 51820", "fwmark: 0x33", "endpoint: 192.0.2.2:51820", "latest handshake: ", "transfer: ", "persistent keepalive: every 25 seconds"} {
		if !strings.Contains(pretty, want) {
			t.Errorf("wg show does not say %q:\n%s", want, pretty)
		}
	}

	// Round trip through a file, and reloads from it.
	conf := a.Output("wg", "showconf", "wg0")
	a.WriteFile("/etc/wireguard/wg0.conf", conf, 0o600)
	before := got[1][4]
	a.Output("wg", "syncconf", "wg0", "/etc/wireguard/wg0.conf")
	if after := dump(a)[1][4]; after != before {
		t.Errorf("syncconf with what is renewed the session: handshake %s, before %s", after, before)
	}
	third := lab.NewKey().Public()
	a.WriteFile("/etc/wireguard/wg0.conf", conf+"\n[Peer]\nPublicKey = "+third.String()+"\nAllowedIPs = 10.3.0.0/16\n", 0o600)
	a.Output("wg", "syncconf", "wg0", "/etc/wireguard/wg0.conf")
	if got := strings.Fields(a.Output("wg", "show", "wg0", "peers")); len(got) != 2 {
		t.Errorf("peers after syncconf with one more: %q", got)
	}
	if n := must(traffic.Ping(a, lab.TunnelB4, 3, 56))(t); n != 3 {
		t.Errorf("%d of 3 pings answered after syncconf", n)
	}
	a.WriteFile("/etc/wireguard/wg0.conf", conf, 0o600)
	a.Output("wg", "setconf", "wg0", "/etc/wireguard/wg0.conf")
	if got := strings.Fields(a.Output("wg", "show", "wg0", "peers")); len(got) != 1 {
		t.Errorf("peers after setconf: %q", got)
	}
	traffic.WaitPing(t, a, lab.TunnelB4)
	a.Output("wg", "set", "wg0", "fwmark", "off", "peer", other.Public().String(), "remove")
	if got := dump(a); len(got) != 1 || got[0][3] != "off" {
		t.Errorf("dump after removing the peer and the mark: %q", got)
	}
	if r := a.Exec(lab.Command{Path: "wg", Args: []string{"set", "wg0", "listen-port", "51999"}}); r.Code != 0 {
		t.Errorf("wg set listen-port: %s", r.Stderr)
	}
}

// resolvconf records what it is told, in the place of the real one.
const resolvconf = `#!/bin/sh
mkdir -p /run/lab
echo "$@" >>/run/lab/resolvconf
case $1 in
-a) cat >/run/resolvconf.$2 ;;
-d) rm -f /run/resolvconf.$2 ;;
-l) cat /run/resolvconf.$2 ;;
esac
`

// TestWGQuick runs wg-quick(8) up and down on a file with everything in it. The
// router's own end of the file's default route is a peer that has an address
// behind it:
//
//	a (the router) eth0 ── r ── eth0 c (a peer, 10.200.0.1 on loopback)
func TestWGQuick(t *testing.T) {
	self := subject(t)
	testutil.NeedTool(t, "wg-quick", "bash")
	t.Parallel()
	n := lab.ThroughRouter(1500).Build(t)
	a, c := n.Host("a"), n.Host("c")
	a.AddTool("router", self.Path, "")
	a.AddTool("resolvconf", "", resolvconf)
	key, peer := gateway(t, c)
	a.WriteFile("/etc/wireguard/wg0.conf", fmt.Sprintf(`[Interface]
PrivateKey = %s
Address = 10.77.0.1/24, fd77::1/64
ListenPort = 51820
FwMark = 51820
DNS = 10.77.0.2, example.org
PreUp = mkdir -p /run/lab; echo preup %%i >>/run/lab/hooks
PostUp = echo postup %%i >>/run/lab/hooks
PreDown = echo predown %%i >>/run/lab/hooks
PostDown = echo postdown %%i >>/run/lab/hooks

[Peer]
PublicKey = %s
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = %s
`, key, peer, outerPort(lab.C4)), 0o600)
	before := a.Snapshot()
	quick := func(command string) {
		r := a.Exec(lab.Command{Path: "wg-quick", Args: []string{command, "wg0"}, Env: []string{"WG_QUICK_USERSPACE_IMPLEMENTATION=router"}})
		if r.Code != 0 {
			t.Fatalf("wg-quick %s: exit code %d\n%s%s", command, r.Code, r.Stdout, r.Stderr)
		}
	}
	for range 2 {
		quick("up")
		for _, dst := range []netip.Addr{lab.TunnelB4, lab.TunnelB6, behind} {
			traffic.WaitPing(t, a, dst)
		}
		if got := a.ReadFile("/run/resolvconf.wg0"); got != "nameserver 10.77.0.2\nsearch example.org\n" {
			t.Errorf("DNS: %q", got)
		}
		if link := a.Output("ip", "-o", "link", "show", "wg0"); !strings.Contains(link, "mtu 1420") {
			t.Errorf("MTU: %s", link)
		}
		a.Output("bash", "-c", "wg syncconf wg0 <(wg-quick strip wg0)")
		if n := must(traffic.Ping(a, behind, 3, 56))(t); n != 3 {
			t.Errorf("%d of 3 pings answered after a reload", n)
		}
		quick("down")
		wantGone(t, a, before)
	}
	if got, want := a.ReadFile("/run/lab/hooks"), strings.Repeat("preup wg0\npostup wg0\npredown wg0\npostdown wg0\n", 2); got != want {
		t.Errorf("hooks ran: %q, want %q", got, want)
	}
}

// behind is an address that is reached only through the peer of [gateway].
var behind = netip.MustParseAddr("10.200.0.1")

// gateway makes host c of lab.ThroughRouter a peer with more behind it and
// returns the private key that it expects and its own public key.
func gateway(t *testing.T, c *lab.Host) (private, public lab.Key) {
	t.Helper()
	private = lab.NewKey()
	c.AddAddress("lo", behind.String()+"/32")
	d := lab.StartDevice(c, implementation(t, lab.UpstreamName), lab.DeviceOptions{
		Addresses: []string{"10.77.0.2/24", "fd77::2/64"},
		Peers:     []lab.Peer{{PublicKey: private.Public(), AllowedIPs: []string{"10.77.0.1/32", "fd77::1/128"}}},
	})
	return private, d.PublicKey()
}
