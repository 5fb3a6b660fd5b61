// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An xdpLab is two hosts with a cable between them: one that has XDP, and one that
// does not know of it.
type xdpLab struct {
	t         *testing.T
	near, far *testutil.NS
}

var nearAddr, farAddr = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")

func newXDPLab(t *testing.T) *xdpLab {
	t.Helper()
	testutil.NeedNetNS(t)
	l := &xdpLab{t, testutil.NewNS(t), testutil.NewNS(t)}
	l.cable("near", nearAddr, "far", farAddr)
	return l
}

// cable connects the hosts, two queues in each direction.
func (l *xdpLab) cable(near string, nearAddr netip.Addr, far string, farAddr netip.Addr) {
	l.t.Helper()
	must := func(err error) {
		l.t.Helper()
		if err != nil {
			l.t.Fatal(err)
		}
	}
	end := func(name string, addr netip.Addr) {
		link, err := netlink.LinkByName(name)
		must(err)
		a, err := netlink.ParseAddr(netip.PrefixFrom(addr, 24).String())
		must(err)
		must(netlink.AddrAdd(link, a))
		must(netlink.LinkSetUp(link))
	}
	l.near.Run(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues = near, 2, 2
		must(netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attrs, PeerName: far, PeerNumRxQueues: 2, PeerNumTxQueues: 2, PeerNamespace: netlink.NsFd(l.far.File().Fd()),
		}))
	})
	l.far.Run(func() { end(far, farAddr) })
	l.near.Run(func() { end(near, nearAddr) })
}

// sites returns two running routers, the first one on the near host with XDP as said.
func (l *xdpLab) sites(asked config.XDP) (a, b *site) {
	l.t.Helper()
	a, b = newSite(l.t, 1), newSite(l.t, 2)
	a.cfg.Router.XDP = asked
	a.cfg.Router.GSO = config.SwitchOff // with it, bulk leaves through the kernel's sockets
	b.knows(a)
	l.start(b, l.far, farAddr)
	a.knows(b)
	a.cfg.Peers[0].Endpoint.Host = farAddr.String()
	l.start(a, l.near, netip.IPv4Unspecified()) // on every interface
	return a, b
}

func (l *xdpLab) start(s *site, ns *testutil.NS, addr netip.Addr) {
	l.t.Helper()
	var err error
	ns.Run(func() {
		s.Engine, err = engine.New(s.cfg, &engine.Options{Logger: testutil.Logger(l.t), NoControl: true, ListenOn: []netip.Addr{addr}})
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { s.Close() })
}

// reload gives s, which is on the near host, another value of XDP.
func (l *xdpLab) reload(s *site, asked config.XDP) {
	l.t.Helper()
	cfg := s.clone()
	cfg.Router.XDP = asked
	var err error
	l.near.Run(func() { err = s.Reload(cfg) })
	if err != nil {
		l.t.Fatalf("reload with XDP = %s: %v", asked, err)
	}
}

// xdp returns what the status of s says.
func (s *site) xdp() *engine.XDPInfo {
	s.t.Helper()
	d, err := s.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	return engine.XDPOf(d)
}

// xdpAdvice returns the advice of s about XDP.
func (s *site) xdpAdvice() []engine.Advice {
	s.t.Helper()
	d, err := s.Status()
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(engine.AdviceOf(d), func(a engine.Advice) bool { return a.ID != "xdp" })
}

// awaitXDP waits until the status of s is as wanted.
func (s *site) awaitXDP(what string, ok func(x *engine.XDPInfo) bool) {
	s.t.Helper()
	testutil.Eventually(s.t, patience, what, func() error {
		if x := s.xdp(); x == nil || !ok(x) {
			return fmt.Errorf("status is %+v", x)
		}
		return nil
	})
}

// past returns how many frames the queues have received and sent.
func past(x *engine.XDPInfo) (rx, tx uint64) {
	for _, q := range x.Queues {
		rx, tx = rx+q.RxPackets, tx+q.TxPackets
	}
	return rx, tx
}

// Packets go past the kernel both ways, and status and metrics say so.
func TestXDP(t *testing.T) {
	testutil.LeakCheck(t)
	l := newXDPLab(t)
	a, b := l.sites(config.XDP{On: true, Interface: "near"})
	to := netip.AddrPortFrom(b.inner, 7)
	b.echoPackets(to)
	flow := a.steady(to)
	flow.more(500)
	a.awaitXDP("frames go past the kernel both ways", func(x *engine.XDPInfo) bool {
		rx, tx := past(x)
		return rx > 500 && tx > 500
	})
	flow.end()
	x := a.xdp()
	if !x.Active || x.Asked != "near" || x.Interface != "near" || x.Attach != "native" || x.Reason != "" || len(x.Refusals) > 0 || len(x.Queues) != 2 {
		t.Errorf("status is %+v, want two queues of near in native mode", x)
	}
	if rx, _ := past(x); x.Program["redirected"] < rx {
		t.Errorf("%d frames came past the kernel, the program has seen %v", rx, x.Program)
	}
	if list := a.xdpAdvice(); len(list) > 0 {
		t.Errorf("advice %+v though all is well", list)
	}
	lines := shown(t, a)
	for _, want := range []string{
		"router_xdp_active{device=test1,interface=near}",
		"router_xdp_queues{device=test1}",
		"router_xdp_queue_info{attach=native,copy=copy,device=test1,interface=near,queue=0}",
		"router_xdp_queue_info{attach=native,copy=copy,device=test1,interface=near,queue=1}",
		"router_xdp_frames_total{device=test1,verdict=redirected}",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, name := range []string{"router_xdp_receive_packets_total{", "router_xdp_transmit_bytes_total{", "router_xdp_wakeups_total{"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, name) }) {
			t.Errorf("no %s", name)
		}
	}
	if !slices.ContainsFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "router_socket_receive_packets_total{") && strings.HasSuffix(l, ",use=xdp}")
	}) {
		t.Error("the queues are not among the sockets")
	}

	// It follows the port.
	cfg := a.clone()
	cfg.Interface.ListenPort = a.ListenPort() ^ 1
	var err error
	l.near.Run(func() { err = a.Reload(cfg) })
	if err != nil {
		t.Fatal(err)
	}
	before, _ := past(a.xdp())
	flow = a.steady(to)
	a.awaitXDP("frames to another port go past the kernel", func(x *engine.XDPInfo) bool {
		rx, _ := past(x)
		return rx > before+100
	})
	flow.end()
	for _, s := range []*site{a, b} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// XDP comes and goes and changes while datagrams pass: none is lost or doubled, and no
