// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"encoding/binary"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// errorHeaderLen is what precedes the quoted packet in an ICMP error.
const errorHeaderLen = 8

// message judges an ICMP message that is no echo. It makes no flow.
func (f *Filter) message(b *Batch, p *inner.Packet, pkt []byte, t *tuple) (*rule, Reason) {
	if reports(p) {
		if rule := f.quoted(b, pkt[p.Transport:], t); rule != nil {
			return rule, Pass
		}
	}
	return b.rules.match(t)
}

// reports reports whether p is an ICMP error that a flow needs: unreachable, too
// big, time exceeded, parameter problem. Not a redirect, which changes routes, nor
// a source quench, which nobody may heed (RFC 6633).
func reports(p *inner.Packet) bool {
	if !p.IsError() {
		return false
	}
	if p.Protocol == inner.ICMP {
		return p.Type == 3 || p.Type == 11 || p.Type == 12
	}
	return p.Type >= 1 && p.Type <= 4
}

// quoted returns the rule of the flow in which the receiver of an ICMP error sent
// the packet that is quoted in it, or nil. t is that of the error.
func (f *Filter) quoted(b *Batch, icmp []byte, t *tuple) *rule {
	// The quoted packet went from the receiver of the error to its sender.
	q := tuple{from: t.to, to: t.from}
	if len(icmp) < errorHeaderLen || !q.quote(icmp[errorHeaderLen:]) || q.v6 != t.v6 || q.src != t.dst {
		return nil
	}
	key, _ := q.canonical()
	hash := f.flows.seed.hash(&key)
	s := f.flows.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(&key, hash, s.at(b.now))
	if i == 0 || !s.renew(i, b.rules) {
		return nil
	}
	return s.flows[i].rule
}

// quote reads the beginning of a packet as far as its ports or its echo identifier. It
// reports false when they are not there: what is quoted may be cut anywhere.
func (t *tuple) quote(pkt []byte) bool {
	if !t.addresses(pkt) {
		return false
	}
	at := inner.IPv6HeaderLen
	if !t.v6 {
		at = int(pkt[0]&15) * 4
		if at < inner.IPv4HeaderLen || binary.BigEndian.Uint16(pkt[6:])&0x1fff != 0 {
			return false
		}
		t.protocol = pkt[9]
	} else {
		t.protocol = pkt[6]
		// A fragment header is the only one in front of the transport header that
		// routers meet in what they cannot pass on.
		if t.protocol == fragmentHeader {
			if len(pkt) < at+8 || binary.BigEndian.Uint16(pkt[at+2:])&^7 != 0 {
				return false
			}
			t.protocol = pkt[at]
			at += 8
		}
	}
	switch t.protocol {
	case inner.TCP, inner.UDP:
		if len(pkt) < at+4 {
			return false
		}
		t.srcPort, t.dstPort = binary.BigEndian.Uint16(pkt[at:]), binary.BigEndian.Uint16(pkt[at+2:])
	case inner.ICMP, inner.ICMPv6:
		if len(pkt) < at+6 || !isEcho(t.v6, pkt[at]) {
			return false
		}
		t.srcPort = binary.BigEndian.Uint16(pkt[at+4:])
		t.dstPort = t.srcPort
		t.asks = isEchoRequest(t.v6, pkt[at])
	}
	return true
}

// fragmentHeader is the protocol number of the fragment header of IPv6.
const fragmentHeader = 44

// isEcho reports whether the type of ICMP is that of an echo request or answer.
func isEcho(v6 bool, icmpType uint8) bool {
	if v6 {
		return icmpType == 128 || icmpType == 129
	}
	return icmpType == 0 || icmpType == 8
}

func isEchoRequest(v6 bool, icmpType uint8) bool {
	if v6 {
		return icmpType == 128
	}
	return icmpType == 8
}
