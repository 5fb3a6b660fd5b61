// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"cmp"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/uapi"
)

// Snapshot returns what the router has counted, for a [metrics.Registry]; nil when the
// device does not answer any more. It is read peer by peer, so that no lock of the
// packet path or of path discovery is held for all of them, and without secret keys.
func (e *Engine) Snapshot() *metrics.Snapshot {
	d, lanes, err := e.deviceAndParties()
	if err != nil {
		e.log.Warn("metrics are not known", "err", err)
		return nil
	}
	s := e.partsSnapshot(lanes)
	s.Peers = make([]metrics.Peer, len(d.Peers))
	if d.PrivateKey != (uapi.Key{}) {
		s.PublicKey = keyText(publicOf(d.PrivateKey))
	}
	for i := range d.Peers {
		e.peerMetrics(&s.Peers[i], &d.Peers[i])
	}
	return s
}

// partsSnapshot returns all but the peers. lanes are whose the numbers of the hub are.
func (e *Engine) partsSnapshot(lanes map[filter.Party]string) *metrics.Snapshot {
	tally := e.deviceTally()
	st := e.Stats()
	s := &metrics.Snapshot{
		Device:     e.name,
		ListenPort: e.ListenPort(),
		TUN:        tunMetrics(&st.TUN, st.Netstack != nil),
		Hub:        hubMetrics(&st.Hub, lanes),
		Filter:     filterMetrics(&st.Filter),
		Netstack:   netstackMetrics(st.Netstack),
		Relay:      relayMetrics(st.Relay),
		Discovery:  discoveryMetrics(st.Paths),
		Handshakes: e.counted.snapshot(),
		WireGuard:  tally.metrics(&st),
		Link:       e.linkMetrics(),
	}
	networkMetrics(s, &st.Network)
	s.XDP = e.xdpSnapshot()
	relaySocketMetrics(s, st.Relay)
	for i := range st.Services {
		s.Services = append(s.Services, serviceMetrics(&st.Services[i]))
	}
	return s
}

// deviceAndParties returns the state of the device, and whose the numbers of the hub
// are.
func (e *Engine) deviceAndParties() (*uapi.Device, map[filter.Party]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.statusLocked()
	if err != nil {
		return nil, nil, err
	}
	names := make(map[filter.Party]string, len(e.parties))
	for key, n := range e.parties {
		names[n] = keyText(key)
	}
	return d, names, nil
}

func keyText(k peers.Key) string { return base64.StdEncoding.EncodeToString(k[:]) }

func (e *Engine) peerMetrics(to *metrics.Peer, p *uapi.Peer) {
	*to = metrics.Peer{
		PublicKey: keyText(p.PublicKey), Name: NameOf(p), Endpoint: p.Endpoint, AllowedIPs: p.AllowedIPs,
		LastHandshake: p.LastHandshake, RxBytes: p.RxBytes, TxBytes: p.TxBytes,
	}
	if ep := e.bind.Lookup(p.PublicKey); ep != nil {
		st := ep.Stats()
		to.Network = &metrics.PeerNetwork{
			TxPackets: st.TxPackets, RxAuthentic: st.RxAuthentic, TxAgain: st.TxAgain, Roams: st.Roams, SourcesReleased: st.SourcesReleased,
			Dropped: []metrics.Count{
				{Name: "no_address", N: st.DroppedNoAddress},
				{Name: "closed", N: st.DroppedClosed},
				{Name: "refused", N: st.DroppedRefused},
			},
		}
		to.Traffic = trafficMetrics(&st.Paths)
	}
	if s, ok := e.bind.PathStatus(p.PublicKey); ok && s.Router != "no" {
		to.Path = pathMetrics(&s)
	}
}

func pathMetrics(s *path.PeerStatus) *metrics.PeerPath {
	out := &metrics.PeerPath{Latency: s.Latency, Switches: s.Switches}
	at := s.Choice.Primary
	if !at.IsSet() {
		return out
	}
	out.Kind, out.Family = "direct", "ipv6"
	if at.VNI.IsSet() {
		out.Kind = "relay"
	}
	if at.Addr.Addr().Unmap().Is4() {
		out.Family = "ipv4"
	}
	for i := range s.Paths {
		if s.Paths[i].Path == at {
			out.Loss, out.Relay = s.Paths[i].Loss, s.Paths[i].RelayName
		}
	}
	return out
}

func discoveryMetrics(s *path.Stats) *metrics.Discovery {
	if s == nil {
		return nil
	}
	return &metrics.Discovery{
		Sent: countsOf(s.Sent), Received: countsOf(s.Received), Dropped: countsOf(s.Dropped),
		Switches: s.Switches, Doubts: s.Doubts,
		Routers: s.Routers, Direct: s.Direct, Relayed: s.Relayed,
		Relays: s.Relays, Sessions: s.Sessions,
	}
}

// countsOf returns what m counts, by name.
func countsOf(m map[string]uint64) []metrics.Count {
	out := make([]metrics.Count, 0, len(m))
	for name, n := range maps.All(m) {
		out = append(out, metrics.Count{Name: name, N: n})
	}
	slices.SortFunc(out, func(a, b metrics.Count) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// histogramOf translates buckets with these bounds, the last of which has none.
func histogramOf(counts []uint64, bound func(i int) int, sum uint64) metrics.Histogram {
	h := metrics.Histogram{Counts: counts, Sum: sum}
	for i := range len(counts) - 1 {
		h.Bounds = append(h.Bounds, float64(bound(i)))
	}
	return h
}

// powers are the bounds of buckets of 2^i to 2^(i+1)-1.
func powers(i int) int { return 1<<(i+1) - 1 }