// session begins anew.
func TestReloadOfXDPLosesNothing(t *testing.T) {
	testutil.LeakCheck(t)
	l := newXDPLab(t)
	l.cable("near2", netip.MustParseAddr("10.78.0.1"), "far2", netip.MustParseAddr("10.78.0.2"))
	l.near.Run(func() {
		if err := netlink.RouteAdd(&netlink.Route{Gw: farAddr.AsSlice()}); err != nil {
			t.Fatal(err)
		}
	})
	a, b := l.sites(config.XDP{})
	to := netip.AddrPortFrom(b.inner, 7)
	b.echoPackets(to)
	flow := a.steady(to)
	flow.more(200)
	ports := [2]uint16{a.ListenPort(), b.ListenPort()}
	shake := a.peerStatus(b.key.Public()).LastHandshake
	if x := a.xdp(); x != nil {
		t.Errorf("status is %+v though nothing is asked for", x)
	}
	near := config.XDP{On: true, Interface: "near"}
	one := config.XDP{On: true, Interface: "near", Queues: 1}
	other := config.XDP{On: true, Interface: "near2"} // where no peer is
	t.Cleanup(func() {                                // before they end
		if t.Failed() {
			t.Logf("near: dropped %v, XDP %+v", dropsOf(a.Snapshot()), a.xdp())
			t.Logf("far: dropped %v", dropsOf(b.Snapshot()))
		}
	})
	for _, next := range []config.XDP{near, {}, one, near, near, other, {On: true}, {}, {On: true, Interface: "nowhere"}, one, {}} {
		l.reload(a, next)
		t.Logf("XDP = %s after %d datagrams", next, flow.answered.Load())
		x := a.xdp()
		if (x != nil) != next.On {
			t.Fatalf("XDP = %s: status is %+v", next, x)
		}
		if next.On && next.Interface != "nowhere" {
			a.awaitXDP("XDP = "+next.String(), func(x *engine.XDPInfo) bool { return x.Active })
			x = a.xdp()
			if x.Asked != next.String() || len(x.Queues) != max(1, 2-next.Queues) || x.Interface != "near" && next != other {
				t.Errorf("XDP = %s: status is %+v", next, x)
			}
		}
		flow.more(200)
		if next.On && next.Interface != "nowhere" && next != other {
			a.awaitXDP("XDP = "+next.String()+": frames go past the kernel", func(x *engine.XDPInfo) bool {
				rx, tx := past(x)
				return tx > 0 && (rx > 0 || next == one) // all may come by the other queue
			})
		}
	}
	flow.end()
	if got := [2]uint16{a.ListenPort(), b.ListenPort()}; got != ports {
		t.Errorf("ports are %v, want %v as before", got, ports)
	}
	if got := a.peerStatus(b.key.Public()).LastHandshake; !got.Equal(shake) {
		t.Errorf("handshake at %v, want that of %v", got, shake)
	}
	for _, s := range []*site{a, b} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Without its interface XDP is not active, says why, and what to do. It comes back with
// the interface.
func TestXDPWithoutInterface(t *testing.T) {
	testutil.LeakCheck(t)
	l := newXDPLab(t)
	a, _ := l.sites(config.XDP{On: true, Interface: "near"})
	active := func(x *engine.XDPInfo) bool { return x.Active }
	a.awaitXDP("XDP is active", active)
	l.near.Run(func() {
		link, err := netlink.LinkByName("near")
		if err == nil {
			err = netlink.LinkDel(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	a.awaitXDP("XDP ends", func(x *engine.XDPInfo) bool { return !x.Active && strings.Contains(x.Reason, "no interface near") })
	if list := a.xdpAdvice(); len(list) != 1 || list[0].Severity != "warning" || !strings.Contains(list[0].Remedy, "router xdp check near") {
		t.Errorf("advice is %+v", list)
	}
	if s := a.Snapshot().XDP; s == nil || s.Active || s.Interface != "near" {
		t.Errorf("metrics have %+v", s)
	}
	l.cable("near", nearAddr, "far", farAddr)
	a.awaitXDP("XDP is back", active)
	if x := a.xdp(); x.Restarts != 1 || len(a.xdpAdvice()) > 0 {
		t.Errorf("status is %+v, with advice %+v", x, a.xdpAdvice())
	}
}

// The device of a router in a sandbox is in a network namespace of its own; its sockets
// are the host's, and so is XDP.
func TestXDPElsewhere(t *testing.T) {
	testutil.LeakCheck(t)
	l := newXDPLab(t)
	there := testutil.NewNS(t)
	var files []*os.File
	there.Run(func() {
		var err error
		if files, err = tunwrap.CreateFiles("wg7", nil); err != nil {
			t.Fatal(err)
		}
	})
	dev, err := tunwrap.FromFiles(files, &tunwrap.Options{Elsewhere: true})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, 1)
	s.cfg.Name, s.cfg.Router.Mode, s.cfg.Router.XDP = "wg7", config.ModeTUN, config.XDP{On: true, Interface: "near"}
	l.near.Run(func() {
		s.Engine, err = engine.New(s.cfg, &engine.Options{Logger: testutil.Logger(t), Device: dev, Elsewhere: true, NoControl: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	s.awaitXDP("XDP is active on the host", func(x *engine.XDPInfo) bool { return x.Active })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A router that can not start leaves no program on the interface.
func TestFailedStartWithXDP(t *testing.T) {
	testutil.LeakCheck(t)
	l := newXDPLab(t)
	first := newSite(t, 1)
	l.start(first, l.near, nearAddr)
	s := newSite(t, 2)
	s.cfg.Interface.ListenPort, s.cfg.Router.XDP = first.ListenPort(), config.XDP{On: true, Interface: "near"}
	l.near.Run(func() {
		e, err := engine.New(s.cfg, &engine.Options{Logger: testutil.Logger(t), NoControl: true, ListenOn: []netip.Addr{nearAddr}})
		if err == nil {
			e.Close()
			t.Fatal("two routers have one port")
		}
		link, err := netlink.LinkByName("near")
		if err != nil {
			t.Fatal(err)
		}
		if p := link.Attrs().Xdp; p != nil && p.Attached {
			t.Errorf("program %d is still there", p.ProgId)
		}
	})
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

// Without privilege the router runs with the kernel's sockets, and says what it needs.
func TestXDPWithoutPrivilege(t *testing.T) {
	testutil.LeakCheck(t)
	s := newSite(t, 1)
	s.cfg.Router.XDP = config.XDP{On: true}
	err := testutil.OnThrowawayThread(func() (err error) {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3} // this thread
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		s.Engine, err = engine.New(s.cfg, &engine.Options{Logger: testutil.Logger(t), NoControl: true, ListenOn: []netip.Addr{loopback}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if x := s.xdp(); x == nil || x.Active || !strings.Contains(x.Reason, "CAP_NET_RAW") || s.ListenPort() == 0 {
		t.Errorf("status is %+v, port %d", x, s.ListenPort())
	}
	if list := s.xdpAdvice(); len(list) != 1 || !strings.Contains(list[0].Remedy, "as root") {
		t.Errorf("advice is %+v", list)
	}
	if m := s.Snapshot().XDP; m == nil || m.Active || m.Interface != "auto" {
		t.Errorf("metrics have %+v", m)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
