// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// Defaults of [TableOptions] and [Options].
const (
	DefaultMaxSessions          = 10_000
	DefaultMaxSessionsPerClient = 256
)

// TableOptions are what a [Table] is made of.
type TableOptions struct {
	// Identity is the relay's; required.
	Identity *disco.Identity
	// Allowed are the clients, see [Table.SetAllowed].
	Allowed []disco.Key
	// MaxSessions is how many sessions there may be: 0 means
	// DefaultMaxSessions; at most 1,048,576.
	MaxSessions int
	// MaxSessionsPerClient is how many of them one client may be part of: 0 means
	// DefaultMaxSessionsPerClient.
	MaxSessionsPerClient int
	// MaxRate is how many bytes a second one client may have forwarded: UDP
	// payloads, with the Geneve header. 0 means any number.
	MaxRate int
	// Own are the addresses of the relay's sockets, see [Table.SetOwn].
	Own []netip.AddrPort
	// Rand is where secrets come from; nil means crypto/rand.
	Rand io.Reader
}

// A Table is all that a relay knows: its clients, their registrations and their
// sessions. It is pure: no sockets, no goroutines, and time is passed in. All
// methods are safe for concurrent use; Route takes no lock.
type Table struct {
	// immutable
	identity  *disco.Identity
	perClient int
	rate      byteRate
	slots     *slots
	scratch   sync.Pool // of *scratch

	tags    atomic.Pointer[tagTable] // nil: to be made
	drops   dropCounters
	counted messageCounters

	listing sync.Mutex // one SetAllowed at a time; taken before mu

	mu       sync.Mutex // guards the fields below
	start    time.Time  // what lifetimes count from: set once, before the first session
	clients  map[disco.Key]*client
	own      ownAddrs
	cookies  cookies
	limit    answerLimit
	ended    [numEnded]uint64
	sessions uint64 // generation of the last session

	// generation tells this run of the relay from the one before.
	generation uint64
}

// NewTable returns a table without sessions. It panics without an identity, and
// when o.Rand fails.
func NewTable(o *TableOptions) *Table {
	random := o.Rand
	if random == nil {
		random = rand.Reader
	}
	sessions, perClient := o.MaxSessions, o.MaxSessionsPerClient
	if sessions <= 0 {
		sessions = DefaultMaxSessions
	}
	if perClient <= 0 {
		perClient = DefaultMaxSessionsPerClient
	}
	t := &Table{
		identity:  o.Identity,
		perClient: perClient,
		rate:      newByteRate(o.MaxRate),
		cookies:   cookies{rand: random},
		own:       newOwnAddrs(o.Own),
	}
	if t.identity == nil {
		panic("relay: no identity")
	}
	t.scratch.New = func() any { return new(scratch) }
	var b [20]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		panic("relay: random numbers: " + err.Error())
	}
	t.generation = binary.BigEndian.Uint64(b[:]) | 1 // never 0
	t.sessions = binary.BigEndian.Uint64(b[8:])
	t.slots = newSlots(min(sessions, maxSlots), binary.BigEndian.Uint32(b[16:]))
	t.SetAllowed(o.Allowed)
	return t
}

// SetOwn says what addresses the relay's sockets have. Frames from there are
// dropped. The unspecified address stands for all loopback addresses; the
// addresses of interfaces have to be named.
func (t *Table) SetOwn(addrs []netip.AddrPort) {
	own := newOwnAddrs(addrs)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own = own
}

// since returns the time by the table's clock: nanoseconds from the first time
// that the table was told. The mutex is held, or there is a session.
func (t *Table) since(now time.Time) int64 { return int64(now.Sub(t.start)) }

// beginLocked returns the time by the table's clock, with secrets that fit it.
func (t *Table) beginLocked(now time.Time) int64 {
	if t.start.IsZero() {
		t.start = now.Add(-time.Second) // so that 0 is in the past
	}
	at := t.since(now)
	if err := t.cookies.update(at); err != nil { // crypto/rand does not fail
		panic("relay: random numbers: " + err.Error())
	}
	return at
}

// Tick ends what is over. Call it every second.
func (t *Table) Tick(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.beginLocked(now)
	if t.slots.used() == 0 {
		return
	}
	for i := range t.slots.sessions {
		if s := t.slots.sessions[i].Load(); s != nil {
			if why := s.expired(at); why != endedNot {
				t.endLocked(s, why)
			}
		}
	}
}

// A Leg is where a frame goes that [Table.Route] let through.
type Leg struct {
	to      *place
	session *session
	side    int // of the leg that it came from
}

// Addr returns the address; the zero AddrPort of the zero Leg.
func (l Leg) Addr() netip.AddrPort {
	if l.to == nil {
		return netip.AddrPort{}
	}
	return l.to.addr
}

// Route says where a data frame goes that has this VNI and came from this address,
// which must not be IPv4 in its IPv6 form, and notes that the leg is alive. It
// takes no lock and allocates nothing. What is dropped is not counted.
func (t *Table) Route(now time.Time, vni geneve.VNI, from netip.AddrPort) (Leg, Drop) {
	s := t.slots.get(vni)
	if s == nil {
		return Leg{}, DropUnknownVNI
	}
	a, b := s.at[0].Load(), s.at[1].Load()
	side, to := 0, b
	switch {
	case a != nil && a.addr == from:
	case b != nil && b.addr == from:
		side, to = 1, a
	default:
		return Leg{}, DropNotLeg
	}
	if to == nil {
		return Leg{}, DropNotBound
	}
	s.traffic[side].alive(t.since(now))
	return Leg{to, s, side}, DropNone
}
