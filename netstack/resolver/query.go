// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// rounds through all servers, as resolv.conf(5) has it.
	rounds = 2
	// tryTimeout bounds one try, likewise.
	tryTimeout = 5 * time.Second
	// resolutionDelay is how long the second family has once the first one has
	// addresses (RFC 8305, section 3).
	resolutionDelay = 50 * time.Millisecond
)

// query asks the servers in turn until one has an answer for k. Its errors are
// *net.DNSError.
func (s *setup) query(ctx context.Context, k key) (result, error) {
	first := int(s.first.Load())
	var last error
	for range rounds {
		for i := range s.servers {
			i := (first + i) % len(s.servers)
			server := s.servers[i]
			res, err := s.try(ctx, server, k)
			if err == nil {
				if i != first && s.first.CompareAndSwap(uint32(first), uint32(i)) {
					s.log.Info("name server changed", "server", server, "err", last)
				}
				return res, nil
			}
			if cerr := ctx.Err(); cerr != nil {
				return result{}, ended(k.name, server.String(), cerr)
			}
			last = failed(k.name, server, err)
			if errors.Is(err, net.ErrClosed) {
				return result{}, last // the host has ended
			}
		}
	}
	return result{}, last
}

// try asks one server.
func (s *setup) try(ctx context.Context, server netip.AddrPort, k key) (result, error) {
	var qs []*question
	if k.want.v6 {
		qs = append(qs, newQuestion(k.name, dnsmessage.TypeAAAA))
	}
	if k.want.v4 {
		qs = append(qs, newQuestion(k.name, dnsmessage.TypeA))
	}
	if len(qs) == 2 && qs[0].id == qs[1].id {
		qs[1].id++
	}
	err := s.overUDP(ctx, server, qs)
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	if slices.ContainsFunc(qs, func(q *question) bool { return q.state == stateTruncated }) {
		if terr := s.overTCP(ctx, server, qs); terr != nil {
			err = terr
		}
	}
	res, err := conclude(qs, err)
	res.server = server.String()
	return res, err
}

// conclude makes one result of the questions, whose transport has ended with
// err.
func conclude(qs []*question, err error) (result, error) {
	res := result{ttl: maxTTL}
	missing, open := false, false
	for _, q := range qs {
		switch q.state {
		case stateAnswered:
			res.addrs = append(res.addrs, q.addrs...)
			if len(q.addrs) > 0 || q.ttl > 0 { // none in this family, and it is known for how long
				res.ttl = min(res.ttl, q.ttl)
			}
		case stateMissing:
			missing = true
		default:
			open = true
			if q.failed != nil {
				err = q.failed
			}
		}
	}
	switch {
	case len(res.addrs) > 0:
		if open {
			res.ttl = min(res.ttl, incompleteTTL)
		}
		return res, nil
	case missing || !open:
		// There is nothing, for as long as all that say so agree.
		for _, q := range qs {
			if q.state == stateAnswered || q.state == stateMissing {
				res.ttl = min(res.ttl, q.ttl)
			}
		}
		return res, nil
	case err == nil:
		err = errors.New("no answer")
	}
	return result{}, err
}
