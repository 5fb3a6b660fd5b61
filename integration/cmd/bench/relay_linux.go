// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// Names of the router by the path that its packets take in relaytcp.
const (
	directName  = "direct"  // the relay is there, and not needed
	relayedName = "relayed" // only the relay reaches both ends
)

// relayPacket is the length of the packets of relayfwd and relayraw, with their IP
// and UDP headers, as they enter the tunnel.
const relayPacket = 1400

// relaySegments is how many frames relayraw sends at once: as many as fit a
// superpacket.
const relaySegments = 64

// relayWorks are traffic between two hosts over a relay on a third.
func relayWorks() []work {
	nebula := []string{lab.RouterName, lab.NebulaName, lab.NebulaBuffersName}
	router := []string{lab.RouterName}
	all := []work{{
		name: "relaytcp", title: "TCP, 1 stream, both ways, over a relay", measure: measureRelayTCP,
		wireGuardOnly: true, defaults: []string{relayedName, directName}, baseline: directName,
	}, {
		name: "relayfwd", title: fmt.Sprintf("UDP, packets of %d bytes, 1 flow, over a relay", relayPacket), measure: measureRelayForwarding,
		defaults: nebula, baseline: lab.NebulaName,
	}, {
		name: "relayraw", title: fmt.Sprintf("frames of %d bytes through a relay, in superpackets", traffic.RelayFrame(relayPacket)),
		measure: func(s *scope, o options, im lab.Implementation) []result {
			return measureRelayRaw(s, o, im, relaySegments)
		},
		wireGuardOnly: true, defaults: router,
	}, {
		name: "relayraw1", title: fmt.Sprintf("frames of %d bytes through a relay, each by itself", traffic.RelayFrame(relayPacket)),
		measure:       func(s *scope, o options, im lab.Implementation) []result { return measureRelayRaw(s, o, im, 1) },
		wireGuardOnly: true, defaults: router,
	}, {
		name: "relaysessions", title: "sessions of a relay", measure: measureRelaySessions,
		wireGuardOnly: true, defaults: router,
	}}
	for i := range all {
		all[i].group = groupRelay
		if all[i].baseline == "" {
			all[i].baseline = lab.RouterName
		}
	}
	return all
}

// relayed starts a tunnel over a relay, or past it, and waits until its packets
// take that path.
func relayed(s *scope, im lab.Implementation, direct bool) (*lab.RelayedTunnel, []end) {
	r := lab.StartRelayed(s, lab.RelayedOptions{Program: im, Direct: direct, Quiet: true})
	traffic.WaitPing(s, r.HostA, lab.TunnelB4)
	if direct {
		lab.Wait(s, lab.Patience, "the direct path", func() error {
			before := r.Relayed()
			const pings = 5
			if n, err := traffic.Ping(r.HostA, lab.TunnelB4, pings, 64); err != nil || n != pings {
				return fmt.Errorf("%d of %d pings answered: %v", n, pings, err)
			}
			if n := r.Relayed() - before; n > 0 {
				return fmt.Errorf("%d packets went over the relay", n)
			}
			return nil
		})
	}
	return r, []end{{"relay", r.Relay}, {"end a", r.A}, {"end c", r.C}}
}

