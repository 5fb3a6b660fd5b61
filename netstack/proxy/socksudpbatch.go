// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"net/netip"
	"sync"
)

// A socksBatch is the datagrams of a client that came together.
type socksBatch struct {
	to       [maxDatagrams]netip.AddrPort // invalid: dropped, or sent
	data     [maxDatagrams][]byte
	payloads [maxDatagrams][]byte
}

// take forwards datagrams from from, those for one destination together.
func (a *association) take(ctx context.Context, from netip.AddrPort, datagrams [][]byte) {
	if !a.knows(from) {
		a.count.dropForeign.Add(uint64(len(datagrams)))
		return
	}
	b := &a.batch
	for i, p := range datagrams {
		b.to[i], b.data[i] = a.destination(ctx, p)
	}
	to := b.to[:len(datagrams)]
	for i := range to {
		dst := to[i]
		if !dst.IsValid() {
			continue
		}
		payloads := b.payloads[:0]
		for j := i; j < len(to); j++ {
			if to[j] == dst {
				to[j] = netip.AddrPort{}
				payloads = append(payloads, b.data[j])
			}
		}
		a.send(dst, payloads)
	}
}

// destination returns where a datagram of the client goes to and what of it, or
// an invalid address when it was dropped or waits for a name.
func (a *association) destination(ctx context.Context, datagram []byte) (netip.AddrPort, []byte) {
	var d socksDatagram
	switch err := d.parse(datagram); {
	case err != nil:
		a.count.dropMalformed.Add(1)
	case d.fragment != 0:
		a.count.dropFragment.Add(1)
	case d.addr.IsValid():
		return netip.AddrPortFrom(d.addr, d.port), d.data
	default:
		return a.names.find(ctx, &d), d.data
	}
	return netip.AddrPort{}, nil
}

// addressMemorySize is how many addresses an addressMemory keeps at least; it
// keeps twice as many at most, some 100 KiB.
const addressMemorySize = 1024

// An addressMemory is a set of the addresses that were added last. It may be
// used by any number of goroutines.
type addressMemory struct {
	mu         sync.RWMutex // guards below
	young, old map[netip.Addr]struct{}
}

// add puts a among the youngest.
func (m *addressMemory) add(a netip.Addr) {
	m.mu.RLock()
	_, ok := m.young[a]
	m.mu.RUnlock()
	if ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.young == nil || len(m.young) >= addressMemorySize {
		m.old, m.young = m.young, make(map[netip.Addr]struct{})
	}
	m.young[a] = struct{}{}
}

// has reports whether a is among them.
func (m *addressMemory) has(a netip.Addr) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, young := m.young[a]
	_, old := m.old[a]
	return young || old
}
