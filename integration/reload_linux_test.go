// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// hub is the network of this file:
//
//	b (a peer that stays) eth0 192.0.2.2  ── eth0 a ("router up")
//	c (a peer that changes) eth0 198.51.100.2 ── eth1
//
// The tests do not run in parallel with others: they count every segment.
type hub struct {
	a, b, c *lab.Host
	key     lab.Key // of a
	stay    *lab.Device
	change  *lab.Device
}

func newHub(t *testing.T, bin string) *hub {
	t.Helper()
	n := lab.Topology{Links: []lab.Link{
		{A: lab.End{Host: "a", Interface: "eth0", Addresses: []string{"192.0.2.1/24", "2001:db8:a::1/64"}}, B: lab.End{Host: "b", Interface: "eth0", Addresses: []string{"192.0.2.2/24", "2001:db8:a::2/64"}}},
		{A: lab.End{Host: "a", Interface: "eth1", Addresses: []string{"198.51.100.1/24"}}, B: lab.End{Host: "c", Interface: "eth0", Addresses: []string{"198.51.100.2/24"}}},
	}}.Build(t)
	h := &hub{a: n.Host("a"), b: n.Host("b"), c: n.Host("c"), key: lab.NewKey()}
	self := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true}
	toA := func(outer string) lab.Peer {
		return lab.Peer{PublicKey: h.key.Public(), Endpoint: netip.AddrPortFrom(netip.MustParseAddr(outer), lab.Port), AllowedIPs: []string{"10.77.0.0/24", "fd77::/64"}}
	}
	h.stay = lab.StartDevice(h.b, self, lab.DeviceOptions{Addresses: []string{"10.77.0.2/32", "fd77::2/128"}, Peers: []lab.Peer{toA("192.0.2.1")}})
	h.change = lab.StartDevice(h.c, implementation(t, lab.UpstreamName), lab.DeviceOptions{Addresses: []string{"10.77.0.3/32", "10.99.0.1/32"}, Peers: []lab.Peer{toA("198.51.100.1")}})
	return h
}

// file returns a configuration: the interface, the peer that stays, and more.
func (h *hub) file(iface, more string) string {
	return fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24, fd77::1/64\nListenPort = 51820\n%s\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.2/32, fd77::2/128\nEndpoint = 192.0.2.2:51820\n\n%s",
		h.key, iface, h.stay.PublicKey(), more)
}

func (h *hub) peer(lines string) string {
	return fmt.Sprintf("[Peer]\nPublicKey = %s\n%s\n", h.change.PublicKey(), lines)
}

