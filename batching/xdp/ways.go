// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/geneve"
)

// maxWays bounds what a Conn remembers; more evict any.
const maxWays = 4096

// Reasons to leave packets to the kernel's sockets, besides those of package
// nexthop, whose OK stands for none.
const (
	whyInactive  = int(nexthop.Reasons) + iota // no socket, or no port yet
	whyFull                                    // no frame became free
	whyTooLong                                 // for the MTU of the route
	whyLinkLocal                               // of IPv6: the interface is part of the address
	whyDown                                    // the interface, or the socket failed
	whyBulk                                    // the kernel sends them as one message
	whyInvalid                                 // against the contract: the kernel's socket says how
	whys
)

// whyName returns the reason as counters name it.
func whyName(why int) string {
	switch why {
	case whyInactive:
		return "inactive"
	case whyFull:
		return "full"
	case whyTooLong:
		return "too_long"
	case whyLinkLocal:
		return "link_local"
	case whyDown:
		return "down"
	case whyBulk:
		return "bulk"
	case whyInvalid:
		return "invalid"
	}
	return nexthop.Reason(why).String()
}

type wayKey struct {
	remote netip.AddrPort
	local  netip.Addr
}

// A way is how datagrams to one destination become frames. It is right as long as
// the site, the port and the next hop are those that it was made for.
type way struct {
	site     *site
	port     uint16
	hop      nexthop.Hop
	template *frame.Template
	plain    int           // most bytes of payload
	relayed  int           // likewise, with a Geneve header
	id       atomic.Uint32 // of the next IPv4 packet
	bulk     atomic.Int64  // when the last bulk left through the kernel, see bulky
}

// room returns the most bytes of payload of a packet.
func (w *way) room(vni geneve.VNI) int {
	if vni.IsSet() {
		return w.relayed
	}
	return w.plain
}

// way returns how packets to dst leave by l, or why they do not.
func (c *Conn) way(l *lane, dst *batching.Destination) (*way, int) {
	remote, local := dst.Remote(), dst.Local()
	to := remote.Addr()
	if to.Is6() && to.IsLinkLocalUnicast() {
		return nil, whyLinkLocal
	}
	port := uint16(c.under.port.Load())
	if port == 0 {
		return nil, whyInactive
	}
	hop, reason := l.site.routes.Lookup(to, local)
	if reason != nexthop.OK {
		return nil, int(reason)
	}
	key := wayKey{remote, local}
	tx := &c.tx
	tx.mu.Lock()
	defer tx.mu.Unlock()
	w := tx.ways[key]
	if w != nil && w.site == l.site && w.port == port && w.hop == hop {
		return w, int(nexthop.OK)
	}
	w, err := newWay(l.site, port, hop, remote, c.under.seed)
	if err != nil {
		return nil, whyInvalid
	}
	if _, known := tx.ways[key]; !known && len(tx.ways) >= maxWays {
		for victim := range tx.ways { // any: the order of a map is random
			delete(tx.ways, victim)
			break
		}
	}
	tx.ways[key] = w
	return w, int(nexthop.OK)
}

func newWay(s *site, port uint16, hop nexthop.Hop, remote netip.AddrPort, seed maphash.Seed) (*way, error) {
	src := netip.AddrPortFrom(hop.Src, port)
	label := uint32(0)
	if remote.Addr().Is6() {
		label = flowLabel(seed, src, remote)
	}
	t, err := frame.New(&frame.Options{
		Source: hop.Source, Target: hop.Target, Tag: s.tag,
		Src: src, Dst: remote, TTL: hop.TTL, FlowLabel: label,
	})
	if err != nil {
		return nil, err
	}
	vni, err := geneve.MakeVNI(0) // any
	if err != nil {
		return nil, err
	}
	w := &way{
		site: s, port: port, hop: hop, template: t,
		plain: t.MaxPayload(hop.MTU, 0), relayed: t.MaxPayload(hop.MTU, vni),
	}
	w.id.Store(rand.Uint32())
	return w, nil
}

// flowLabel returns a label that is the same for all packets of a flow, as RFC
// 6437 wants it, and is not 0.
func flowLabel(seed maphash.Seed, src, dst netip.AddrPort) uint32 {
	return uint32(maphash.Comparable(seed, [2]netip.AddrPort{src, dst}))&0xfffff | 1
}
