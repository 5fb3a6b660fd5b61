// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// tries is how often a question is put again because something changed before
// its answer could be kept. After that the next packet asks.
const tries = 4

// renew asks for k and keeps the answer. One that was just asked for counts as
// used. It returns the answer; nil when there is none that lasts. Only the
// goroutine of answer calls it.
func (t *Table) renew(k key, used bool) *entry {
	for range tries {
		asked, mark, ok := t.begin()
		if !ok {
			return nil
		}
		e := t.resolve(k, mark)
		if e == nil {
			return nil
		}
		e.key = k
		e.used.Store(used)
		if t.keep(e, asked) {
			return e
		}
	}
	return nil
}

// begin starts a question: it sees to it that t.host is right, and returns how
// many changes there were, and the mark. ok is false when the kernel does not
// answer.
func (t *Table) begin() (changes uint64, mark uint32, ok bool) {
	t.mu.Lock()
	changes, mark = t.changes, t.mark
	renew := t.hostChanged
	t.hostChanged, t.asking, t.overtaken = false, netip.Addr{}, false
	t.mu.Unlock()
	if !renew {
		return changes, mark, true
	}
	h, err := readHost(t.kernel, t.ifIndex, t.ttl)
	if err != nil {
		t.mu.Lock()
		t.hostChanged = true
		t.mu.Unlock()
		return 0, 0, false
	}
	t.host = h
	return changes, mark, true
}

// keep stores the answer e, unless something changed since the question. It
// returns false when it is to be asked again.
func (t *Table) keep(e *entry, asked uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return true
	}
	if t.changes != asked || t.overtaken {
		return false
	}
	t.entries.put(e)
	return true
}

// resolve asks the kernel for the next hop; nil means that it did not answer.
func (t *Table) resolve(k key, mark uint32) *entry {
	h := t.host
	if !h.plain {
		return &entry{reason: NotPlain}
	}
	if k.src.IsValid() && k.src.Is4() != k.dst.Is4() {
		return &entry{reason: NoSource}
	}
	r, err := t.route(k, mark)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS):
		return nil
	case err != nil && k.src.IsValid() && !h.has(k.src, t.ifIndex):
		return &entry{reason: NoSource} // no errno of its own: that of no route
	case err != nil:
		return &entry{reason: Unreachable}
	case r.typ == unix.RTN_BROADCAST || r.typ == unix.RTN_MULTICAST:
		return &entry{reason: NotUnicast}
	case r.ifIndex != t.ifIndex || r.typ == unix.RTN_LOCAL || r.typ == unix.RTN_ANYCAST:
		return &entry{reason: OtherInterface}
	case r.typ != unix.RTN_UNICAST:
		return &entry{reason: Unreachable}
	case r.special:
		return &entry{reason: NotPlain}
	}
	hop := Hop{Source: h.mac, Gateway: k.dst, Src: k.src, MTU: h.mtu4, TTL: h.ttl4}
	if k.dst.Is6() {
		hop.MTU, hop.TTL = h.mtu6, h.ttl6
	}
	if r.mtu > 0 {
		hop.MTU = min(hop.MTU, r.mtu)
	}
	if r.hopLimit > 0 {
		hop.TTL = r.hopLimit
	}
	if r.gateway.IsValid() {
		hop.Gateway = r.gateway
	}
	if !hop.Src.IsValid() {
		hop.Src = r.src
	}
	// The kernel's lookup checks the source for IPv4 (net/ipv4/route.c,
	// ip_route_output_key_hash_rcu), but not for IPv6.
	if !hop.Src.IsValid() || hop.Src.Is4() != k.dst.Is4() || hop.Src.Is6() && !h.has(hop.Src, t.ifIndex) {
		return &entry{reason: NoSource}
	}
	return t.neighbour(hop)
}

// route asks for the route of UDP packets.
func (t *Table) route(k key, mark uint32) (route, error) {
	s, bits := t.kernel, uint8(k.dst.BitLen())
	s.begin(unix.RTM_GETROUTE, 0)
	srcBits := uint8(0)
	if k.src.IsValid() {
		srcBits = bits
	}
	s.out = append(s.out, familyOf(k.dst), bits, srcBits, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	s.out = appendAttrAddr(s.out, unix.RTA_DST, k.dst)
	if srcBits != 0 {
		s.out = appendAttrAddr(s.out, unix.RTA_SRC, k.src)
	}
	if k.dst.IsLinkLocalUnicast() && k.dst.Is6() {
		s.out = appendAttr32(s.out, unix.RTA_OIF, uint32(t.ifIndex))
	}
	if mark != 0 {
		s.out = appendAttr32(s.out, unix.RTA_MARK, mark)
	}
	s.out = appendAttr(s.out, unix.RTA_IP_PROTO, []byte{unix.IPPROTO_UDP})
	b, err := s.ask()
	if err != nil {
		return route{}, err
	}
	r, ok := parseRoute(b)
	if !ok {
		return route{}, unix.EBADMSG
	}
	return r, nil
}

// neighbour fills in the target of hop. From here on messages about the gateway
// overtake the answer.
func (t *Table) neighbour(hop Hop) *entry {
	t.mu.Lock()
	t.asking = hop.Gateway
	t.mu.Unlock()
	s := t.kernel
	s.begin(unix.RTM_GETNEIGH, 0)
	t.appendNeighbour(hop.Gateway, 0)
	b, err := s.ask()
	if err == nil {
		if n := parseNeighbour(b); n.usable && n.ip == hop.Gateway && n.ifIndex == t.ifIndex {
			hop.Target = n.mac
			return &entry{hop: hop, reason: OK, fixed: n.fixed}
		}
	}
	// The gateway stays, for the message that tells of it.
	return &entry{hop: Hop{Gateway: hop.Gateway}, reason: Unresolved}
}

// appendNeighbour appends the body of a message about the neighbour ip.
func (t *Table) appendNeighbour(ip netip.Addr, flags uint8) {
	s := t.kernel
	s.out = append(s.out, familyOf(ip), 0, 0, 0)
	s.out = native.AppendUint32(s.out, uint32(t.ifIndex))
	s.out = append(s.out, 0, 0, flags, 0)
	s.out = appendAttrAddr(s.out, unix.NDA_DST, ip)
}
