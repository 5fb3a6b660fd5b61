// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// unknown is a rate or a share that is not known.
const unknown = -1

// A topSample is what "router top" needs of a status, and, once there was another one
// before it, of the difference.
type topSample struct {
	at    time.Time
	port  uint16
	peers []topPeer
	// Sums over the peers.
	rx, tx         uint64
	rxRate, txRate float64 // bytes per second
	drops          map[topDrop]*topCount
	relay          *topRelay // nil: no relay server
}

// A topPeer is a line of the table.
type topPeer struct {
	key       uapi.Key
	called    string // by people, "" without a name
	address   string // first of its allowed IPs
	path      topPath
	latency   time.Duration // 0: not known
	loss      float64       // of probes, 0 to 1, or unknown
	handshake time.Time     // zero: never
	keepalive bool

	rx, tx         uint64  // bytes
	rxRate, txRate float64 // bytes per second, or unknown
}

// A topPath is where the packets to a peer go.
type topPath struct {
	text    string // "" for nowhere
	relayed bool
	direct  bool // found out, not just the endpoint of a plain peer
	doubted bool // another path is used as well
}

// A topDrop is a place and a reason to drop a packet.
type topDrop struct{ stage, reason string }

// A topCount is a counter and its growth.
type topCount struct {
	total     uint64
	perSecond float64 // or unknown
}

// sampleOf takes what is shown from a status. Its rates are unknown.
func sampleOf(d *uapi.Device, at time.Time) *topSample {
	s := &topSample{at: at, port: d.ListenPort, rxRate: unknown, txRate: unknown, drops: dropsOf(d), relay: topRelayOf(d)}
	for i := range d.Peers {
		p := &d.Peers[i]
		row := topPeer{
			key: p.PublicKey, called: engine.NameOf(p), address: firstAddress(p.AllowedIPs), loss: unknown, handshake: p.LastHandshake,
			keepalive: p.PersistentKeepalive > 0, rx: p.RxBytes, tx: p.TxBytes, rxRate: unknown, txRate: unknown,
		}
		row.addPath(p)
		s.rx += p.RxBytes
		s.tx += p.TxBytes
		s.peers = append(s.peers, row)
	}
	return s
}

// firstAddress is one range of a peer, to recognise it by; "" if it has none.
func firstAddress(ranges []netip.Prefix) string {
	switch {
	case len(ranges) == 0:
		return ""
	case ranges[0].IsSingleIP():
		return ranges[0].Addr().String()
	}
	return ranges[0].String()
}

// addPath finds out where packets to p go.
func (t *topPeer) addPath(p *uapi.Peer) {
	if p.Endpoint.IsValid() {
		t.path.text = "endpoint " + p.Endpoint.String()
	}
	s := engine.PathOf(p)
	if s == nil || !s.Choice.Primary.IsSet() {
		return
	}
	primary := s.Choice.Primary
	t.latency = s.Latency
	for i := range s.Paths {
		if s.Paths[i].Path == primary {
			t.loss = s.Paths[i].Loss
		}
	}
	t.path = topPath{text: shortPath(primary, relayName(s, primary)), doubted: s.Choice.Also.IsSet()}
	t.path.relayed = primary.VNI.IsSet()
	t.path.direct = !t.path.relayed
}

// shortPath is describePath for a column: a relay by its name only.
func shortPath(p path.Path, relay string) string {
	switch {
	case !p.VNI.IsSet():
		return "direct " + p.Addr.String()
	case relay == "":
		return "relay " + p.Addr.String()
	}
	return "relay " + relay
}

// dropsOf collects what a status says of dropped packets.
func dropsOf(d *uapi.Device) map[topDrop]*topCount {
	out := make(map[topDrop]*topCount)
	for _, s := range engine.DropsOf(d) {
		for reason, n := range s.Dropped {
			out[topDrop{s.Stage, reason}] = &topCount{total: n, perSecond: unknown}
		}
	}
	return out
}

// since computes the rates of s from an earlier sample. What is new, or smaller than
// before because the router was started again, has none.
func (s *topSample) since(old *topSample) {
	elapsed := s.at.Sub(old.at).Seconds()
	if elapsed <= 0 {
		return
	}
	rate := func(before, now uint64) float64 {
		if now < before {
			return unknown
		}
		return float64(now-before) / elapsed
	}
	before := make(map[uapi.Key]*topPeer, len(old.peers))
	for i := range old.peers {
		before[old.peers[i].key] = &old.peers[i]
	}
	if s.relay != nil {
		s.relay.since(old.relay, elapsed)
	}
	s.rxRate, s.txRate = 0, 0
	for i := range s.peers {
		p := &s.peers[i]
		was, ok := before[p.key]
		if !ok {
			continue
		}
		p.rxRate, p.txRate = rate(was.rx, p.rx), rate(was.tx, p.tx)
		s.rxRate += max(0, p.rxRate)
		s.txRate += max(0, p.txRate)
	}
	for at, c := range s.drops {
		first := uint64(0)
		if was := old.drops[at]; was != nil {
			first = was.total
		}
		c.perSecond = rate(first, c.total)
	}
}
