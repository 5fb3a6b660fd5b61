// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Topology of this file:
//
//	a ("router up") eth0 ── r ── eth0 c (a peer, 10.200.0.1 on loopback)

// prepare writes the file as /etc/wireguard/wg0.conf of the host and returns
// the host's state.
func prepare(h *lab.Host, file string) (before string) {
	h.WriteFile("/etc/wireguard/wg0.conf", file, 0o600)
	return h.Snapshot()
}

// up runs "router up wg0" and waits until the router says that it runs.
func up(t *testing.T, bin string, h *lab.Host) *lab.Device {
	t.Helper()
	p := h.Start(lab.Command{Path: bin, Args: []string{"up", "--log-level", "debug", "wg0"}})
	d := &lab.Device{Host: h, Name: "wg0", Process: p}
	lab.Wait(t, lab.Patience, "router up", func() error {
		if !d.Process.Running() {
			t.Fatalf("router up ended:\n%s", d.Process.Output())
		}
		if !strings.Contains(d.Process.Output(), "router started") {
			return fmt.Errorf("output:\n%s", d.Process.Output())
		}
		return nil
	})
	d.WaitReady()
	return d
}

// down sends SIGTERM and checks that the host is as it was.
func down(t *testing.T, d *lab.Device, before string) {
	t.Helper()
	if code := d.Process.Stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0\n%s", code, d.Process.Output())
	}
	// All of it is taken back before the process ends.
	if diff := lab.Diff(before, d.Host.Snapshot()); diff != "" {
		t.Errorf("before and after differ:\n%s", diff)
	}
}

// TestUp runs a file with everything that wg-quick knows except a default route.
func TestUp(t *testing.T) {
	bin := router(t)
	t.Parallel()
	n := lab.ThroughRouter(1500).Build(t)
	a, c := n.Host("a"), n.Host("c")
	a.AddTool("resolvconf", "", resolvconf)
	key, peer := gateway(t, c)
	before := prepare(a, fmt.Sprintf(`# A comment.
[interface]
privatekey = %s
Address = 10.77.0.1/24, fd77::1/64
Address = 10.78.0.1
ListenPort = 51820
DNS = 10.77.0.2, example.org, fd77::2
PreUp = mkdir -p /run/lab; echo "preup %%i" >>/run/lab/hooks # and a comment
PreUp = ip link show %%i >/dev/null && echo exists >>/run/lab/hooks
PostUp = echo postup %%i >>/run/lab/hooks
PreDown = ip route show dev %%i | grep -q 10.200 && echo predown %%i >>/run/lab/hooks
PostDown = echo postdown %%i >>/run/lab/hooks

[Peer]
PublicKey = %s
AllowedIPs = 10.77.0.2/32, 10.200.0.0/16, fd77::2/128
AllowedIPs = fd99::/48
Endpoint = %s
PersistentKeepalive = off
`, key, peer, outerPort(lab.C4)))
	d := up(t, bin, a)

	link := a.Output("ip", "-o", "link", "show", "wg0")
	if !strings.Contains(link, "mtu 1420") {
		t.Errorf("MTU is not 1500 - 80: %s", link)
	}
	addresses := a.Output("ip", "-br", "addr", "show", "wg0")
	for _, want := range []string{"10.77.0.1/24", "10.78.0.1/32", "fd77::1/64"} {
		if !strings.Contains(addresses, want) {
			t.Errorf("address %s is missing: %s", want, addresses)
		}
	}
	for _, dst := range []string{"10.200.3.4", "10.77.0.2", "fd77::2", "fd99::5"} {
		if got := a.Output("ip", "-o", "route", "get", dst); !strings.Contains(got, "dev wg0") {
			t.Errorf("route to %s: %s", dst, got)
		}
	}
	if got := a.ReadFile("/run/resolvconf.wg0"); got != "nameserver 10.77.0.2\nnameserver fd77::2\nsearch example.org\n" {
		t.Errorf("DNS: %q", got)
	}
	for _, dst := range []netip.Addr{lab.TunnelB4, lab.TunnelB6, behind} {
		traffic.WaitPing(t, a, dst)
	}
	must(traffic.TCP(a, c, behind, 1<<20))(t)
	testutil.NeedTool(t, "iperf3")
	traffic.Iperf3Server(t, c, behind)
	if r := must(traffic.Iperf3(a, behind, time.Second))(t); r.BitsPerSecond == 0 {
		t.Error("iperf3 carried nothing")
	}
	down(t, d, before)
	if got, want := a.ReadFile("/run/lab/hooks"), "preup wg0\nexists\npostup wg0\npredown wg0\npostdown wg0\n"; got != want {
		t.Errorf("hooks ran: %q, want %q", got, want)
	}
	if got, want := a.ReadFile("/run/lab/resolvconf"), "-a wg0 -m 0 -x\n-d wg0 -f\n"; got != want {
		t.Errorf("resolvconf was told %q, want %q", got, want)
	}

	// The MTU follows the route to the endpoint.
	a.Output("ip", "route", "replace", "default", "via", "192.0.2.254", "mtu", "1400")
	before = a.Snapshot()
	d = up(t, bin, a)
	if link := a.Output("ip", "-o", "link", "show", "wg0"); !strings.Contains(link, "mtu 1320") {
		t.Errorf("MTU is not 1400 - 80: %s", link)
	}
	down(t, d, before)
}

