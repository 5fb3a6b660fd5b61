// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"cmp"
	"net"
	"net/netip"
	"sync"
)

const (
	// defaultTotal bounds a service whose options name no limit. An idle
	// relay costs two goroutines and two connections, about 20 KiB, so this
	// many cost 320 MiB.
	defaultTotal = 16384
	// defaultPerClient keeps one client from taking it all.
	defaultPerClient = 4096
)

// Limits bound how many connections or flows a service has at a time. The zero
// value means the defaults. Those beyond are refused and counted.
type Limits struct {
	// Total of all clients. 0 means 16384, negative means no limit.
	Total int
	// PerClient is how many of them one client address may have, loopback
	// excepted: behind it is whoever uses this host. 0 means 4096, negative
	// means no limit.
	PerClient int
}

// limits counts what each client has. All methods may be called by any number
// of goroutines.
type limits struct {
	total, perClient int // not positive: no limit

	mu      sync.Mutex // guards below
	active  int
	clients map[netip.Addr]int
	refused uint64
}

// newLimits returns limits with the defaults in the place of zeros.
func newLimits(total, perClient int) *limits {
	return &limits{
		total:     cmp.Or(total, defaultTotal),
		perClient: cmp.Or(perClient, defaultPerClient),
		clients:   make(map[netip.Addr]int),
	}
}

// acquire takes a place for client, or counts a refusal and returns false. Each
// place is given back with release.
func (l *limits) acquire(client netip.Addr) bool {
	client = clientKey(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total > 0 && l.active >= l.total {
		l.refused++
		return false
	}
	if client.IsValid() {
		if l.perClient > 0 && l.clients[client] >= l.perClient {
			l.refused++
			return false
		}
		l.clients[client]++
	}
	l.active++
	return true
}

// release gives a place back that acquire took for the same client.
func (l *limits) release(client netip.Addr) {
	client = clientKey(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	if !client.IsValid() {
		return
	}
	if l.clients[client]--; l.clients[client] <= 0 {
		delete(l.clients, client)
	}
}

// counts returns how many places are taken and how many were refused.
func (l *limits) counts() (active int, refused uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active, l.refused
}

// clientKey returns what a client is counted under, the zero Addr for those
// that count in the total only.
func clientKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() {
		return netip.Addr{}
	}
	return a
}

// hostOf returns the address of a, the zero Addr if it has none.
func hostOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
