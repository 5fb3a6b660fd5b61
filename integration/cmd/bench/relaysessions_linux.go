// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

const (
	// pairRate is how many sessions a second are made: each costs ten answers of the
	// 5,000 a second that a relay gives.
	pairRate = 400
	// pairWorkers is how many are made side by side.
	pairWorkers = 16
	// Of the clients: every leg has a port of its own, and so many share an address.
	firstPort      = 10_000
	portsOfAddress = 5_000
	// sessionSilence is when the relay ends a session whose legs are silent, and
	// collection how long a Go program may take to free what it does not need: it
	// collects every two minutes at least, and then returns the memory.
	sessionSilence = 5 * time.Minute
	collection     = 4 * time.Minute
)

// relayClient makes a client with the private key at an address and port.
func relayClient(s *scope, h *lab.Host, key lab.Key, at netip.Addr, port uint16, relay *lab.RelayServer, relayAt netip.Addr) *traffic.RelayClient {
	c, err := traffic.NewRelayClient(h, key, netip.AddrPortFrom(at, port), relay.Key.Public(), netip.AddrPortFrom(relayAt, lab.RelayPort))
	s.check(err)
	return c
}

// A pairing makes sessions of clients with a relay on the same host. Each client is
// in one session, and has its own key and port; its socket is closed as soon as
// the leg is bound, which a relay does not notice.
type pairing struct {
	host  *lab.Host
	relay *lab.RelayServer
	at    netip.Addr
	keys  []lab.Key // private, of the clients
}

// client returns client i.
func (p *pairing) client(i int) (*traffic.RelayClient, error) {
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i/portsOfAddress)}), uint16(firstPort+i%portsOfAddress))
	return traffic.NewRelayClient(p.host, p.keys[i], at, p.relay.Key.Public(), netip.AddrPortFrom(p.at, lab.RelayPort))
}

// pair makes session i.
func (p *pairing) pair(i int) (traffic.RelaySession, error) {
	a, err := p.client(2 * i)
	if err != nil {
		return traffic.RelaySession{}, err
	}
	defer a.Close()
	b, err := p.client(2*i + 1)
	if err != nil {
		return traffic.RelaySession{}, err
	}
	defer b.Close()
	return traffic.Meet(a, b)
}

// pairAll makes all sessions and returns the last.
func (p *pairing) pairAll() (last traffic.RelaySession, err error) {
	n := len(p.keys) / 2
	var next atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for range pairWorkers {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
				time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / pairRate)))
				s, e := p.pair(i)
				mu.Lock()
				if i == n-1 {
					last = s
				}
				if e != nil {
					err = errors.Join(err, fmt.Errorf("session %d: %w", i, e))
					next.Store(int64(n)) // enough
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return last, err
}

// known reports whether the relay still has the last session.
func (p *pairing) known(last traffic.RelaySession) (bool, error) {
	c, err := p.client(len(p.keys) - 1)
	if err != nil {
		return false, err
	}
	defer c.Close()
	return c.Known(last)
}

// measureRelaySessions measures what sessions take of a relay's memory.
func measureRelaySessions(s *scope, o options, im lab.Implementation) []result {
	h := lab.NewHost(s, "r")
	p := &pairing{host: h, at: lab.A4}
	h.AddAddress("lo", p.at.String()+"/32")
	for i := 0; i*portsOfAddress < 2*o.sessions; i++ {
		h.AddAddress("lo", fmt.Sprintf("192.0.2.%d/32", 10+i))
	}
	var clients []lab.Key
	for range 2 * o.sessions {
		key := lab.NewKey()
		p.keys, clients = append(p.keys, key), append(clients, key.Public())
	}
	empty := lab.StartRelay(lab.NewHost(s, "empty"), im.Path, clients[:2])
	p.relay = lab.StartRelay(h, im.Path, clients)
	relay := []end{{"relay", p.relay.Process}}
	time.Sleep(settle)
	before, cpu := holdings(s, p.relay.Process), usage(s, relay)[0].CPU
	start := time.Now()
	last, err := p.pairAll()
	s.check(err)
	took := time.Since(start)
	cpu = usage(s, relay)[0].CPU - cpu
	if ok, err := p.known(last); err != nil || !ok {
		s.Fatalf("the last session is gone: %v", err)
	}
	bound := holdings(s, p.relay.Process)
	n := float64(o.sessions)
	results := []result{
		{Figure: fmt.Sprintf("memory with %d sessions", o.sessions), Unit: "MiB", Less: true, Main: true, Value: mebi(bound.Memory)},
		{Figure: fmt.Sprintf("memory before, with %d clients on the list", len(clients)), Unit: "MiB", Less: true, Value: mebi(before.Memory)},
		{Figure: "memory with two clients on the list", Unit: "MiB", Less: true, Value: mebi(holdings(s, empty.Process).Memory)},
		{Figure: "memory of each session", Unit: "KiB", Less: true, Value: float64(bound.Memory-before.Memory) / 1024 / n},
		{Figure: "CPU of each session to make", Unit: "µs", Less: true, Value: micros(cpu) / n},
		{Figure: "made", Unit: "sessions/s", Value: n / took.Seconds()},
	}
	if o.quick {
		return append(results, memory(usage(s, relay), relay)...)
	}
	time.Sleep(time.Until(start.Add(took + sessionSilence)))
	lab.Wait(s, lab.Patience, "the end of the sessions", func() error {
		if ok, err := p.known(last); err != nil || ok {
			return fmt.Errorf("the last one is still there: %t, %v", ok, err)
		}
		return nil
	})
	cpu = usage(s, relay)[0].CPU
	time.Sleep(collection)
	cpu = usage(s, relay)[0].CPU - cpu
	results = append(results,
		result{Figure: "memory after their end", Unit: "MiB", Less: true, Main: true, Value: mebi(holdings(s, p.relay.Process).Memory)},
		result{Figure: "CPU while idle", Unit: "ms per s", Less: true, Value: float64(cpu.Milliseconds()) / collection.Seconds()})
	return append(results, memory(usage(s, relay), relay)...)
}