// TestUpDefaultRoute sends everything through the tunnel, but not the tunnel
// itself, and lets nobody send to the tunnel's address from outside.
func TestUpDefaultRoute(t *testing.T) {
	bin := router(t)
	t.Parallel()
	n := lab.ThroughRouter(1500).Build(t)
	a, r, c := n.Host("a"), n.Host("r"), n.Host("c")
	key, peer := gateway(t, c)
	before := prepare(a, fmt.Sprintf(`[Interface]
PrivateKey = %s
Address = 10.77.0.1/24, fd77::1/64

[Peer]
PublicKey = %s
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = %s
`, key, peer, outerPort(lab.C4)))
	d := up(t, bin, a)
	for _, dst := range []netip.Addr{lab.TunnelB4, lab.TunnelB6, behind} {
		traffic.WaitPing(t, a, dst)
	}
	// The more specific routes of the main table still count.
	if got := a.Output("ip", "-o", "route", "get", "192.0.2.254"); !strings.Contains(got, "dev eth0") {
		t.Errorf("route to the local network: %s", got)
	}
	for _, dst := range []string{"8.8.8.8", "2001:4860:4860::8888"} {
		if got := a.Output("ip", "-o", "route", "get", dst); !strings.Contains(got, "dev wg0") {
			t.Errorf("route to %s: %s", dst, got)
		}
	}
	if mark := d.Status().FwMark; mark == 0 {
		t.Errorf("no mark was set")
	}

	// From outside nobody reaches the address of the tunnel …
	r.AddRoute("10.77.0.1/32", lab.A4.String(), "", 0)
	if n := must(traffic.Ping(r, lab.TunnelA4, 5, 56))(t); n != 0 {
		t.Errorf("%d pings to the tunnel's address answered outside the tunnel", n)
	}
	// … because of the firewall and not of something else in the lab.
	saved := a.Output("nft", "list", "ruleset")
	a.NFT("flush ruleset\n")
	traffic.WaitPing(t, r, lab.TunnelA4)
	a.NFT(saved)
	down(t, d, before)
}

// TestUpTable routes into no table and into a table of its own.
func TestUpTable(t *testing.T) {
	bin := router(t)
	for table, want := range map[string]string{
		"off":  "",
		"1234": "10.200.0.0/16 dev wg0 table 1234",
	} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			n := lab.ThroughRouter(1500).Build(t)
			a, c := n.Host("a"), n.Host("c")
			key, peer := gateway(t, c)
			before := prepare(a, fmt.Sprintf(`[Interface]
PrivateKey = %s
Address = 10.77.0.1/24
Table = %s
[Peer]
PublicKey = %s
AllowedIPs = 10.200.0.0/16, 10.77.0.2/32
Endpoint = %s
`, key, table, peer, outerPort(lab.C4)))
			d := up(t, bin, a)
			got := ""
			for line := range strings.Lines(a.Output("ip", "route", "show", "table", "all")) {
				if strings.HasPrefix(line, "10.200") {
					got += strings.Join(strings.Fields(line)[:min(5, len(strings.Fields(line)))], " ")
				}
			}
			if got != want {
				t.Errorf("route %q, want %q", got, want)
			}
			traffic.WaitPing(t, a, lab.TunnelB4)
			down(t, d, before)
		})
	}
}

