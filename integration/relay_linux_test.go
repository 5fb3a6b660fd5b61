// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// newRelayedLab starts two routers that only reach each other over the relay, and
// waits until they do.
func newRelayedLab(t *testing.T, o pathsOptions) *pathsLab {
	t.Helper()
	o.a, o.b = lab.HardNAT, lab.HardNAT
	l := newPathsLab(t, o)
	l.start(t)
	traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
	for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
		l.waitChosen(t, h, true)
	}
	return l
}

// heals does something to the path under echo requests and waits until they are
// answered steadily again. It logs how long that took.
func heals(t *testing.T, ping *traffic.Pinger, what string, do func()) {
	t.Helper()
	start := time.Now()
	do()
	done := time.Now()
	const steady = 50
	lab.Wait(t, lab.Patience, "answers after "+what, func() error {
		packets := ping.Packets()
		n := 0
		for _, p := range packets {
			switch {
			case p.Sent.Before(done):
			case p.Answers > 0:
				n++
			case time.Since(p.Sent) > time.Second:
				n = 0
			}
		}
		if n < steady {
			return fmt.Errorf("%d in a row: %s", n, packets)
		}
		return nil
	})
	packets, now := ping.Packets(), time.Now()
	t.Logf("%s: %d lost, longest gap %v", what, packets.Lost(start, now), packets.LongestGap(start, now).Round(time.Millisecond))
}

// TestRelayRestart kills the relay under traffic and starts it again: it knows nothing
// of its clients then, and serves them again.
func TestRelayRestart(t *testing.T) {
	router(t)
	t.Parallel()
	l := newRelayedLab(t, pathsOptions{})
	ping := l.ping(t, 10*time.Millisecond)
	lab.Wait(t, lab.Patience, "answers", func() error {
		if p := ping.Packets(); len(p)-p.Lost(time.Time{}, time.Now()) < 20 {
			return errors.New(p.String())
		}
		return nil
	})
	for _, what := range []string{"a kill", "a second kill"} {
		heals(t, ping, what, func() {
			l.relayProcess.Kill()
			l.startRelay(t)
		})
	}
	if n := must(ping.Stop())(t).Duplicated(); n != 0 {
		t.Errorf("%d packets arrived twice", n)
	}
}

// TestRelayLegRebinds lets the NAT of one client of the relay map to another port, and
// then gives it another address: its leg moves. So does a direct path.
func TestRelayLegRebinds(t *testing.T) {
	router(t)
	for _, kind := range []lab.NAT{lab.HardNAT, lab.EasyNAT} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			relayed := kind == lab.HardNAT
			l := newPathsLab(t, pathsOptions{a: kind, b: kind})
			l.start(t)
			traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
			for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
				l.waitChosen(t, h, relayed)
			}
			ping := l.ping(t, 10*time.Millisecond)
			heals(t, ping, "a new port of the one that asks", l.a.Rebind)
			heals(t, ping, "a new port of the one that answers", l.b.Rebind)
			heals(t, ping, "a new address of the one that asks", l.a.Move)
			heals(t, ping, "a new address of the one that answers", l.b.Move)
			for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
				l.waitChosen(t, h, relayed)
			}
			if n := must(ping.Stop())(t).Duplicated(); n != 0 {
				t.Errorf("%d packets arrived twice", n)
			}
		})
	}
}

// TestRelayUnprivileged runs a relay as the user nobody: it has no capabilities, opens
// no interface, forwards, and ends when it is told to.
func TestRelayUnprivileged(t *testing.T) {
	router(t)
	t.Parallel()
	l := newRelayedLab(t, pathsOptions{})
	wantUnprivileged(t, l.relayProcess)
	if links := l.relay.Host.Output("ip", "-br", "link"); strings.Count(links, "\n") != 2 {
		t.Errorf("interfaces of the relay: %s", links)
	}
	wantPings(t, l.a.Host, l.b.Host)
	// A stream of many full packets.
	if r := must(traffic.TCP(l.a.Host, l.b.Host, lab.TunnelB4, 4<<20))(t); r.Received < 8<<20 {
		t.Errorf("TCP carried %d bytes", r.Received)
	}
	if code := l.relayProcess.Stop(); code != 0 && code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d\n%s", code, l.relayProcess.Output())
	}
}

// TestRelayRefusesStrangers lets two routers that are not on the relay's list ask for
// it.
func TestRelayRefusesStrangers(t *testing.T) {
	router(t)
	t.Parallel()
	l := newPathsLab(t, pathsOptions{a: lab.HardNAT, b: lab.HardNAT})
	// Others than those whom the relay was started with.
	was := l.optionsA.PrivateKey.Public()
	l.optionsA.PrivateKey = lab.NewKey()
	l.optionsB.Peers[0].PublicKey = l.optionsA.PrivateKey.Public()
	im := lab.Implementation{Name: lab.RouterName, Path: l.bin, Learns: true, Sections: l.sections()}
	a := lab.StartDevice(l.a.Host, im, l.optionsA)
	lab.StartDevice(l.b.Host, im, l.optionsB)
	asked := l.Passed(l.a, l.relay)
	lab.Wait(t, lab.Patience, "the stranger asks again", func() error {
		if n := l.Passed(l.a, l.relay) - asked; n < 2 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	if n := must(traffic.Ping(l.a.Host, lab.TunnelB4, 20, 56))(t); n != 0 {
		t.Errorf("%d pings answered over a relay that does not know %s, only %s", n, a.PublicKey(), was)
	}
	if n := l.Passed(l.relay, l.a); n != 0 {
		t.Errorf("the relay sent a stranger %d packets", n)
	}
}

// TestFramesAsGeneve has the frames of a relayed session dissected by another program.
func TestFramesAsGeneve(t *testing.T) {
	router(t)
	testutil.NeedTool(t, "tshark")
	t.Parallel()
	l := newPathsLab(t, pathsOptions{a: lab.HardNAT, b: lab.HardNAT})
	tap := l.tap(t, l.relay)
	l.start(t)
	traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
	wantPings(t, l.a.Host, l.b.Host)
	checkDissection(t, l, must(tap.Stop())(t))
}
