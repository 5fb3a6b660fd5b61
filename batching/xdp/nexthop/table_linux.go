// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Bounds and defaults.
const (
	defaultEntries = 4096
	defaultRefresh = 10 * time.Second
	questions      = 64              // waiting for the kernel
	askTimeout     = 5 * time.Second // for one answer of the kernel
)

// Options are those of [Open]. Zero values mean the defaults.
type Options struct {
	// Entries is how many answers are kept; 4096.
	Entries int
	// Refresh is how often answers in use are asked for again and neighbours
	// told of their use; 10 s. It is to be shorter than the kernel takes to
	// forget a neighbour, 60 s by default (gc_stale_time).
	Refresh time.Duration
}

type key struct{ dst, src netip.Addr }

// An entry is one answer of the kernel. Only used changes.
type entry struct {
	hop    Hop
	reason Reason
	used   atomic.Bool // since the last refresh
}

// A Table keeps the next hops by way of one interface.
type Table struct {
	ifIndex int
	options Options
	handle  *netlink.Handle
	events  *nl.NetlinkSocket
	ask     chan key
	done    chan struct{}
	running sync.WaitGroup

	// entries is replaced as a whole under mu, and read without.
	entries atomic.Pointer[map[key]*entry]
	mu      sync.Mutex
	changes uint64 // guarded by mu: messages that made answers wrong
	closed  bool   // guarded by mu
}

// Open returns the table for the interface with index ifIndex in the calling
// thread's network namespace.
func Open(ifIndex int, o *Options) (*Table, error) {
	t := &Table{ifIndex: ifIndex, ask: make(chan key, questions), done: make(chan struct{})}
	if o != nil {
		t.options = *o
	}
	if t.options.Entries <= 0 {
		t.options.Entries = defaultEntries
	}
	if t.options.Refresh <= 0 {
		t.options.Refresh = defaultRefresh
	}
	t.entries.Store(&map[key]*entry{})
	var err error
	// Messages first: what changes after a question must be seen.
	t.events, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP)
	if err != nil {
		return nil, fmt.Errorf("nexthop: messages of the kernel: %w", err)
	}
	t.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.events.Close()
		return nil, fmt.Errorf("nexthop: %w", err)
	}
	err = t.handle.SetSocketTimeout(askTimeout)
	if err == nil {
		_, err = t.handle.LinkByIndex(ifIndex)
	}
	if err != nil {
		t.events.Close()
		t.handle.Close()
		return nil, fmt.Errorf("nexthop: interface %d: %w", ifIndex, err)
	}
	t.running.Go(func() { t.listen(t.events) })
	t.running.Go(t.answer)
	return t, nil
}

// Lookup returns the next hop of packets to dst from the address src; the zero
// src lets the kernel choose. Zones are ignored. It does not block or allocate.
func (t *Table) Lookup(dst, src netip.Addr) (Hop, Reason) {
	k := key{dst.Unmap().WithZone(""), src.Unmap().WithZone("")}
	if e := (*t.entries.Load())[k]; e != nil {
		if !e.used.Load() { // so that readers do not share a dirty cache line
			e.used.Store(true)
		}
		return e.hop, e.reason
	}
	if !k.dst.IsValid() || k.dst.IsMulticast() || k.dst.IsUnspecified() || k.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return Hop{}, NotUnicast
	}
	select {
	case <-t.done:
		return Hop{}, Closed
	default:
	}
	select {
	case t.ask <- k:
	default:
	}
	return Hop{}, Pending
}

// Len returns how many answers are kept.
func (t *Table) Len() int { return len(*t.entries.Load()) }

// Close ends the table's goroutines and closes its sockets. Later lookups give
// [Closed].
func (t *Table) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return errors.New("nexthop: table is closed already")
	}
	t.closed = true
	close(t.done)
	t.entries.Store(&map[key]*entry{})
	t.mu.Unlock()
	t.events.Close()
	t.running.Wait()
	t.handle.Close()
	return nil
}
