// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Topology says which hosts there are and how they are connected.
type Topology struct {
	Links []Link
	// Routers are the hosts that forward packets.
	Routers []string
	// Routes are set once all links are up.
	Routes []Route
}

// A Link is a veth pair between two hosts.
type Link struct {
	A, B   End
	MTU    int // 0 = 1500
	Queues int // of each end in each direction, 0 = as many as the kernel makes
}

// An End is one end of a link.
type End struct {
	Host, Interface string
	Addresses       []string // with prefix length
}

// A Route goes into the main table of a host.
type Route struct{ Host, Dst, Via string }

// Addresses of the ready-made topologies, outside the tunnel.
var (
	A4, A6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:a::1")
	B4, B6 = netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8:a::2")
	// C4 and C6 are host "c" behind the router of [ThroughRouter].
	C4, C6 = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:c::1")
)

// TwoHosts is
//
//	a eth0 ─────────── eth0 b
//	192.0.2.1/24            192.0.2.2/24
//	2001:db8:a::1/64        2001:db8:a::2/64
func TwoHosts(mtu int) Topology {
	return Topology{Links: []Link{{
		MTU: mtu,
		A:   End{"a", "eth0", []string{"192.0.2.1/24", "2001:db8:a::1/64"}},
		B:   End{"b", "eth0", []string{"192.0.2.2/24", "2001:db8:a::2/64"}},
	}}}
}

// ThroughRouter is
//
//	a eth0 ──────────── net0 r net1 ──────────── eth0 c
//	192.0.2.1/24        .254   .254               198.51.100.1/24
//	2001:db8:a::1/64    ::ff   ::ff               2001:db8:c::1/64
//
// with default routes to r, which forwards.
func ThroughRouter(mtu int) Topology {
	return Topology{
		Links: []Link{{
			MTU: mtu,
			A:   End{"a", "eth0", []string{"192.0.2.1/24", "2001:db8:a::1/64"}},
			B:   End{"r", "net0", []string{"192.0.2.254/24", "2001:db8:a::ff/64"}},
		}, {
			MTU: mtu,
			A:   End{"r", "net1", []string{"198.51.100.254/24", "2001:db8:c::ff/64"}},
			B:   End{"c", "eth0", []string{"198.51.100.1/24", "2001:db8:c::1/64"}},
		}},
		Routers: []string{"r"},
		Routes: []Route{
			{"a", "0.0.0.0/0", "192.0.2.254"}, {"a", "::/0", "2001:db8:a::ff"},
			{"c", "0.0.0.0/0", "198.51.100.254"}, {"c", "::/0", "2001:db8:c::ff"},
		},
	}
}

// A Net is a topology that exists.
type Net struct {
	t     T
	hosts map[string]*Host
}

// Host returns the host with the name.
func (n *Net) Host(name string) *Host {
	n.t.Helper()
	h := n.hosts[name]
	if h == nil {
		n.t.Fatalf("no host %q in the topology", name)
	}
	return h
}

// Build makes the hosts and links. They end with the test.
func (tp Topology) Build(t T) *Net {
	t.Helper()
	n := &Net{t: t, hosts: make(map[string]*Host)}
	for _, l := range tp.Links {
		for _, e := range []End{l.A, l.B} {
			if n.hosts[e.Host] == nil {
				n.hosts[e.Host] = NewHost(t, e.Host)
			}
		}
		n.AddLink(l)
	}
	for _, name := range tp.Routers {
		h := n.Host(name)
		h.Sysctl("net/ipv4/ip_forward", "1")
		h.Sysctl("net/ipv6/conf/all/forwarding", "1")
	}
	for _, r := range tp.Routes {
		n.Host(r.Host).AddRoute(r.Dst, r.Via, "", 0)
	}
	return n
}

// AddLink makes a link between two hosts of the topology, with its addresses, and waits
// until it is up.
func (n *Net) AddLink(l Link) {
	n.t.Helper()
	a, b := n.Host(l.A.Host), n.Host(l.B.Host)
	mtu := l.MTU
	if mtu == 0 {
		mtu = 1500
	}
	err := a.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.NumRxQueues, attrs.NumTxQueues = l.A.Interface, mtu, l.Queues, l.Queues
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: l.B.Interface, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(b.net.Fd()),
			PeerNumRxQueues: uint32(l.Queues), PeerNumTxQueues: uint32(l.Queues),
		})
	})
	if err != nil {
		n.t.Fatalf("veth %s-%s: %v", l.A.Host, l.B.Host, err)
	}
	for _, e := range []End{l.A, l.B} {
		h := n.Host(e.Host)
		for _, addr := range e.Addresses {
			h.AddAddress(e.Interface, addr)
		}
		h.SetUp(e.Interface)
	}
	// IPv6 starts when the kernel has noticed that both ends are up, which it
	// does in its own time: then there is a link-local address, and no address
	// is tentative.
	for _, e := range []End{l.A, l.B} {
		Wait(n.t, Patience, e.Interface+" on "+e.Host+" is up", func() error {
			return n.Host(e.Host).Do(func() error {
				link, err := netlink.LinkByName(e.Interface)
				if err != nil {
					return err
				}
				addresses, err := netlink.AddrList(link, netlink.FAMILY_V6)
				if err != nil {
					return err
				}
				ready := false
				for _, a := range addresses {
					if a.Flags&unix.IFA_F_TENTATIVE != 0 {
						return fmt.Errorf("%s is tentative", a)
					}
					ready = ready || a.IP.IsLinkLocalUnicast()
				}
				if !ready {
					return fmt.Errorf("it has only the addresses %v", addresses)
				}
				return nil
			})
		})
	}
}