// TestUpSaveConfig writes what was changed while it ran back to the file.
func TestUpSaveConfig(t *testing.T) {
	bin := router(t)
	t.Parallel()
	h := lab.NewHost(t, "a")
	key, peer, added := lab.NewKey(), lab.NewKey().Public(), lab.NewKey().Public()
	before := prepare(h, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24\nSaveConfig = true\n\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.2/32\n", key, peer))
	d := up(t, bin, h)
	h.Output("wg", "set", "wg0", "peer", added.String(), "allowed-ips", "10.77.0.3/32", "endpoint", "192.0.2.7:7", "peer", peer.String(), "remove")
	down(t, d, before)
	file := h.ReadFile("/etc/wireguard/wg0.conf")
	for _, want := range []string{key.String(), added.String(), "10.77.0.3/32", "192.0.2.7:7", "10.77.0.1/24", "SaveConfig = true"} {
		if !strings.Contains(file, want) {
			t.Errorf("the file does not have %q:\n%s", want, file)
		}
	}
	if strings.Contains(file, peer.String()) {
		t.Errorf("the file still has the peer that was removed:\n%s", file)
	}
	if info, err := os.Stat(h.Path("/etc/wireguard/wg0.conf")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v, %v", info.Mode(), err)
	}
	// And it is a file that works.
	before = h.Snapshot()
	d = up(t, bin, h)
	down(t, d, before)
}

// TestUpAfterKill kills a router with a default route, so that rules and
// firewall stay. The next one works and takes all of it back.
func TestUpAfterKill(t *testing.T) {
	bin := router(t)
	t.Parallel()
	n := lab.ThroughRouter(1500).Build(t)
	a, c := n.Host("a"), n.Host("c")
	key, peer := gateway(t, c)
	before := prepare(a, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0\nEndpoint = %s\n", key, peer, outerPort(lab.C4)))
	for range 2 {
		d := up(t, bin, a)
		traffic.WaitPing(t, a, behind)
		d.Process.Kill()
		if lab.Diff(before, a.Snapshot()) == "" {
			t.Fatal("nothing stays after SIGKILL: the test proves nothing")
		}
	}
	d := up(t, bin, a)
	traffic.WaitPing(t, a, behind)
	down(t, d, before)
}

// TestUpSignals ends "router up" by other means than SIGTERM.
func TestUpSignals(t *testing.T) {
	bin := router(t)
	for name, end := range map[string]func(*lab.Device){
		"SIGINT":                func(d *lab.Device) { d.Process.Signal(syscall.SIGINT) },
		"deletion of interface": func(d *lab.Device) { d.Host.DelLink("wg0") },
		"deletion of socket":    func(d *lab.Device) { d.DeleteSocket() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := lab.ThroughRouter(1500).Build(t)
			a, c := n.Host("a"), n.Host("c")
			key, peer := gateway(t, c)
			before := prepare(a, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = %s\n", key, peer, outerPort(lab.C4)))
			d := up(t, bin, a)
			end(d)
			if code := d.Process.Wait(); code != 0 {
				t.Errorf("exit code %d, want 0\n%s", code, d.Process.Output())
			}
			wantGone(t, a, before)
		})
	}
}

// TestUpNetstack runs in netstack mode without any capability: the peer can
// ping it, and the host is not touched.
func TestUpNetstack(t *testing.T) {
	bin := router(t)
	t.Parallel()
	n := lab.ThroughRouter(1500).Build(t)
	a, c := n.Host("a"), n.Host("c")
	key, peer := gateway(t, c)
	before := prepare(a, fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24, fd77::1/64\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.2/32, fd77::2/128\nEndpoint = %s\nPersistentKeepalive = 5\n", key, peer, outerPort(lab.C4)))
	p := a.Start(lab.Command{Path: "setpriv", Args: []string{"--bounding-set=-all", "--inh-caps=-all", bin, "up", "--mode", "netstack", "wg0"}})
	for _, dst := range []netip.Addr{lab.TunnelA4, lab.TunnelA6} {
		traffic.WaitPing(t, c, dst)
	}
	if a.HasLink("wg0") {
		t.Error("there is an interface")
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, p.Output())
	}
	wantGone(t, a, before)
}
