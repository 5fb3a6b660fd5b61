// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// LookupNetIP returns the addresses of host, at least one, in the order in
// which to try them: the families take turns, beginning with the preferred one.
// Families that the host has no address of are left out. The slice is the
// caller's.
//
// Errors are *net.DNSError: IsNotFound if there is no such name or it has no
// address, IsTimeout if no server answered or the deadline of ctx passed, and
// otherwise what the servers said. errors.Is finds the error of ctx in them.
func (r *Resolver) LookupNetIP(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	s := r.setup.Load()
	name, err := absolute(host)
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: host, IsNotFound: true}
	}
	var want families
	if want.v4, want.v6 = s.families(); !want.v4 && !want.v6 {
		return nil, &net.DNSError{Err: "the device has no address to ask from", Name: host}
	}
	switch special(name) {
	case isLocal:
		return s.prefer.order(loopback(want)), nil
	case isNothing:
		return nil, notFound(host, "")
	}
	if err := ctx.Err(); err != nil {
		return nil, ended(host, "", err)
	}
	if len(s.servers) == 0 {
		return nil, &net.DNSError{Err: "no name server is configured: set DNS in [Interface]", Name: host}
	}

	// A name that could not be asked for may exist: that is worse to hide than
	// that it does not exist elsewhere.
	var unknown, last error
	for _, c := range candidates(host, name, s.search) {
		res, err := s.resolve(ctx, key{c, want})
		if err == nil && len(res.addrs) > 0 {
			return s.prefer.order(res.addrs), nil
		}
		if err == nil {
			last = notFound(host, res.server)
			continue
		}
		// Otherwise no server can be reached, and it is not for the name.
		var said *saidError
		if !errors.As(err, &said) {
			return nil, named(err, host)
		}
		if unknown == nil {
			unknown = named(err, host)
		}
	}
	if unknown != nil {
		return nil, unknown
	}
	return nil, last
}

// resolve returns the answer for one absolute name from the cache or a server.
func (s *setup) resolve(ctx context.Context, k key) (result, error) {
	if res, ok := s.cache.get(k); ok {
		return res, nil
	}
	return s.flights.do(ctx, k, func(ctx context.Context) (result, error) {
		res, err := s.query(ctx, k)
		if err == nil {
			s.cache.put(k, res)
		}
		return res, err
	})
}

// loopback returns the addresses of the host itself.
func loopback(want families) []netip.Addr {
	var out []netip.Addr
	if want.v4 {
		out = append(out, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	if want.v6 {
		out = append(out, netip.IPv6Loopback())
	}
	return out
}
