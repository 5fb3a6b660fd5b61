// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"net/netip"
	"slices"
	"time"
)

// A call is one [Agent.Ping] under way.
type call struct {
	start  moment
	result PingResult
	done   func(PingResult)
	open   int // Pings without an answer
}

// Ping pings the peer once over the path in use and over every candidate, those
// that turn up meanwhile included. done is called once, by the agent, with what
// answered: when all have, or after 5 s. It must not call the agent.
func (a *Agent) Ping(now time.Time, key Key, done func(PingResult)) {
	at := a.advance(now)
	p := a.peers[key]
	if p == nil || p.mute {
		r := PingResult{Peer: key, Router: routerUnknown.String(), Replies: []PingReply{}}
		if p != nil {
			r.Router = p.router.String()
		}
		done(r)
		return
	}
	p.calls = append(p.calls, &call{start: at, result: PingResult{Peer: key, Replies: []PingReply{}}, done: done})
	if p.router != routerNo {
		p.touch(at) // relays are to look for it too
	}
	p.run(at)
}

// runCalls pings what was not pinged yet, and ends the calls that are over.
func (p *peer) runCalls(at moment) {
	if len(p.calls) == 0 {
		return
	}
	for _, c := range p.calls {
		if at-c.start < givenUp/2 { // the answer needs its time as well
			if cur := p.a.net.Traffic(p.key).Current; cur.IsSet() {
				p.callOver(at, c, cur.unmapped())
			}
			for _, cand := range slices.Clone(p.cands) {
				p.callOver(at, c, cand.path)
			}
		}
	}
	p.calls = slices.DeleteFunc(p.calls, func(c *call) bool {
		over := at-c.start >= givenUp || len(c.result.Replies) > 0 && c.open == 0
		if over {
			p.endCall(c)
		}
		return over
	})
}

// callOver pings over one path, once.
func (p *peer) callOver(at moment, c *call, over Path) {
	if slices.ContainsFunc(c.result.Replies, func(r PingReply) bool { return r.Path == over }) {
		return
	}
	r := PingReply{Path: over, Kind: kindHeard.String(), InUse: over == p.a.net.Traffic(p.key).Current.unmapped()}
	if cand := p.candidate(over); cand != nil {
		r.Kind = cand.kind.String()
		if cand.session != nil {
			r.RelayName = cand.session.relay.name
		}
	} else if over.VNI.IsSet() || p.a.isRelay(over.Addr) {
		return // a session that has ended
	}
	if g := p.sendPing(at, over, pingCall, 0); g != nil {
		g.call = c
		c.open++
		c.result.Replies = append(c.result.Replies, r)
	}
}

// answered notes the answer to one of the Pings of c.
func (c *call) answered(g *ping, at moment, observed netip.AddrPort) {
	for i := range c.result.Replies {
		if r := &c.result.Replies[i]; r.Path == g.over && !r.Answered {
			r.Answered, r.Latency = true, at-g.sent
			if !g.over.VNI.IsSet() {
				r.Observed = observed
			}
			c.open--
		}
	}
}

func (p *peer) nextCall() moment {
	due := never
	for _, c := range p.calls {
		due = min(due, c.start+givenUp)
	}
	return due
}

func (p *peer) endCall(c *call) {
	c.result.Router = p.router.String()
	c.done(c.result)
}

func (p *peer) endCalls() {
	for _, c := range p.calls {
		p.endCall(c)
	}
	p.calls = nil
}
