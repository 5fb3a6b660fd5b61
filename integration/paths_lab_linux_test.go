// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Topology of the tests of paths: sites of an internet, see lab.Internet.
//
//	a (a router, behind a NAT or not) ─┐
//	b (likewise) ──────────────────────┤ core
//	relay (as nobody, public) ─────────┘

// pathsOptions describe a pathsLab.
type pathsOptions struct {
	a, b lab.NAT
	// ipv6 gives the sites IPv6 too.
	ipv6 bool
	// more are further sites.
	more []lab.SiteSpec
	// netstackB runs b without an interface.
	netstackB bool
	quiet     bool
}

// A pathsLab is two routers that are each other's peer, and their relay.
type pathsLab struct {
	*lab.Internet
	bin         string
	o           pathsOptions
	a, b, relay *lab.Site

	relayKey     lab.Key
	relayProcess *lab.Process
	// optionsA and optionsB are what start starts.
	optionsA, optionsB lab.DeviceOptions
	processA, processB *lab.Process
}

// newPathsLab builds the internet and starts the relay. The routers know where the
// other one is when that is public, and are not started.
func newPathsLab(t *testing.T, o pathsOptions) *pathsLab {
	t.Helper()
	l := &pathsLab{bin: router(t), o: o, relayKey: lab.NewKey()}
	testutil.NeedTool(t, "setpriv")
	l.Internet = lab.InternetOptions{
		IPv6:  o.ipv6,
		Sites: append([]lab.SiteSpec{{Name: "relay"}, {Name: "a", NAT: o.a}, {Name: "b", NAT: o.b}}, o.more...),
	}.Build(t)
	l.a, l.b, l.relay = l.Site("a"), l.Site("b"), l.Site("relay")
	l.optionsA, l.optionsB = lab.TunnelOptions{
		OuterA: l.a.Outer(), OuterB: l.b.Outer(), Quiet: o.quiet,
		ForgetA: o.a != lab.NoNAT, ForgetB: o.b != lab.NoNAT,
	}.Ends()
	l.optionsA.Name, l.optionsB.Name = "wg0", "wg0"
	l.startRelay(t)
	return l
}

// relayAt is where the relay listens.
func (l *pathsLab) relayAt() netip.AddrPort {
	return netip.AddrPortFrom(l.relay.Outer(), lab.RelayPort)
}

// startRelay runs the relay as the user nobody and waits until it listens.
func (l *pathsLab) startRelay(t *testing.T) {
	t.Helper()
	file := section("Interface", "PrivateKey = "+l.relayKey.String()) + section("RelayServer",
		fmt.Sprintf("ListenPort = %d", lab.RelayPort),
		fmt.Sprintf("AllowedKeys = %s, %s", l.optionsA.PrivateKey.Public(), l.optionsB.PrivateKey.Public()))
	h := l.relay.Host
	l.relayProcess = h.Start(lab.AsNobody(lab.Command{Path: l.bin, Args: []string{"relay", "--log-level", "debug", h.WriteNobodyFile("relay.conf", file)}}))
	lab.Wait(t, lab.Patience, "the relay listens", func() error {
		if !l.relayProcess.Running() {
			t.Fatalf("the relay ended:\n%s", l.relayProcess.Output())
		}
		if h.Output("ss", "-Hlun", "sport", "=", fmt.Sprint(lab.RelayPort)) == "" {
			return fmt.Errorf("it does not:\n%s", l.relayProcess.Output())
		}
		return nil
	})
}

// sections are those of both routers.
func (l *pathsLab) sections() string {
	return section("Relay", "PublicKey = "+l.relayKey.Public().String(), "Endpoint = "+l.relayAt().String())
}

// start starts both routers and waits until the relay has answered both. Nothing has
// passed between them then.
func (l *pathsLab) start(t *testing.T) {
	t.Helper()
	im := lab.Implementation{Name: lab.RouterName, Path: l.bin, Learns: true, Sections: l.sections()}
	l.processA = lab.StartDevice(l.a.Host, im, l.optionsA).Process
	if l.o.netstackB {
		l.processB = lab.StartNetstack(l.b.Host, l.bin, l.optionsB, l.sections())
	} else {
		l.processB = lab.StartDevice(l.b.Host, im, l.optionsB).Process
	}
	l.waitRegistered(t, 0, 0)
}

// waitRegistered waits until the relay has sent both routers a Challenge and a
// Registered more than so many packets.
func (l *pathsLab) waitRegistered(t *testing.T, a, b int64) {
	t.Helper()
	lab.Wait(t, lab.Patience, "registrations", func() error {
		if gotA, gotB := l.Passed(l.relay, l.a)-a, l.Passed(l.relay, l.b)-b; gotA < 2 || gotB < 2 {
			return fmt.Errorf("the relay has sent a %d packets, b %d\nrelay:\n%s", gotA, gotB, l.relayProcess.Output())
		}
		return nil
	})
}

// ping starts echo requests from a to b through the tunnel.
func (l *pathsLab) ping(t *testing.T, interval time.Duration) *traffic.Pinger {
	t.Helper()
	return must(traffic.StartPinger(l.a.Host, lab.TunnelB4, 56, interval))(t)
}

// tap listens between a site and the core.
func (l *pathsLab) tap(t *testing.T, s *lab.Site) *traffic.Tap {
	t.Helper()
	return must(traffic.StartTap(l.Core, l.CoreInterface(s)))(t)
}

// isDirect reports whether a frame goes from one site to another, as seen in the core.
func isDirect(f traffic.Frame, from, to *lab.Site) bool {
	at := func(a netip.AddrPort, s *lab.Site) bool { return a.Addr() == s.Outer() || a.Addr() == s.Outer6() }
	return at(f.Src, from) && at(f.Dst, to)
}

// firstPackets returns when packets of the tunnel were first seen to go both ways,
// directly and over the relay; zero when they were not.
func (l *pathsLab) firstPackets(tap *traffic.Tap) (direct, relayed time.Time) {
	both := func(match func(f traffic.Frame, from *lab.Site) bool) time.Time {
		var last time.Time
		for _, from := range []*lab.Site{l.a, l.b} {
			frames := tap.Frames(func(f traffic.Frame) bool { return f.HasPacket() && match(f, from) })
			if len(frames) == 0 {
				return time.Time{}
			}
			if at := frames[0].At; at.After(last) {
				last = at
			}
		}
		return last
	}
	direct = both(func(f traffic.Frame, from *lab.Site) bool {
		return f.Kind == traffic.FrameData && (from == l.a && isDirect(f, l.a, l.b) || from == l.b && isDirect(f, l.b, l.a))
	})
	relayed = both(func(f traffic.Frame, from *lab.Site) bool {
		return f.Kind == traffic.FrameRelayed && (from == l.a && isDirect(f, l.a, l.relay) || from == l.b && isDirect(f, l.relay, l.a))
	})
	return direct, relayed
}
