// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import "github.com/tunrouter/tunrouter/peers/disco"

// A drop is why a message was not sent, or was not heeded.
type drop uint8

const (
	dropNone drop = iota
	dropTag
	dropAuth
	dropMalformed
	dropPlace
	dropUnexpected
	dropStale
	dropLimited
	dropPongLimit
	dropAddress
	numDrops
)

func (d drop) String() string {
	return [...]string{
		dropNone:       "none",
		dropTag:        "unknown_tag",
		dropAuth:       "not_authentic",
		dropMalformed:  "malformed",
		dropPlace:      "wrong_place", // no path of this peer or relay
		dropUnexpected: "unexpected",  // an answer that was not asked for
		dropStale:      "stale",       // Candidates older than others
		dropLimited:    "limited",
		dropPongLimit:  "pong_limited",
		dropAddress:    "bad_address", // a candidate that cannot be one
	}[d]
}

const numTypes = int(disco.TypeUnknown) + 1

// counters are what [Agent.Stats] reports.
type counters struct {
	sent, received [numTypes]uint64
	dropped        [numDrops]uint64
	switches       uint64
	doubts         uint64
}

// Stats returns the counts.
func (a *Agent) Stats() Stats {
	s := Stats{
		Sent:     make(map[string]uint64),
		Received: make(map[string]uint64),
		Dropped:  make(map[string]uint64),
		Switches: a.stats.switches,
		Doubts:   a.stats.doubts,
	}
	for t := range numTypes {
		switch mt := disco.MessageType(t); {
		case mt >= disco.TypePing && mt <= disco.TypeCandidates:
			s.Sent[mt.String()] = a.stats.sent[t]
			s.Received[mt.String()] = a.stats.received[t]
		case mt == disco.TypeRegister, mt == disco.TypeAllocate, mt == disco.TypeBind, mt == disco.TypeBindAnswer:
			s.Sent[mt.String()] = a.stats.sent[t]
		case mt >= disco.TypeRegister:
			s.Received[mt.String()] = a.stats.received[t]
		}
	}
	for d := dropNone + 1; d < numDrops; d++ {
		s.Dropped[d.String()] = a.stats.dropped[d]
	}
	for _, p := range a.peers {
		if p.router == routerYes {
			s.Routers++
		}
		switch {
		case !p.choice.Primary.IsSet():
		case p.choice.Primary.VNI.IsSet():
			s.Relayed++
		default:
			s.Direct++
		}
		for _, ses := range p.sessions {
			if ses.bound {
				s.Sessions++
			}
		}
	}
	for _, r := range a.relays {
		if r.registered(a.last) {
			s.Relays++
		}
	}
	return s
}
