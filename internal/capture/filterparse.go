// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"strings"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// maxDepth bounds parentheses and negations within each other, and with them the stack.
const maxDepth = 64

// maxWords bounds a filter.
const maxWords = 4096

// ParseFilter reads a filter in the language of tcpdump, as far as it is about IP:
//
//	filter    = term { ("and" | "&&" | "or" | "||") term }
//	term      = ("not" | "!") term | "(" filter ")" | primitive
//	primitive = [protocol] [ends] ("host" ADDRESS | "net" PREFIX | "port" N | "portrange" N-N)
//	          | protocol | "peer" NAME | "inbound" | "outbound"
//	protocol  = "ip" | "ip6" | "tcp" | "udp" | "icmp" | "icmp6"
//	ends      = "src" | "dst" | "src or dst" | "src and dst"
//
// "and" and "or" bind alike, from left to right, "not" binds closer, as they do there. A
// value alone goes with the words before the last one: "tcp port 80 or 443". An address
// is a host also without that word. peer, inbound and outbound are ours; peer returns
// the key of the one that is called so. Names are not looked up, neither of hosts nor of
// ports. The empty filter is nil.
//
// The error is a [*FilterError], or one that wraps what peer returned.
func ParseFilter(text string, peer func(name string) (Key, error)) (*Filter, error) {
	list, err := words(text)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > maxWords {
		return nil, &FilterError{Word: list[maxWords].text, At: list[maxWords].at, Want: "a shorter filter"}
	}
	p := &filterParser{words: list, peer: peer}
	root, err := p.filter()
	if err != nil {
		return nil, err
	}
	if p.at < len(p.words) {
		return nil, p.want(`"and", "or" or the end`)
	}
	return &Filter{text: strings.TrimSpace(text), root: root}, nil
}

// A filterParser reads a filter by recursive descent.
type filterParser struct {
	words []word
	at    int
	depth int
	peer  func(string) (Key, error)
	last  *qualifiers // of the value before, for one that has none
}

// now returns the next word; an empty one at the end.
func (p *filterParser) now() word {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return word{quoted: true}
}

// take goes on if the next word is one of these.
func (p *filterParser) take(texts ...string) bool {
	if p.at < len(p.words) && p.now().is(texts...) {
		p.at++
		return true
	}
	return false
}

// want is the error that the next word is wrong.
func (p *filterParser) want(what string) error {
	w := p.now()
	return &FilterError{Word: w.text, At: w.at, Want: what}
}

func (p *filterParser) filter() (*node, error) {
	n, err := p.term()
	for err == nil {
		join := opAnd
		switch {
		case p.take("and", "&&"):
		case p.take("or", "||"):
			join = opOr
		default:
			return n, nil
		}
		var right *node
		right, err = p.term()
		n = &node{op: join, a: n, b: right}
	}
	return nil, err
}

func (p *filterParser) term() (*node, error) {
	if p.depth >= maxDepth {
		return nil, p.want("fewer parentheses and negations")
	}
	p.depth++
	defer func() { p.depth-- }()
	switch {
	case p.take("not", "!"):
		n, err := p.term()
		return &node{op: opNot, a: n}, err
	case p.take("("):
		n, err := p.filter()
		if err == nil && !p.take(")") {
			err = p.want(`"and", "or" or ")"`)
		}
		return n, err
	case p.take("inbound"):
		return &node{op: opSent}, nil
	case p.take("outbound"):
		return &node{op: opSent, six: true}, nil
	case p.take("peer"):
		return p.peerNamed()
	}
	return p.primitive()
}

// peerNamed reads what is behind "peer".
func (p *filterParser) peerNamed() (*node, error) {
	w := p.now()
	if w.text == "" || w.is("(", ")", "!") {
		return nil, p.want("the name of a peer, or the beginning of its public key")
	}
	key, err := p.peer(w.text)
	if err != nil {
		return nil, &peerError{word: w.text, err: err}
	}
	p.at++
	return &node{op: opPeer, peer: key}, nil
}

// A peerError is a peer that is not known.
type peerError struct {
	word string
	err  error
}

func (e *peerError) Error() string { return `filter: peer "` + e.word + `": ` + e.err.Error() }
func (e *peerError) Unwrap() error { return e.err }

// A protocolWord is a word for a protocol.
type protocolWord struct {
	protocol  uint8 // of the transport header; 0: any
	four, six bool  // of IP
}

func protocolOf(w word) (protocolWord, bool) {
	if w.quoted {
		return protocolWord{}, false
	}
	switch w.text {
	case "ip":
		return protocolWord{four: true}, true
	case "ip6":
		return protocolWord{six: true}, true
	case "tcp":
		return protocolWord{protocol: inner.TCP}, true
	case "udp":
		return protocolWord{protocol: inner.UDP}, true
	case "icmp":
		return protocolWord{protocol: inner.ICMP, four: true}, true
	case "icmp6":
		return protocolWord{protocol: inner.ICMPv6, six: true}, true
	}
	return protocolWord{}, false
}

// node returns the question about the protocol, nil if there is none.
func (w protocolWord) node() *node {
	var n *node
	if w.four || w.six {
		n = &node{op: opFamily, six: w.six}
	}
	if w.protocol != 0 {
		n = allOf(n, &node{op: opProtocol, protocol: w.protocol})
	}
	return n
}

// allOf joins two questions, either of which may be nil.
func allOf(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &node{op: opAnd, a: a, b: b}
}
