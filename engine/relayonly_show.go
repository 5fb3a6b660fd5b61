// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"slices"

	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/metrics/web"
	"github.com/tunrouter/tunrouter/peers/relay"
	"github.com/tunrouter/tunrouter/uapi"
)

// modeRelay is what the status page calls a relay alone.
const modeRelay = "relay"

// Snapshot returns what the relay has counted.
func (r *relayOnly) Snapshot() *metrics.Snapshot {
	st := r.server.Stats()
	s := &metrics.Snapshot{Device: r.name, ListenPort: r.port(), PublicKey: r.publicKey(), Relay: relayMetrics(&st)}
	relaySocketMetrics(s, &st)
	return s
}

// status describes the relay as a device without peers, with the private key.
func (r *relayOnly) status() (*uapi.Device, error) {
	r.mu.Lock()
	d := &uapi.Device{PrivateKey: uapi.Key(r.cfg.Interface.PrivateKey), ListenPort: r.port(), FwMark: r.cfg.Interface.FwMark}
	r.mu.Unlock()
	st := r.server.Stats()
	line, err := jsonLine(relayKey, relayInfo(&st))
	if err != nil {
		return nil, err
	}
	d.Extra = append(d.Extra, line)
	lines, err := dropLines(r.Snapshot())
	if err != nil {
		return nil, err
	}
	d.Extra = append(d.Extra, lines...)
	return d, nil
}

func relayInfo(s *relay.Stats) *RelayInfo {
	return &RelayInfo{TableStats: s.TableStats, Frames: s.Frames, Bytes: s.Bytes}
}

// port is the same on all sockets.
func (r *relayOnly) port() uint16 {
	for _, addr := range r.server.Addrs() {
		return addr.Port()
	}
	return 0
}

func (r *relayOnly) publicKey() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg.Interface.PrivateKey.Public().String()
}

// statusQuestion returns what /api/v1/status asks; nil if nobody describes devices.
func (r *relayOnly) statusQuestion() func() (any, error) {
	return describing(r.opts.Describe, r.name, r.status)
}

// notReady is about peers that are kept alive, which a relay does not do: it is ready
// when it serves.
func (r *relayOnly) notReady() []web.NotReady { return nil }

func (r *relayOnly) pageData() (*web.PageData, error) {
	s := r.Snapshot()
	out := &web.PageData{
		Interface: r.name, Mode: modeRelay, Version: r.opts.Version, PublicKey: s.PublicKey, Started: r.started,
		RelayServer: pageRelayServer(s), Drops: pageDrops(s),
	}
	for i := range s.Sockets {
		if a := s.Sockets[i].Address; !slices.Contains(out.Listen, a) {
			out.Listen = append(out.Listen, a)
		}
	}
	return out, nil
}

// pageRelayServer returns what the page shows of the relay that a router is; nil if it
// is none.
func pageRelayServer(s *metrics.Snapshot) *web.PageRelayServer {
	r := s.Relay
	if r == nil {
		return nil
	}
	out := &web.PageRelayServer{
		Clients: r.Clients, Registrations: r.Registrations, Sessions: r.Sessions, Bound: r.Bound,
		Packets: r.Packets, Bytes: r.Bytes,
	}
	for i := range s.Sockets {
		if c := &s.Sockets[i]; c.Use == metrics.UseRelay {
			out.RxBytes += c.Receive.Bytes
			out.TxBytes += c.Transmit.Bytes
		}
	}
	for _, c := range r.Ended {
		if c.N > 0 {
			out.Ended = append(out.Ended, web.PageCount{Name: c.Name, N: c.N})
		}
	}
	return out
}
