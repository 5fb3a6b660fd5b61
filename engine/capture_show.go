// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/capture"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
)

// captures are the captures that run.
//
// Lock order: the mutex of the Engine, mu.
type captures struct {
	mu      sync.Mutex // guards the fields below
	closed  bool
	running []runningCapture

	known atomic.Pointer[knownPeers] // as of the last change; nil before the first capture
}

type runningCapture struct {
	tap *capture.Tap
	end context.CancelFunc
}

// knownPeers is what the packet path asks about peers while there are captures. It is
// never changed, only replaced.
type knownPeers struct {
	owners *bart.Table[peers.Key] // of AllowedIPs
	names  map[peers.Key]string
}

// close ends all captures.
func (c *captures) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, r := range c.running {
		r.end()
	}
}

// changed is called after peers have changed, with the mutex of the Engine held.
func (c *captures) changed(e *Engine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.running) > 0 {
		c.learn(e)
	}
}

// learn remembers the peers of e. Both mutexes are held.
func (c *captures) learn(e *Engine) {
	k := &knownPeers{owners: new(bart.Table[peers.Key]), names: maps.Clone(e.names)}
	for p, key := range e.allowed.owner {
		k.owners.Insert(p, key)
	}
	c.known.Store(k)
}

// nameOf returns what a peer is called in comments: "name (key)" or the beginning of its
// key, which is what tools call a peer that has no name.
func (c *captures) nameOf(key peers.Key) string {
	short := config.Key(key).String()[:8]
	if name := c.known.Load().names[key]; name != "" {
		return name + " (" + short + ")"
	}
	return short
}

// showing shows packets to captures. It is what hub and Bind have, and immutable.
type showing struct {
	c            *captures
	inner, outer []*capture.Tap
}

var (
	_ hub.Tap   = (*showing)(nil)
	_ peers.Tap = (*showing)(nil)
)

// FromPeers implements [hub.Tap].
func (s *showing) FromPeers(bufs [][]byte, offset int) {
	x := s.packets(false)
	for _, b := range bufs {
		if len(b) > offset {
			x.show(s, b[offset:])
		}
	}
}

// ToPeers implements [hub.Tap].
func (s *showing) ToPeers(slab []byte, packets []tun.ReadPacket) {
	x := s.packets(true)
	for _, r := range packets {
		x.show(s, slab[r.Offset:r.Offset+r.Size])
	}
}

// A shown is the packets of one batch as they are shown.
type shown struct {
	p     capture.Packet
	known *knownPeers
	last  netip.Addr // that p.Peer is of
}

func (s *showing) packets(sent bool) shown {
	return shown{p: capture.Packet{At: time.Now(), Side: capture.Inner, Sent: sent}, known: s.c.known.Load()}
}

// show shows one packet. Its peer is that of the source or the destination, as
// wireguard-go looks it up.
func (x *shown) show(s *showing, pkt []byte) {
	addr := endOf(pkt, x.p.Sent)
	if addr != x.last || !addr.IsValid() {
		x.p.Peer, x.p.Known = peers.Key{}, false
		if addr.IsValid() {
			x.p.Peer, x.p.Known = x.known.owners.Lookup(addr)
		}
		x.last = addr
	}
	x.p.Data = pkt
	for _, t := range s.inner {
		t.Packet(&x.p)
	}
}

// endOf returns the destination or the source of a packet, the zero Addr if it is none.
func endOf(pkt []byte, destination bool) netip.Addr {
	at := 0
	switch {
	case len(pkt) >= 20 && pkt[0]>>4 == 4:
		if destination {
			at = 4
		}
		return netip.AddrFrom4([4]byte(pkt[12+at:]))
	case len(pkt) >= 40 && pkt[0]>>4 == 6:
		if destination {
			at = 16
		}
		return netip.AddrFrom16([16]byte(pkt[8+at:]))
	}
	return netip.Addr{}
}

// Datagram implements [peers.Tap].
func (s *showing) Datagram(d peers.Datagram) {
	p := capture.Packet{At: d.At, Side: capture.Outer, Sent: d.Sent, Peer: d.Peer, Known: d.Known, Local: d.Local, Remote: d.Remote, Data: d.Data}
	var header [geneve.HeaderLen]byte
	if d.VNI.IsSet() {
		h := geneve.Header{VNI: d.VNI, Protocol: geneve.ProtocolWireGuard}
		n, _ := h.Put(header[:]) // neither too short nor without a VNI
		p.Head = header[:n]
	}
	for _, t := range s.outer {
		t.Packet(&p)
	}
}
