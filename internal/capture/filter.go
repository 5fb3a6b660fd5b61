// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"net/netip"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A Filter says which packets are captured. Nil wants all. [ParseFilter] makes one. It
// is never changed, and safe for concurrent use.
type Filter struct {
	text string
	root *node // nil: all
}

// String returns the filter as it was written.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

type op uint8

const (
	opAnd op = iota
	opOr
	opNot
	opFamily   // IPv6 if six, otherwise IPv4
	opProtocol // of the transport header
	opAddr     // in prefix
	opPort     // in [low, high]
	opPeer
	opSent // sent, if six, otherwise received
)

// ends says which end of a packet is asked about.
type ends uint8

const (
	either ends = iota
	source
	destination
	both
)

// of returns what the two answers are together.
func (e ends) of(src, dst bool) bool {
	switch e {
	case source:
		return src
	case destination:
		return dst
	case both:
		return src && dst
	case either:
	}
	return src || dst
}

// A node is one question, or what joins those below it. It is a tree of structs, not of
// functions: what a function value is given lives on the heap.
type node struct {
	op        op
	a, b      *node
	ends      ends
	six       bool
	protocol  uint8
	prefix    netip.Prefix
	low, high uint16
	peer      Key
}

// A view is what can be asked of a packet.
type view struct {
	inner.Packet
	known bool // Packet is: the headers are right
	six   bool // IPv6
	ports bool // there are some
}

// match reports whether the packet is wanted.
func (f *Filter) match(p *Packet) bool {
	if f == nil || f.root == nil {
		return true
	}
	var v view
	if p.Side == Outer {
		v.known, v.ports, v.six, v.Protocol = true, true, p.Remote.Addr().Is6(), inner.UDP
		v.Src, v.SrcPort = p.Remote.Addr().WithZone(""), p.Remote.Port()
		v.Dst, v.DstPort = p.Local.Addr().WithZone(""), p.Local.Port()
		if p.Sent {
			v.Src, v.Dst, v.SrcPort, v.DstPort = v.Dst, v.Src, v.DstPort, v.SrcPort
		}
	} else {
		v.known = v.Parse(p.Data) == inner.OK
		v.six = len(p.Data) > 0 && p.Data[0]>>4 == 6
		v.ports = v.known && v.Transport > 0 && (v.Protocol == inner.TCP || v.Protocol == inner.UDP)
	}
	return f.root.match(p, &v)
}

func (n *node) match(p *Packet, v *view) bool {
	switch n.op {
	case opAnd:
		return n.a.match(p, v) && n.b.match(p, v)
	case opOr:
		return n.a.match(p, v) || n.b.match(p, v)
	case opNot:
		return !n.a.match(p, v)
	case opFamily:
		return n.six == v.six && (v.known || len(p.Data) > 0 && (n.six || p.Data[0]>>4 == 4))
	case opProtocol:
		return v.known && v.Protocol == n.protocol
	case opAddr:
		return v.known && n.ends.of(n.prefix.Contains(v.Src), n.prefix.Contains(v.Dst))
	case opPort:
		in := func(port uint16) bool { return n.low <= port && port <= n.high }
		return v.ports && n.ends.of(in(v.SrcPort), in(v.DstPort))
	case opPeer:
		return p.Known && p.Peer == n.peer
	case opSent:
		return p.Sent == n.six
	}
	return false
}