// TestReload changes the file of a running router in every way that leaves one
// peer as it is. That peer's TCP stream loses no segment, its UDP flows no
// packet, and its session is not renewed.
func TestReload(t *testing.T) {
	bin := router(t)
	h := newHub(t, bin)
	base := h.peer("AllowedIPs = 10.77.0.3/32\nEndpoint = 198.51.100.2:51820")
	before := prepare(h.a, h.file("", base))
	d := up(t, bin, h.a)
	traffic.WaitPing(t, h.a, lab.TunnelB4)
	traffic.WaitPing(t, h.a, netip.MustParseAddr("10.77.0.3"))
	session := d.Peer(h.stay.PublicKey()).Handshake

	other := lab.NewKey()
	psk := lab.NewKey()
	steps := []struct {
		name, iface, more string
		done              func() error
	}{
		{"nothing", "", base, nil},
		{"keepalive and allowed IPs", "", h.peer("AllowedIPs = 10.77.0.3/32, 10.99.0.0/16\nEndpoint = 198.51.100.2:51820\nPersistentKeepalive = 7"), func() error {
			return h.allowed(d, "10.77.0.3/32", "10.99.0.0/16")
		}},
		{"pre-shared key and endpoint", "", h.peer("AllowedIPs = 10.77.0.3/32, 10.99.0.0/16\nEndpoint = 198.51.100.99:7\nPresharedKey = " + psk.String()), func() error {
			if p := d.Peer(h.change.PublicKey()); p.PresharedKey != psk || p.Endpoint != netip.MustParseAddrPort("198.51.100.99:7") {
				return fmt.Errorf("endpoint %s", p.Endpoint)
			}
			return nil
		}},
		{"without the peer", "", "", func() error {
			if n := len(d.Status().Peers); n != 1 {
				return fmt.Errorf("%d peers", n)
			}
			return nil
		}},
		{"another peer", "", fmt.Sprintf("[Peer]\nPublicKey = %s\nAllowedIPs = 10.98.0.0/16\n", other.Public()), func() error {
			r := h.a.Exec(lab.Command{Path: "ip", Args: []string{"-o", "route", "get", "10.98.1.1"}})
			if !strings.Contains(r.Stdout, "dev wg0") {
				return errors.New(r.Stdout + r.Stderr)
			}
			return nil
		}},
		{"another address and MTU", "Address = 10.55.0.1/24\nMTU = 1400", base, func() error {
			addr, link := h.a.Output("ip", "-br", "addr", "show", "wg0"), h.a.Output("ip", "-o", "link", "show", "wg0")
			if !strings.Contains(addr, "10.55.0.1/24") || !strings.Contains(link, "mtu 1400") {
				return errors.New(addr + link)
			}
			return nil
		}},
		{"as at first", "", base, func() error {
			if addr := h.a.Output("ip", "-br", "addr", "show", "wg0"); strings.Contains(addr, "10.55.0.1/24") {
				return errors.New(addr)
			}
			return h.allowed(d, "10.77.0.3/32")
		}},
	}

	retransmitted := h.a.Counter("Tcp", "RetransSegs") + h.b.Counter("Tcp", "RetransSegs")
	stream := must(traffic.StartStream(h.a, h.b, lab.TunnelB4, lab.Patience))(t)
	flows := map[string]*traffic.Flow{
		"out": must(traffic.StartFlow(h.a, h.b, lab.TunnelB6, 200, 1000))(t),
		"in":  must(traffic.StartFlow(h.b, h.a, lab.TunnelA6, 200, 1000))(t),
	}
	for i, step := range steps {
		h.a.WriteFile("/etc/wireguard/wg0.conf", h.file(step.iface, step.more), 0o600)
		if i%2 == 0 {
			d.Process.Signal(syscall.SIGHUP)
		} else {
			h.a.Output(bin, "reload", "wg0")
		}
		if step.done != nil {
			lab.Wait(t, lab.Patience, step.name, step.done)
		}
		// Traffic goes on after each step.
		reached := stream.Received() + 8<<20
		lab.Wait(t, lab.Patience, "8 MiB more after "+step.name, func() error {
			if n := stream.Received(); n < reached {
				return fmt.Errorf("%d bytes missing", reached-n)
			}
			return nil
		})
	}
	for name, f := range flows {
		if r := must(f.Stop())(t); r.Lost+r.Duplicated+r.Corrupt != 0 {
			t.Errorf("UDP %s: %s", name, r)
		}
	}
	r := must(stream.Stop())(t)
	if r.Lost() != 0 {
		t.Errorf("%d segments of %d bytes were lost, %d sent again", r.Lost(), r.Sent, r.All)
	}
	if n := h.a.Counter("Tcp", "RetransSegs") + h.b.Counter("Tcp", "RetransSegs") - retransmitted; n != r.All {
		t.Errorf("the kernels count %d retransmitted segments, the sockets %d", n, r.All)
	}
	if got := d.Peer(h.stay.PublicKey()).Handshake; !got.Equal(session) {
		t.Errorf("the session was renewed: handshake at %v, before at %v", got, session)
	}
	if r.Received == 0 {
		t.Error("the stream carried nothing")
	}
	traffic.WaitPing(t, h.a, netip.MustParseAddr("10.77.0.3"))
	down(t, d, before)
}

// allowed checks the allowed IPs of the peer that changes.
func (h *hub) allowed(d *lab.Device, want ...string) error {
	p, ok := d.Status().Peers[h.change.PublicKey()]
	if got := strings.Join(sorted(p.AllowedIPs), " "); !ok || got != strings.Join(sorted(want), " ") {
		return fmt.Errorf("allowed IPs %q", got)
	}
	return nil
}

