// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import "sync/atomic"

// Stats is a snapshot of what a service has done since it was made. Counters
// only grow; they are not read at one instant. A service leaves at zero what it
// has nothing of. A flow is a connection, a UDP association or the datagrams
// between two addresses, whichever the service serves.
type Stats struct {
	Accepted uint64 // flows taken, those that failed later included
	Active   int    // flows now
	Refused  uint64 // flows beyond [Limits]

	BytesOut uint64 // payload sent into the tunnel
	BytesIn  uint64 // payload received from the tunnel and handed on

	DatagramsOut uint64 // sent into the tunnel
	DatagramsIn  uint64 // received from the tunnel and handed on

	DialFailures DialFailures
	Resets       uint64 // relays that an error on one side cut off
	Idle         uint64 // flows that ended because nothing moved

	AuthFailures uint64 // wrong or missing passwords
	BadRequests  uint64 // what is not the protocol, or asks for what is not offered
	Timeouts     uint64 // clients that did not finish their request in time
	AcceptErrors uint64 // errors of accept, such as no file descriptor being left
	Denied       uint64 // flows and datagrams that the configuration forbids

	Drops DatagramDrops
}

// DialFailures are connections to a target that did not come about, by reason.
type DialFailures struct {
	Refused     uint64 // by the target
	Timeout     uint64 // no answer in time
	Unreachable uint64 // no way to the host or network
	NotFound    uint64 // no such name, or no resolver to ask
	Other       uint64
}

// Sum returns how many there are.
func (d *DialFailures) Sum() uint64 {
	return d.Refused + d.Timeout + d.Unreachable + d.NotFound + d.Other
}

// DatagramDrops are datagrams that were not handed on, by reason.
type DatagramDrops struct {
	Malformed uint64 // not the protocol
	Fragment  uint64 // fragments of SOCKS5, which are not put together
	Foreign   uint64 // not from the client or target of a flow
	Full      uint64 // no room in a queue, or no flow left
	Send      uint64 // the system or the stack did not take them
	Resolve   uint64 // the name of the target was not found
}

// counters are what Stats is read from. They are written by any goroutine.
type counters struct {
	accepted                    atomic.Uint64
	active                      atomic.Int64
	bytesOut, bytesIn           atomic.Uint64
	datagramsOut, datagramsIn   atomic.Uint64
	dial                        [numDialFailures]atomic.Uint64
	resets, idle                atomic.Uint64
	authFailures, badRequests   atomic.Uint64
	timeouts, acceptErrors      atomic.Uint64
	denied                      atomic.Uint64
	dropMalformed, dropFragment atomic.Uint64
	dropForeign, dropFull       atomic.Uint64
	dropSend, dropResolve       atomic.Uint64
}

// snapshot returns the counters; l, whose refusals are part of them, may be nil.
func (c *counters) snapshot(l *limits) Stats {
	s := Stats{
		Accepted:     c.accepted.Load(),
		Active:       int(c.active.Load()),
		BytesOut:     c.bytesOut.Load(),
		BytesIn:      c.bytesIn.Load(),
		DatagramsOut: c.datagramsOut.Load(),
		DatagramsIn:  c.datagramsIn.Load(),
		DialFailures: DialFailures{
			Refused:     c.dial[dialRefused].Load(),
			Timeout:     c.dial[dialTimeout].Load(),
			Unreachable: c.dial[dialUnreachableHost].Load() + c.dial[dialUnreachableNet].Load(),
			NotFound:    c.dial[dialNotFound].Load(),
			Other:       c.dial[dialOther].Load(),
		},
		Resets:       c.resets.Load(),
		Idle:         c.idle.Load(),
		AuthFailures: c.authFailures.Load(),
		BadRequests:  c.badRequests.Load(),
		Timeouts:     c.timeouts.Load(),
		AcceptErrors: c.acceptErrors.Load(),
		Denied:       c.denied.Load(),
		Drops: DatagramDrops{
			Malformed: c.dropMalformed.Load(),
			Fragment:  c.dropFragment.Load(),
			Foreign:   c.dropForeign.Load(),
			Full:      c.dropFull.Load(),
			Send:      c.dropSend.Load(),
			Resolve:   c.dropResolve.Load(),
		},
	}
	if l != nil {
		_, s.Refused = l.counts()
	}
	return s
}
