// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// lookupPause is how long a name that was not found is not asked for again: each
// datagram may be a reason to ask.
const lookupPause = time.Second

// lookupFunc finds the addresses of a name, the preferred one first.
type lookupFunc func(ctx context.Context, host string) ([]netip.Addr, error)

// parseTarget splits host:port.
func parseTarget(target string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(target)
	if err != nil {
		return "", 0, fmt.Errorf("target: %w", err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("target %s: not a port", target)
	}
	if host == "" {
		return "", 0, fmt.Errorf("target %s: no host", target)
	}
	return host, uint16(n), nil
}

// A nameLookup finds the address of one name for many who want it at a time.
type nameLookup struct {
	// Immutable.
	host    string
	literal netip.Addr // valid: host is an address
	lookup  lookupFunc
	usable  func(netip.Addr) bool

	mu      sync.Mutex // guards below
	waiting []func(netip.Addr, error)
	asking  bool
	failed  time.Time // when the last answer was none
	err     error
}

func newNameLookup(host string, lookup lookupFunc, usable func(netip.Addr) bool) *nameLookup {
	l := &nameLookup{host: host, lookup: lookup, usable: usable}
	if a, err := netip.ParseAddr(host); err == nil {
		l.literal = a.Unmap().WithZone("")
	}
	return l
}

// find calls then with the address, before it returns if that is known without
// asking, else in a goroutine of start. One question serves all who wait for it;
// those who come later ask anew.
func (l *nameLookup) find(ctx context.Context, start func(func()), then func(netip.Addr, error)) {
	if l.literal.IsValid() {
		then(l.literal, nil)
		return
	}
	l.mu.Lock()
	if l.err != nil && time.Since(l.failed) < lookupPause {
		err := l.err
		l.mu.Unlock()
		then(netip.Addr{}, err)
		return
	}
	l.waiting = append(l.waiting, then)
	first := !l.asking
	l.asking = true
	l.mu.Unlock()
	if first {
		start(func() { l.ask(ctx) })
	}
}

func (l *nameLookup) ask(ctx context.Context) {
	addr, err := lookupOne(ctx, l.lookup, l.host, l.usable)
	l.mu.Lock()
	waiting := l.waiting
	l.waiting, l.asking, l.err = nil, false, err
	if err != nil {
		l.failed = time.Now()
	}
	l.mu.Unlock()
	for _, then := range waiting {
		then(addr, err)
	}
}

// lookupOne returns the first address of host that is usable.
func lookupOne(ctx context.Context, lookup lookupFunc, host string, usable func(netip.Addr) bool) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	addrs, err := lookup(ctx, host)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if a = a.Unmap().WithZone(""); usable(a) {
			return a, nil
		}
	}
	return netip.Addr{}, &net.DNSError{Err: "no suitable address", Name: host, IsNotFound: true}
}
