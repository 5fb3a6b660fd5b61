// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxChain bounds the aliases that one answer may go through.
	maxChain = 16
	// maxAddrs bounds the addresses taken from one answer.
	maxAddrs = 64
)

// sections are what an answer has to say.
type sections struct {
	answers  int
	aliases  map[string]alias
	addrs    []address
	negative time.Duration // for which there being nothing holds; 0: not known
	extended byte          // upper bits of the response code
}

type alias struct {
	to  string
	ttl time.Duration
}

type address struct {
	owner string
	typ   dnsmessage.Type
	addr  netip.Addr
	ttl   time.Duration
}

func readSections(p *dnsmessage.Parser) (*sections, error) {
	s := &sections{aliases: make(map[string]alias)}
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone { //nolint:errorlint // never wrapped
			break
		}
		if err == nil {
			err = s.answer(p, &h)
		}
		if err != nil {
			return nil, err
		}
		s.answers++
	}
	for {
		h, err := p.AuthorityHeader()
		if err == dnsmessage.ErrSectionDone { //nolint:errorlint // never wrapped
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Type != dnsmessage.TypeSOA {
			if err := p.SkipAuthority(); err != nil {
				return nil, err
			}
			continue
		}
		soa, err := p.SOAResource()
		if err != nil {
			return nil, err
		}
		s.negative = min(seconds(h.TTL), seconds(soa.MinTTL)) // RFC 2308, section 5
	}
	for {
		h, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone { //nolint:errorlint // never wrapped
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Type == dnsmessage.TypeOPT {
			s.extended = byte(h.TTL >> 24) // RFC 6891, section 6.1.3
		}
		if err := p.SkipAdditional(); err != nil {
			return nil, err
		}
	}
}

// answer takes the record behind h.
func (s *sections) answer(p *dnsmessage.Parser, h *dnsmessage.ResourceHeader) error {
	if h.Class != dnsmessage.ClassINET {
		return p.SkipAnswer()
	}
	switch h.Type {
	case dnsmessage.TypeA:
		r, err := p.AResource()
		s.addrs = append(s.addrs, address{fold(h.Name), h.Type, netip.AddrFrom4(r.A), seconds(h.TTL)})
		return err
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		s.addrs = append(s.addrs, address{fold(h.Name), h.Type, netip.AddrFrom16(r.AAAA), seconds(h.TTL)})
		return err
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		s.aliases[fold(h.Name)] = alias{fold(r.CNAME), seconds(h.TTL)}
		return err
	}
	return p.SkipAnswer()
}

// follow returns the addresses at the end of the chain of aliases that begins
// with name, and how long all of that holds.
func (s *sections) follow(name string, typ dnsmessage.Type) ([]netip.Addr, time.Duration) {
	ttl := maxTTL
	for range maxChain {
		var addrs []netip.Addr
		for _, a := range s.addrs {
			// 4in6 in an AAAA record is no address on a network (RFC 4291, 2.5.5.2).
			if a.owner != name || a.typ != typ || a.addr.Is4In6() || len(addrs) == maxAddrs {
				continue
			}
			ttl = min(ttl, a.ttl)
			if !slices.Contains(addrs, a.addr) {
				addrs = append(addrs, a.addr)
			}
		}
		if len(addrs) > 0 {
			return addrs, ttl
		}
		next, ok := s.aliases[name]
		if !ok {
			break
		}
		name, ttl = next.to, min(ttl, next.ttl)
	}
	return nil, 0
}

// seconds returns a TTL as a duration; the upper half of the values counts as 0
// (RFC 2181, section 8).
func seconds(ttl uint32) time.Duration {
	if ttl >= 1<<31 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// fold returns a name in lower case: case does not matter (RFC 4343).
func fold(n dnsmessage.Name) string { return strings.ToLower(n.String()) }
