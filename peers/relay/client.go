// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// registrationLife is how long a registration lives; clients renew it every 25 s.
const registrationLife = 90 * time.Second

// A place is where a client was heard: its address, and the local address and the
// group of sockets that it sent to, which answers come from. Immutable.
type place struct {
	addr  netip.AddrPort
	dst   *batching.Destination
	group int
}

// A source is what is known of where a datagram came from.
type source struct {
	remote  netip.AddrPort
	local   netip.Addr // the zero Addr when unknown
	ifIndex uint32
	group   int
}

func (s *source) place() *place {
	return &place{addr: s.remote, dst: batching.NewDestination(s.remote, s.local, s.ifIndex), group: s.group}
}

// A client is a router on the relay's list.
type client struct {
	// immutable
	key  disco.Key
	pair *disco.Pair

	bytes byteBucket // atomic

	// guarded by the mutex of the table
	gone     bool   // no longer on the list
	at       *place // where it is registered, or was last
	until    int64  // when the registration ends
	moves    uint32 // how often at has changed its address
	epoch    uint64 // in which it registered last
	sessions map[*client]*session
	limit    answerLimit
}

// registered reports whether c has a registration.
func (c *client) registered(now int64) bool { return c.at != nil && now < c.until }

// register notes that c is at p, and the epoch that it said so in.
func (c *client) register(now int64, p *place, epoch uint64) {
	if c.at == nil || c.at.addr != p.addr {
		c.moves++
	}
	c.at, c.until, c.epoch = p, now+int64(registrationLife), epoch
}

// claim is what a cookie for a registration of c at addr says.
func (c *client) claim(addr netip.AddrPort, moves uint32) *claim {
	return &claim{purpose: forRegister, key: c.key, addr: addr, moves: moves}
}
