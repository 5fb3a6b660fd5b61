// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// qualifiers are the words before a value.
type qualifiers struct {
	protocol protocolWord
	named    string // the word for protocol
	ends     ends
	kind     string // host, net, port, portrange; "" until a value says
}

// What is said when there is something else.
const (
	wantPrimitive = "host, net, port, portrange, src, dst, ip, ip6, tcp, udp, icmp, icmp6, peer, inbound, outbound, not or an address"
	wantKind      = "host, net, port, portrange or an address"
	wantHost      = "an IP address"
	wantNet       = "a network, as 10.0.0.0/8 or fd00::/8"
	wantPort      = "a port number, 0 to 65535"
	wantRange     = "two port numbers, as 8000-8999"
)

// primitive reads one question about protocol, address or port.
func (p *filterParser) primitive() (*node, error) {
	begin := p.at
	q := &qualifiers{}
	if w, ok := protocolOf(p.now()); ok {
		q.protocol, q.named = w, p.now().text
		p.at++
	}
	switch {
	case p.take("src"):
		q.ends = source
		if p.pair("or") {
			q.ends = either
		} else if p.pair("and") {
			q.ends = both
		}
	case p.take("dst"):
		q.ends = destination
	}
	if w := p.now(); p.take("host", "net", "port", "portrange") {
		q.kind = w.text
	}
	switch {
	case q.kind != "":
		p.last = q
		return p.value(q)
	case q.ends != either || p.at > begin+1: // "src or dst" is two words at least
		q.kind = "host"
		p.last = q
		if _, err := netip.ParseAddr(p.now().text); err != nil {
			return nil, p.want(wantKind)
		}
		return p.value(q)
	case q.named != "":
		return q.protocol.node(), nil
	}
	return p.bare()
}

// pair takes the rest of "src or dst", or of "src and dst".
func (p *filterParser) pair(join string) bool {
	if p.at+1 < len(p.words) && p.words[p.at].is(join) && p.words[p.at+1].is("dst") {
		p.at += 2
		return true
	}
	return false
}

// bare reads a value without words: it goes with those of the value before, or is a host.
func (p *filterParser) bare() (*node, error) {
	w := p.now()
	if p.last != nil && w.text != "" && (strings.IndexByte("0123456789", w.text[0]) >= 0 || strings.Contains(w.text, ":")) {
		return p.value(p.last)
	}
	if _, err := netip.ParseAddr(w.text); err != nil {
		return nil, p.want(wantPrimitive)
	}
	q := &qualifiers{kind: "host"}
	p.last = q
	return p.value(q)
}

// value reads the value of q.
func (p *filterParser) value(q *qualifiers) (*node, error) {
	text := p.now().text
	n := &node{ends: q.ends}
	switch q.kind {
	case "host":
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, p.want(wantHost)
		}
		a = a.Unmap().WithZone("")
		n.op, n.prefix = opAddr, netip.PrefixFrom(a, a.BitLen())
	case "net":
		prefix, ok := parseNet(text)
		if !ok {
			return nil, p.want(wantNet)
		}
		if prefix != prefix.Masked() {
			return nil, p.want(prefix.Masked().String() + ", without bits behind the prefix")
		}
		n.op, n.prefix = opAddr, prefix
	case "port", "portrange":
		low, high, isRange := strings.Cut(text, "-")
		a, errA := strconv.ParseUint(low, 10, 16)
		b, errB := a, error(nil)
		if isRange {
			b, errB = strconv.ParseUint(high, 10, 16)
		}
		switch {
		case q.kind == "port" && (isRange || errA != nil):
			return nil, p.want(wantPort)
		case errA != nil || errB != nil || a > b:
			return nil, p.want(wantRange)
		case q.protocol.protocol != 0 && q.protocol.protocol != inner.TCP && q.protocol.protocol != inner.UDP:
			return nil, p.want("no port: " + q.named + " has none")
		}
		n.op, n.low, n.high = opPort, uint16(a), uint16(b)
	}
	if n.op == opAddr && (q.protocol.four && n.prefix.Addr().Is6() || q.protocol.six && n.prefix.Addr().Is4()) {
		return nil, p.want("an address of " + q.named)
	}
	p.at++
	return allOf(q.protocol.node(), n), nil
}

// parseNet reads a prefix, or as many bytes of an IPv4 address as the network has.
func parseNet(text string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix, true
	}
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	parts := strings.Count(text, ".") + 1
	if parts > 3 {
		return netip.Prefix{}, false
	}
	a, err := netip.ParseAddr(text + strings.Repeat(".0", 4-parts))
	return netip.PrefixFrom(a, 8*parts), err == nil && a.Is4()
}
