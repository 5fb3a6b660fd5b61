// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

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
	// Mark is the firewall mark that routes are asked for with; 0 is none.
	Mark uint32
}

// A Table keeps the next hops by way of one interface.
type Table struct {
	// set by Open
	ifIndex int
	options Options
	events  *nl.NetlinkSocket
	ask     chan key
	done    chan struct{}
	running sync.WaitGroup
	ttl     *os.File // the default TTL of IPv4, or nil
	// entries is changed under mu, and read without
	entries *store
	// of the goroutine of answer
	kernel *socket
	host   *host

	mu          sync.Mutex // for what follows
	mark        uint32
	changes     uint64     // messages that made all answers wrong
	hostChanged bool       // whether host is to be read again
	asking      netip.Addr // the neighbour that is asked for
	overtaken   bool       // a message about it came since
	closed      bool
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
	t.mark = t.options.Mark
	t.entries = newStore(t.options.Entries)
	var err error
	// Messages first: what changes after a question must be seen.
	t.events, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP)
	if err != nil {
		return nil, fmt.Errorf("nexthop: messages of the kernel: %w", err)
	}
	t.kernel, err = openSocket()
	if err != nil {
		t.events.Close()
		return nil, fmt.Errorf("nexthop: %w", err)
	}
	t.ttl, _ = os.Open(ttlFile) // without /proc: the kernel's default
	t.host, err = readHost(t.kernel, ifIndex, t.ttl)
	if err == nil && t.host.mtu4 == 0 {
		err = unix.ENODEV
	}
	if err != nil {
		t.events.Close()
		t.release()
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
	if e := t.entries.get(&k); e != nil {
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

// SetMark sets the firewall mark (SO_MARK) that routes are asked for with from
// now on; 0 is none. When it changes, all answers are forgotten.
func (t *Table) SetMark(mark uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mark == mark {
		return
	}
	t.mark = mark
	t.changes++
	t.entries.remove(func(*entry) bool { return true })
}

// Len returns how many answers are kept.
func (t *Table) Len() int { return t.entries.len() }

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
	t.entries.remove(func(*entry) bool { return true })
	t.mu.Unlock()
	t.events.Close() // which ends listen
	t.running.Wait()
	t.release()
	return nil
}

// release closes what the goroutine of answer used.
func (t *Table) release() {
	t.kernel.close()
	if t.ttl != nil {
		t.ttl.Close()
	}
}