// measureRelayTCP measures one way after the other.
func measureRelayTCP(s *scope, o options, im lab.Implementation) []result {
	direct := im.Name == directName
	r, ends := relayed(s, im, direct)
	traffic.Iperf3Server(s, r.HostC, lab.TunnelB4)
	order := newTCPOrder(r.HostA, r.HostC)
	over := r.Relayed()
	idle := processorTime(s)
	var results []result
	var gigabytes float64
	var retransmits int
	var relay, all, took time.Duration
	for _, reverse := range []bool{false, true} {
		before, start := usage(s, ends), time.Now()
		t, err := traffic.Iperf3Streams(r.HostA, lab.TunnelB4, o.duration, 1, reverse)
		s.check(err)
		took += time.Since(start)
		for i, u := range usage(s, ends) {
			cpu := u.CPU - before[i].CPU
			all += cpu
			if i == 0 {
				relay += cpu
			}
		}
		way := "there"
		if reverse {
			way = "back"
		}
		gigabytes += float64(t.Bytes) / 1e9
		retransmits += t.Retransmits
		results = append(results, result{Figure: way, Unit: "Gbit/s", Main: true, Value: t.BitsPerSecond / 1e9, Note: fmt.Sprintf("%d retransmits", t.Retransmits)})
	}
	if gigabytes == 0 {
		s.Fatalf("nothing arrives")
	}
	idle = processorTime(s).since(idle)
	over = r.Relayed() - over
	// A few may take it, when the direct path is in doubt on a busy machine.
	if byRelay := float64(over)*relayPacket > gigabytes*1e9/1000; direct == byRelay {
		s.Fatalf("%d packets went over the relay, of %.3f GB", over, gigabytes)
	}
	results = append(results,
		result{Figure: "CPU of the relay", Unit: "seconds per GB", Less: true, Main: true, Value: relay.Seconds() / gigabytes},
		result{Figure: "CPU of the relay and both ends", Unit: "seconds per GB", Less: true, Main: true, Value: all.Seconds() / gigabytes},
		result{Figure: "share of a core that the relay took", Unit: "%", Less: true, Value: 100 * relay.Seconds() / took.Seconds()},
		result{Figure: "share of a core that the relay and both ends took", Unit: "%", Less: true, Value: 100 * all.Seconds() / took.Seconds()},
		result{Figure: "idle processors", Unit: "%", Value: 100 * float64(idle.idle) / float64(max(idle.total, 1))},
		result{Figure: "retransmits", Unit: "per GB", Less: true, Value: float64(retransmits) / gigabytes},
		order.result())
	return append(results, memory(usage(s, ends)[:1], ends[:1])...)
}

// measureRelayForwarding measures what a relay forwards between two ends that
// encrypt. CPU time and memory are the relay's.
func measureRelayForwarding(s *scope, o options, im lab.Implementation) []result {
	r, ends := relayed(s, im, false)
	const headers = 28
	m, err := traffic.NewRateMeter(r.HostA, r.HostC, lab.TunnelA4, lab.TunnelB4, relayPacket-headers)
	s.check(err)
	defer m.Close()
	return relayRates(s, o, m.Try, ends[:1])
}

// measureRelayRaw measures a relay alone: two sockets send and receive what the
// ends would.
func measureRelayRaw(s *scope, o options, im lab.Implementation, segments int) []result {
	net := lab.ThroughRouter(1500).Build(s)
	keys := []lab.Key{lab.NewKey(), lab.NewKey()}
	relay := lab.StartRelay(net.Host("r"), im.Path, []lab.Key{keys[0].Public(), keys[1].Public()})
	from := relayClient(s, net.Host("a"), keys[0], lab.A4, 0, relay, lab.RouterA4)
	defer from.Close()
	to := relayClient(s, net.Host("c"), keys[1], lab.C4, 0, relay, lab.RouterC4)
	defer to.Close()
	m, err := traffic.NewRelayMeter(from, to, traffic.RelayFrame(relayPacket), segments)
	s.check(err)
	return relayRates(s, o, m.Try, []end{{"relay", relay.Process}})
}

// relayRate is a rate, in packets a second, at which what wakes a relay up counts for
// less than at that of the other works, and which the slowest carries.
const relayRate = 40_000

// relayRates is [measureRates], with how many packets the relay forwards in a
// second of its own CPU time.
func relayRates(s *scope, o options, try func(int, time.Duration) (traffic.Trial, error), relay []end) []result {
	defer quietRuntime()()
	results := rates(s, o, try, o.udpRate, relay)
	best := int(1e3 * results[0].Value)
	for _, rate := range []struct {
		packets int
		name    string
	}{{o.udpRate, fmt.Sprintf("%d packets/s", o.udpRate)}, {relayRate, fmt.Sprintf("%d packets/s", relayRate)}, {best, "the highest rate"}} {
		if rate.packets > best {
			continue
		}
		before := usage(s, relay)[0].CPU
		t, err := try(rate.packets, o.duration)
		s.check(err)
		cpu := usage(s, relay)[0].CPU - before
		note := ""
		if t.Loss() >= maxLoss && rate.packets < best {
			note = tooFast
		}
		results = append(results,
			result{
				Figure: "packets in a second of the relay's CPU time at " + rate.name, Unit: "thousand", Main: true,
				Value: float64(t.Received) / cpu.Seconds() / 1e3, Note: note,
			},
			result{
				Figure: "share of a core that the relay took at " + rate.name, Unit: "%", Less: true,
				Value: 100 * cpu.Seconds() / t.Took.Seconds(), Note: note,
			})
	}
	return append(results, memory(usage(s, relay), relay)...)
}