// AddAddress adds an address with prefix length to an interface; IPv6 ones
// without duplicate address detection, so that they can be used at once.
func (h *Host) AddAddress(ifname, prefix string) {
	h.t.Helper()
	h.change("add address "+prefix, ifname, func(link netlink.Link) error {
		return netlink.AddrAdd(link, address(prefix))
	})
}

// DelAddress removes an address with prefix length from an interface.
func (h *Host) DelAddress(ifname, prefix string) {
	h.t.Helper()
	h.change("remove address "+prefix, ifname, func(link netlink.Link) error {
		return netlink.AddrDel(link, address(prefix))
	})
}

func address(prefix string) *netlink.Addr {
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		panic(err)
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// SetUp brings an interface up.
func (h *Host) SetUp(ifname string) {
	h.t.Helper()
	h.change("up", ifname, netlink.LinkSetUp)
}

// SetDown brings an interface down.
func (h *Host) SetDown(ifname string) {
	h.t.Helper()
	h.change("down", ifname, netlink.LinkSetDown)
}

// SetMTU sets the MTU of an interface.
func (h *Host) SetMTU(ifname string, mtu int) {
	h.t.Helper()
	h.change("set MTU", ifname, func(link netlink.Link) error { return netlink.LinkSetMTU(link, mtu) })
}

// DelLink deletes an interface.
func (h *Host) DelLink(ifname string) {
	h.t.Helper()
	h.change("delete", ifname, netlink.LinkDel)
}

// MoveLink moves an interface to another host.
func (h *Host) MoveLink(ifname string, to *Host) {
	h.t.Helper()
	h.change("move", ifname, func(link netlink.Link) error { return netlink.LinkSetNsFd(link, int(to.net.Fd())) })
}

func (h *Host) change(what, ifname string, f func(netlink.Link) error) {
	h.t.Helper()
	err := h.Do(func() error {
		link, err := netlink.LinkByName(ifname)
		if err != nil {
			return err
		}
		return f(link)
	})
	if err != nil {
		h.t.Fatalf("host %s: %s: %s: %v", h.Name, ifname, what, err)
	}
}

// TxDropped returns how many packets were dropped because whoever reads them from the
// interface was too slow.
func (h *Host) TxDropped(ifname string) (n int64) {
	h.t.Helper()
	h.change("counters", ifname, func(l netlink.Link) error {
		n = int64(l.Attrs().Statistics.TxDropped)
		return nil
	})
	return n
}

// HasLink reports whether the host has an interface of the name.
func (h *Host) HasLink(ifname string) bool {
	err := h.Do(func() error { _, err := net.InterfaceByName(ifname); return err })
	return err == nil
}

// AddRoute adds a route: via is a gateway or "", ifname an interface or "",
// table 0 means main.
func (h *Host) AddRoute(dst, via, ifname string, table int) {
	h.t.Helper()
	h.route("add", netlink.RouteAdd, dst, via, ifname, table)
}

// DelRoute removes the route.
func (h *Host) DelRoute(dst, via, ifname string, table int) {
	h.t.Helper()
	h.route("remove", netlink.RouteDel, dst, via, ifname, table)
}

func (h *Host) route(what string, f func(*netlink.Route) error, dst, via, ifname string, table int) {
	h.t.Helper()
	err := h.Do(func() error {
		_, prefix, err := net.ParseCIDR(dst)
		if err != nil {
			return err
		}
		r := &netlink.Route{Dst: prefix, Gw: net.ParseIP(via), Table: table}
		if ifname != "" {
			link, err := netlink.LinkByName(ifname)
			if err != nil {
				return err
			}
			r.LinkIndex = link.Attrs().Index
		}
		return f(r)
	})
	if err != nil {
		h.t.Fatalf("host %s: %s route %s: %v", h.Name, what, dst, err)
	}
}

// Sysctl sets a variable of the network namespace, by its path below
// /proc/sys.
func (h *Host) Sysctl(name, value string) {
	h.t.Helper()
	if err := h.sysctl(name, value); err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
}

func (h *Host) sysctl(name, value string) error {
	// Which namespace a file below /proc/sys/net belongs to is decided by the
	// thread that opens it.
	return h.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

// NFT loads a ruleset with nft(8).
func (h *Host) NFT(ruleset string) {
	h.t.Helper()
	if r := h.Exec(Command{Path: "nft", Args: []string{"-f", "-"}, Stdin: ruleset}); r.Code != 0 {
		h.t.Fatalf("host %s: nft: %s", h.Name, r.Stderr)
	}
}

// NFTCounter returns the packets of a named counter of table inet lab.
func (h *Host) NFTCounter(name string) int64 {
	h.t.Helper()
	out := h.Output("nft", "list", "counter", "inet", "lab", name)
	_, after, ok := strings.Cut(out, "packets ")
	var n int64
	if _, err := fmt.Sscan(after, &n); !ok || err != nil {
		h.t.Fatalf("host %s: counter %s: %q", h.Name, name, out)
	}
	return n
}