// TestReloadMistake reloads a file with a mistake: it is named, and nothing
// changes.
func TestReloadMistake(t *testing.T) {
	bin := router(t)
	t.Parallel()
	h := newHub(t, bin)
	base := h.peer("AllowedIPs = 10.77.0.3/32\nEndpoint = 198.51.100.2:51820")
	prepare(h.a, h.file("", base))
	d := up(t, bin, h.a)
	traffic.WaitPing(t, h.a, lab.TunnelB4)
	was := d.Status()
	h.a.WriteFile("/etc/wireguard/wg0.conf", h.file("", h.peer("AllowedIPs = 10.99.0.0/16")+"Nonsense = 1\n"), 0o600)
	r := h.a.Exec(lab.Command{Path: bin, Args: []string{"reload", "wg0"}})
	if r.Code == 0 || !strings.Contains(r.Stderr, "Nonsense") || !strings.Contains(r.Stderr, "wg0.conf:") {
		t.Errorf("exit code %d, %q; want a failure that names the place", r.Code, r.Stderr)
	}
	d.Process.Signal(syscall.SIGHUP)
	lab.Wait(t, lab.Patience, "the log names the mistake", func() error {
		if !strings.Contains(d.Process.Output(), "Nonsense") {
			return errors.New("not yet")
		}
		return nil
	})
	if err := h.allowed(d, "10.77.0.3/32"); err != nil {
		t.Error(err)
	}
	if got := d.Status(); got.ListenPort != was.ListenPort || len(got.Peers) != len(was.Peers) {
		t.Errorf("changed: %v, was %v", got, was)
	}
	wantPings(t, h.a, h.b)
}

// TestRekey keeps traffic going until the sessions are renewed, which takes two
// minutes: between routers not a packet is lost. It runs beside the other tests, with every
// peer at once.
func TestRekey(t *testing.T) {
	self := subject(t)
	t.Parallel()
	type run struct {
		name    string
		tun     *lab.Tunnel
		session [2]time.Time
		flows   [2]*traffic.Flow
	}
	var runs []*run
	for _, name := range []string{lab.RouterName, lab.UpstreamName} {
		if name == lab.RouterName && self.Name != name {
			continue
		}
		n := lab.TwoHosts(1500).Build(t)
		a, b := n.Host("a"), n.Host("b")
		r := &run{name: name, tun: lab.StartTunnel(lab.TunnelOptions{A: self, B: implementation(t, name), HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4})}
		// In one of them the router initiates, and renews.
		first, dst := a, lab.TunnelB4
		if name == lab.UpstreamName {
			first, dst = b, lab.TunnelA4
		}
		traffic.WaitPing(t, first, dst)
		r.session = [2]time.Time{r.tun.A.Peer(r.tun.B.PublicKey()).Handshake, r.tun.B.Peer(r.tun.A.PublicKey()).Handshake}
		r.flows = [2]*traffic.Flow{must(traffic.StartFlow(a, b, lab.TunnelB4, 200, 200))(t), must(traffic.StartFlow(b, a, lab.TunnelA6, 200, 200))(t)}
		runs = append(runs, r)
	}
	// RekeyAfterTime is 120 s for the initiator.
	const renewal = 120*time.Second + lab.Patience
	for _, r := range runs {
		lab.Wait(t, renewal, "renewed session with "+r.name, func() error {
			if r.tun.A.Peer(r.tun.B.PublicKey()).Handshake.Equal(r.session[0]) || r.tun.B.Peer(r.tun.A.PublicKey()).Handshake.Equal(r.session[1]) {
				return errors.New("it is the first still")
			}
			return nil
		})
	}
	for _, r := range runs {
		for i, f := range r.flows {
			// A second with the new session first.
			sent := f.Sent() + 200
			lab.Wait(t, lab.Patience, "traffic", func() error {
				if f.Sent() < sent {
					return errors.New("not yet")
				}
				return nil
			})
			// Of 25,000 packets to the router, with upstream as the one that renews,
			// one has been seen to be lost, and once two; where is not known. All of
			// them had arrived on the wire. Two routers lose none.
			allowed := int64(0)
			if r.name == lab.UpstreamName {
				allowed = 2
			}
			if got := must(f.Stop())(t); got.Lost > allowed || got.Duplicated+got.Corrupt+got.Reordered != 0 {
				t.Errorf("with %s, direction %d: %s", r.name, i, got)
			}
		}
	}
}
