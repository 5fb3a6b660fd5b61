// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
)

// A liveKey is a key of [Router] that a reload changes while packets flow.
type liveKey struct {
	key    string
	change func(*config.Router)
	check  func(now engine.Stats) error // nil: nothing shows from here
}

// network returns the one socket group of a site on IPv4 loopback.
func network(s engine.Stats) (peers.GroupStats, error) {
	if len(s.Network.Groups) != 1 || len(s.Network.Sockets) != s.Network.Groups[0].Got {
		return peers.GroupStats{}, fmt.Errorf("groups %+v of %d sockets", s.Network.Groups, len(s.Network.Sockets))
	}
	return s.Network.Groups[0], nil
}

// hasSockets wants n open sockets, or 1 where the system cannot share a port.
func hasSockets(n int) func(engine.Stats) error {
	return func(s engine.Stats) error {
		want := peers.GroupStats{Network: "udp4", Asked: n, Got: n}
		if runtime.GOOS != "linux" {
			want.Got = 1
		}
		if got, err := network(s); err != nil || got != want {
			return fmt.Errorf("sockets are %+v, want %+v (%v)", got, want, err)
		}
		return nil
	}
}

// each wants something of every socket.
func each(what string, ok func(*peers.SocketStats) bool) func(engine.Stats) error {
	return func(s engine.Stats) error {
		for i := range s.Network.Sockets {
			if !ok(&s.Network.Sockets[i]) {
				return fmt.Errorf("socket %d: %s", i, what)
			}
		}
		return nil
	}
}

// knocks is how many addresses send to a port, so that the kernel is as good as sure
// to give something to each of its sockets.
const knocks = 32

// knock sends what is no WireGuard message from many addresses to the port of s, and
// wants all of it to be read.
func (s *site) knock() {
	s.t.Helper()
	before := s.Stats().Network.RxDropped["unknown_type"]
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, s.ListenPort()))
	for range knocks {
		c, err := net.DialUDP("udp4", nil, to)
		if err != nil {
			s.t.Fatal(err)
		}
		_, err = c.Write([]byte("knock"))
		if err := errors.Join(err, c.Close()); err != nil {
			s.t.Fatal(err)
		}
	}
	testutil.Eventually(s.t, patience, "every socket is read", func() error {
		if got := s.Stats().Network.RxDropped["unknown_type"] - before; got != knocks {
			return fmt.Errorf("%d of %d datagrams were read", got, knocks)
		}
		return nil
	})
}

// forwards wants that packets between peers are treated so.
func forwards(f hub.Forwarding) func(engine.Stats) error {
	return func(s engine.Stats) error {
		if s.Hub.Forwarding != f {
			return fmt.Errorf("forwarding is %v, want %v", s.Hub.Forwarding, f)
		}
		return nil
	}
}

func liveKeys() []liveKey {
	return []liveKey{
		{"PeerForwarding", func(r *config.Router) { r.PeerForwarding = config.ForwardingOn }, forwards(hub.On)},
		{"PeerForwarding", func(r *config.Router) { r.PeerForwarding = config.ForwardingIsolated }, forwards(hub.Isolated)},
		{"SubnetRouter", func(r *config.Router) { r.SubnetRouter.Any = true }, routesSubnets},
		{"SubnetRouterPerPeer", func(r *config.Router) { r.SubnetRouterPerPeer = 5 }, nil},
		{"Discovery", func(r *config.Router) { r.Discovery = config.SwitchOff }, discovers(false)},
		{"Sockets", func(r *config.Router) { r.Sockets = 4 }, hasSockets(4)},
		{"Sockets", func(r *config.Router) { r.Sockets = 1 }, hasSockets(1)},
		{"Sockets", func(r *config.Router) { r.Sockets = 0 }, hasSockets(min(runtime.NumCPU(), 4))},
		{"GSO", func(r *config.Router) { r.GSO = config.SwitchOff },
			each("gso is on", func(s *peers.SocketStats) bool { return !s.GSO })},
		{"GRO", func(r *config.Router) { r.GRO = config.SwitchOff },
			each("gro is on", func(s *peers.SocketStats) bool { return !s.GRO })},
		{"GSOSegments", func(r *config.Router) { r.GSOSegments = 3 }, nil},
		{"GSOBytes", func(r *config.Router) { r.GSOBytes = 4096 }, nil},
		{"GSOSentinel", func(r *config.Router) { r.GSOSentinel = config.SwitchOn }, nil},
		{"GROSlot", func(r *config.Router) { r.GROSlot = 4096 }, nil},
		{"FlushTimeout", func(r *config.Router) { r.FlushTimeout = 200 * time.Microsecond }, heldBack},
		// The kernel counts its own overhead and has twice what it is told.
		{"ReceiveBuffer", func(r *config.Router) { r.ReceiveBuffer = 128 << 10 },
			each("receive buffer", func(s *peers.SocketStats) bool { return s.Memory == nil || s.Memory.ReceiveBuffer == 256<<10 })},
		{"SendBuffer", func(r *config.Router) { r.SendBuffer = 128 << 10 },
			each("send buffer", func(s *peers.SocketStats) bool { return s.Memory == nil || s.Memory.SendBuffer == 256<<10 })},
		// No packets go past the kernel on lo, which takes nothing away from the sockets.
		{"XDP", func(r *config.Router) { r.XDP = config.XDP{On: true, Interface: "lo"} }, nil},
	}
}

