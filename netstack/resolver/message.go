// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ednsSize is what we announce to take over UDP: what passes everywhere
// unfragmented (DNS Flag Day 2020: 1280 − 40 − 8).
const ednsSize = 1232

// A question is one query and what came of it.
type question struct {
	name  string // absolute, in lower case
	typ   dnsmessage.Type
	id    uint16
	plain bool // without EDNS0: the server does not know it

	state  state
	addrs  []netip.Addr
	ttl    time.Duration
	failed error // with stateFailed
}

// A state is how far a question is.
type state byte

const (
	statePending   state = iota
	stateTruncated       // the answer did not fit
	stateAnswered        // addrs and ttl, perhaps that there are none
	stateMissing         // the name does not exist; ttl
	stateFailed
)

func newQuestion(name string, typ dnsmessage.Type) *question {
	return &question{name: name, typ: typ, id: newID()}
}

func newID() uint16 {
	var b [2]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint16(b[:])
}

// appendQuery appends the query to b.
func (q *question) appendQuery(b []byte) ([]byte, error) {
	name, err := dnsmessage.NewName(q.name)
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: q.typ, Class: dnsmessage.ClassINET}},
	}
	if !q.plain {
		opt := dnsmessage.Resource{Body: &dnsmessage.OPTResource{}}
		if err := opt.Header.SetEDNS0(ednsSize, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		m.Additionals = []dnsmessage.Resource{opt}
	}
	return m.AppendPack(b)
}

// take takes msg if it is the answer to q, and reports whether it is. Anything
// that repeats identifier and question is, be it broken behind them.
func (q *question) take(msg []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response || h.ID != q.id || h.OpCode != 0 {
		return false
	}
	asked, err := p.Question()
	if err != nil || asked.Type != q.typ || asked.Class != dnsmessage.ClassINET || fold(asked.Name) != q.name {
		return false
	}
	if _, err := p.Question(); err != dnsmessage.ErrSectionDone { //nolint:errorlint // never wrapped
		return false
	}
	if h.Truncated {
		q.state = stateTruncated
		return true
	}
	q.judge(&p, &h)
	return true
}

// fail ends q without an answer about the name.
func (q *question) fail(what string) {
	q.state, q.failed = stateFailed, &saidError{what}
}

// judge reads what follows the question.
func (q *question) judge(p *dnsmessage.Parser, h *dnsmessage.Header) {
	if h.RCode == dnsmessage.RCodeFormatError && !q.plain {
		// A server from before EDNS0 (RFC 6891, section 7). Ask again.
		q.plain, q.id = true, newID()
		return
	}
	switch h.RCode {
	case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError:
	case dnsmessage.RCodeServerFailure:
		q.fail("server failure")
		return
	case dnsmessage.RCodeRefused:
		q.fail("query refused")
		return
	default:
		q.fail("server answers " + h.RCode.String())
		return
	}
	s, err := readSections(p)
	switch {
	case err != nil:
		q.fail("answer cannot be read: " + err.Error())
		return
	case s.extended != 0:
		q.fail("server does not know this version of EDNS0")
		return
	case h.RCode == dnsmessage.RCodeNameError:
		q.state, q.ttl = stateMissing, s.negative
		return
	case s.answers == 0 && s.negative == 0 && !h.Authoritative && !h.RecursionAvailable:
		// Not for us: it points to other servers, which a stub does not follow.
		q.fail("server does no recursion")
		return
	}
	q.state = stateAnswered
	if q.addrs, q.ttl = s.follow(q.name, q.typ); len(q.addrs) == 0 {
		q.ttl = s.negative
	}
}