// routesSubnets wants that there is a subnet router.
// discovers wants path discovery to be on or off.
func discovers(on bool) func(engine.Stats) error {
	return func(s engine.Stats) error {
		if (s.Paths != nil) != on {
			return fmt.Errorf("path discovery is on: %t, want %t", !on, on)
		}
		return nil
	}
}

func routesSubnets(s engine.Stats) error {
	for _, svc := range s.Services {
		if svc.Section == "Router" {
			return nil
		}
	}
	return errors.New("there is no subnet router")
}

// heldBack wants that packets went through a queue.
func heldBack(s engine.Stats) error {
	for _, sock := range s.Network.Sockets {
		if sock.Queue.Packets > 0 {
			return nil
		}
	}
	return errors.New("no packet was ever held back")
}

// Every key about the sockets arrives at them.
func TestSocketOptions(t *testing.T) {
	got, sockets := engine.SocketOptions(&config.Router{
		Mode: config.ModeNetstack, Queues: 9, Sockets: 3, GSO: config.SwitchOff, GRO: config.SwitchOff,
		GSOSegments: 16, GSOBytes: 4096, GSOSentinel: config.SwitchOn, GROSlot: 8192,
		FlushTimeout: time.Millisecond, ReceiveBuffer: 5000, SendBuffer: 6000,
	})
	want := batching.Options{
		DisableGSO: true, DisableGRO: true, MaxSegments: 16, MaxBytes: 4096, Sentinel: batching.On, GROSlot: 8192,
		FlushTimeout: time.Millisecond, ReceiveBuffer: 5000, SendBuffer: 6000,
	}
	if got != want || sockets != 3 {
		t.Errorf("%d sockets with %+v, want 3 with %+v", sockets, got, want)
	}
	if got, sockets := engine.SocketOptions(&config.Router{GSO: config.SwitchOn, GRO: config.SwitchOn}); got != (batching.Options{}) || sockets != 0 {
		t.Errorf("%d sockets with %+v, want the defaults", sockets, got)
	}
	if got, _ := engine.SocketOptions(&config.Router{GSOSentinel: config.SwitchOff}); got != (batching.Options{Sentinel: batching.Off}) {
		t.Errorf("options are %+v, want no sentinel", got)
	}
}

// Everything in [Router] is a key that a reload applies, one that it refuses, or
// the log level.
func TestEveryRouterKeyHasAReload(t *testing.T) {
	tested := []string{"LogLevel"}
	for _, k := range append(liveKeys(), fixedKeys()...) {
		tested = append(tested, k.key)
	}
	for f := range reflect.TypeFor[config.RouterChanges]().Fields() {
		if !slices.Contains(tested, f.Name) {
			t.Errorf("no test reloads %s", f.Name)
		}
	}
}

// Each key changes there and back, first on one side and then on the other, while
// datagrams and pings pass: none is lost and no session begins anew.
func TestReloadOfSocketsLosesNothing(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := newSite(t, 1), newSite(t, 2)
	a.cfg.Router.Sockets, b.cfg.Router.Sockets = 2, 2
	b.knows(a)
	b.start()
	a.knows(b)
	a.start()
	to := netip.AddrPortFrom(b.inner, 7)
	b.echoPackets(to)
	flow := a.steady(to)
	flow.more(1)
	ports := [2]uint16{a.ListenPort(), b.ListenPort()}
	shakes := [2]time.Time{a.peerStatus(b.key.Public()).LastHandshake, b.peerStatus(a.key.Public()).LastHandshake}

	pass := func(what string) {
		t.Helper()
		flow.more(200)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := a.Net().Ping(ctx, b.inner); err != nil {
			t.Errorf("%s: ping: %v", what, err)
		}
		a.knock()
		b.knock()
		if got := [2]uint16{a.ListenPort(), b.ListenPort()}; got != ports {
			t.Fatalf("%s: ports are %v, want %v as before", what, got, ports)
		}
		now := [2]time.Time{a.peerStatus(b.key.Public()).LastHandshake, b.peerStatus(a.key.Public()).LastHandshake}
		if now != shakes {
			t.Fatalf("%s: handshakes at %v, want those of %v", what, now, shakes)
		}
	}
	for _, k := range liveKeys() {
		for _, s := range []*site{a, b} {
			cfg := s.clone()
			k.change(&cfg.Router)
			what := fmt.Sprintf("%s of %s", k.key, cfg.Name)
			if names := config.Diff(s.cfg, cfg).Router.Names(); !slices.Equal(names, []string{k.key}) {
				t.Fatalf("%s: changes %v", what, names)
			}
			if err := s.Reload(cfg); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			pass(what)
			if k.check != nil {
				if err := k.check(s.Stats()); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		for _, s := range []*site{a, b} {
			if err := s.Reload(s.cfg); err != nil {
				t.Fatalf("%s of %s back: %v", k.key, s.cfg.Name, err)
			}
			if err := hasSockets(2)(s.Stats()); err != nil {
				t.Errorf("%s of %s back: %v", k.key, s.cfg.Name, err)
			}
		}
		pass(k.key + " back")
	}
	flow.end()
	for _, s := range []*site{a, b} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func fixedKeys() []liveKey {
	return []liveKey{
		{"Mode", func(r *config.Router) { r.Mode = config.ModeTUN }, nil},
		{"Queues", func(r *config.Router) { r.Queues = 3 }, nil},
		{"TxQueueLength", func(r *config.Router) { r.TxQueueLength = 50 }, nil},
		{"ControlSocket", func(r *config.Router) { r.ControlSocket = "/elsewhere.sock" }, nil},
		{"TCPRecovery", func(r *config.Router) { r.TCPRecovery = config.RecoveryRACK }, nil},
		{"TCPCongestion", func(r *config.Router) { r.TCPCongestion = config.CongestionReno }, nil},
	}
}

// A key that cannot change is refused with its name, and what came with it is not
// applied.
func TestReloadOfFixedKeysAppliesNothing(t *testing.T) {
	s := newSite(t, 1)
	s.cfg.Router.Sockets = 2
	s.start()
	before := s.Stats()
	for _, k := range fixedKeys() {
		cfg := s.clone()
		cfg.Router.Sockets, cfg.Router.GRO = 1, config.SwitchOff
		cfg.Peers = []config.Peer{{PublicKey: newKey(t).Public()}}
		k.change(&cfg.Router)
		if err := s.Reload(cfg); err == nil || !strings.Contains(err.Error(), "[Router] "+k.key+" cannot change") {
			t.Errorf("Reload with another %s: %v, want an error that names it and nothing else", k.key, err)
		}
		if err := hasSockets(2)(s.Stats()); err != nil {
			t.Errorf("%s was refused, but: %v", k.key, err)
		}
		if got, want := s.Stats().Network.Sockets[0].GRO, before.Network.Sockets[0].GRO; got != want {
			t.Errorf("%s was refused, but GRO went from %t to %t", k.key, want, got)
		}
		if st, err := s.Status(); err != nil || len(st.Peers) != 0 {
			t.Errorf("%s was refused, but there are peers: %v, %v", k.key, st, err)
		}
	}
}

// A link is a netstack whose link goes up and down as the test says.
type link struct {
	*netstack.Device
	events chan tun.Event
}

func (l *link) Events() <-chan tun.Event { return l.events }

func (l *link) Close() error {
	close(l.events)
	return l.Device.Close()
}

// While the device is down there is nothing to change, and what was reloaded holds
// for what it opens when it comes up. It holds when it goes down and up again, too.
func TestReloadWhileDown(t *testing.T) {
	testutil.LeakCheck(t)
	s := newSite(t, 1)
	s.cfg.Router.Sockets = 2
	dev, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{s.inner}})
	if err != nil {
		t.Fatal(err)
	}
	l := &link{dev, make(chan tun.Event)}
	e, err := engine.New(s.cfg, &engine.Options{Device: l, NoControl: true, ListenOn: []netip.Addr{loopback}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if st := e.Stats(); len(st.Network.Groups) != 0 {
		t.Fatalf("sockets before the link is up: %+v", st.Network.Groups)
	}
	if d, err := e.Status(); err != nil || len(engine.SocketGroups(d)) != 0 {
		t.Errorf("Status while down: %v, %v", d, err)
	}
	reload := func(sockets int) {
		t.Helper()
		cfg := s.clone()
		cfg.Router.Sockets, cfg.Router.GRO = sockets, config.SwitchOff
		if err := e.Reload(cfg); err != nil {
			t.Fatal(err)
		}
	}
	for _, sockets := range []int{3, 3, 1, 4} {
		reload(sockets)
		l.events <- tun.EventUp
		testutil.Eventually(t, patience, "the device is up", func() error {
			if err := hasSockets(sockets)(e.Stats()); err != nil {
				return err
			}
			return each("gro is on", func(s *peers.SocketStats) bool { return !s.GRO })(e.Stats())
		})
		l.events <- tun.EventDown
		testutil.Eventually(t, patience, "the device is down", func() error {
			if p := e.ListenPort(); p != 0 {
				return fmt.Errorf("listening on %d", p)
			}
			return nil
		})
	}
}
