// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// givenUp is how long after a Ping its answer counts.
	givenUp = 5 * time.Second
	// maxPings is how many Pings to one peer may be under way: 32 candidates, once
	// a second, and some to spare.
	maxPings = 256
	// heartbeat is between Pings over the path in use, and over all others as long
	// as there is no direct one.
	heartbeat = 3 * time.Second
	// allWhileDirect is between Pings over the others otherwise; spareInterval is
	// that for relayed ones, which keeps the mapping of a NAT.
	allWhileDirect = 30 * time.Second
	spareInterval  = 20 * time.Second
	burstInterval  = time.Second
	// backInterval is between Pings that answer the Pings from one address.
	backInterval = 500 * time.Millisecond
)

// A pingKind is what a Ping is for.
type pingKind uint8

const (
	pingPlain pingKind = iota // latency, loss, trial
	pingWide                  // as long as the largest message
	pingProbe                 // of another length
	pingCall                  // for [Agent.Ping]
)

// A ping is one that is under way.
type ping struct {
	tx   disco.TxID
	over Path
	sent moment
	kind pingKind
	seq  uint32 // candidate.seq, of a plain one
	size int    // of the frame
	call *call
}

// sendPing sends a Ping in a frame of size bytes, 0 for the shortest.
func (p *peer) sendPing(at moment, over Path, k pingKind, size int) *ping {
	c := p.candidate(over)
	if c != nil {
		c.lastPing = at // also if it is not sent: the next one is due later
	}
	if len(p.pings) >= maxPings {
		p.a.stats.dropped[dropLimited]++
		return nil
	}
	size = max(size, disco.MinFrame)
	g := ping{tx: p.a.txID(), over: over, sent: at, kind: k, size: size}
	if c != nil && k == pingPlain {
		c.seq++
		g.seq = c.seq
		c.width.shortSent++
	}
	p.pings = append(p.pings, g)
	m := disco.Ping{TxID: g.tx, Pad: size}
	p.a.body = m.AppendBody(p.a.body[:0])
	p.a.send(disco.TypePing, &p.contact, over, false)
	return &p.pings[len(p.pings)-1]
}

func (p *peer) pingCandidate(at moment, c *candidate) { p.sendPing(at, c.path, pingPlain, 0) }

// interval returns how long after the last Ping over c the next one is due;
// never when it is not.
func (p *peer) interval(at moment, c *candidate) moment {
	if !p.pingable(c) {
		return never
	}
	inBurst := at < c.burstUntil
	if !p.isActive(at) {
		if inBurst {
			return burstInterval
		}
		return never
	}
	direct := p.primary != nil && !p.primary.path.VNI.IsSet()
	switch {
	case c == p.primary:
		// An answer is missing: there is time for a dozen before trust ends.
		if c.trustedUntil-at < heartbeat || p.doubt.on || p.silence().suspicious(at) {
			return askAfter
		}
		return heartbeat
	case p.doubt.on && c.path == p.choice.Also && !c.trusted(at):
		return askAfter
	case p.doubt.on && c.lastAnswer != 0, p.onTrial(at, c):
		return trialPause
	case p.primary != nil && p.primary.trustedUntil-at < heartbeat/2 && !c.trusted(at):
		return trialPause // it will be needed soon
	case inBurst:
		return burstInterval
	case !direct:
		return heartbeat
	case c.session != nil:
		return spareInterval
	}
	return allWhileDirect
}

// pingAt returns when the next Ping over c is due.
func (p *peer) pingAt(at moment, c *candidate) moment {
	i := p.interval(at, c)
	if i == never {
		return never
	}
	due := c.lastPing + i
	if c == p.primary {
		// The pace changes when an answer is missing, or silence begins.
		due = min(due, max(c.trustedUntil-heartbeat, c.lastPing+askAfter))
	}
	return due
}

// pingDue sends the Pings that are due.
func (p *peer) pingDue(at moment) {
	for i := 0; i < len(p.cands); i++ {
		c := p.cands[i]
		if n := p.interval(at, c); n != never && at-c.lastPing >= n {
			p.pingCandidate(at, c)
		}
	}
}

// oldestUnanswered returns when the oldest Ping over c was sent that is under way
// and was sent since the last answer; 0: none is.
func (p *peer) oldestUnanswered(c *candidate) moment {
	for i := range p.pings {
		g := &p.pings[i]
		if g.over == c.path && g.kind == pingPlain && g.seq > c.answered {
			return g.sent
		}
	}
	return 0
}

// expirePings gives up what was not answered.
func (p *peer) expirePings(at moment) {
	n := 0
	for n < len(p.pings) && at-p.pings[n].sent >= givenUp {
		g := &p.pings[n]
		if g.kind == pingPlain {
			if c := p.candidate(g.over); c != nil {
				c.count(true)
			}
		}
		n++
	}
	if n > 0 {
		p.pings = append(p.pings[:0], p.pings[n:]...)
	}
}

// receivedPing answers a Ping, and asks back when the address is not known to
// work.
func (p *peer) receivedPing(at moment, from Path, c *candidate, body []byte) drop {
	var m disco.Ping
	if m.Decode(body) != nil {
		return dropMalformed
	}
	kind := 1
	if c != nil && c.trusted(at) {
		kind = 0
	}
	if !p.pongs[kind].take(at, pongInterval, pongBurst) {
		return dropPongLimit
	}
	isNew := false
	if c == nil && !from.VNI.IsSet() {
		c = p.addCandidate(at, from, kindObserved)
		isNew = c != nil
		if isNew {
			c.heard = at
		}
	}
	if p.primary != nil && p.primary.path != from {
		p.pingedAt = at
	}
	pong := disco.Pong{TxID: m.TxID, Observed: from.Addr, Size: m.Pad}
	p.a.body = pong.AppendBody(p.a.body[:0])
	p.a.send(disco.TypePong, &p.contact, from, false)
	// With a direct path that nothing is wrong with, the others have their time.
	settled := p.primary != nil && !p.primary.path.VNI.IsSet() && !p.doubt.on
	if c != nil && !c.trusted(at) && (isNew || !settled && p.isActive(at) || at < c.burstUntil) && at-c.lastBack >= backInterval {
		c.lastBack = at
		if isNew && p.isActive(at) {
			c.burstUntil = at + burstTime
		}
		p.pingCandidate(at, c)
	}
	return dropNone
}

// receivedPong makes the path trusted that a Ping went over.
func (p *peer) receivedPong(at moment, from Path, c *candidate, body []byte) drop {
	var m disco.Pong
	if m.Decode(body) != nil {
		return dropMalformed
	}
	i := slices.IndexFunc(p.pings, func(g ping) bool { return g.tx == m.TxID })
	if i < 0 || p.pings[i].over != from || at-p.pings[i].sent >= givenUp || m.Size != p.pings[i].size {
		return dropUnexpected
	}
	g := p.pings[i]
	p.pings = slices.Delete(p.pings, i, i+1)
	if !from.VNI.IsSet() {
		p.a.ours.observe(at, p.key, false, unmapped(m.Observed))
	}
	if g.call != nil {
		g.call.answered(&g, at, unmapped(m.Observed))
	}
	if c == nil {
		if from.VNI.IsSet() {
			return dropNone
		}
		if c = p.addCandidate(at, from, kindHeard); c == nil {
			return dropNone
		}
	}
	rtt := max(at-g.sent, time.Microsecond)
	if c.rtt == 0 || at-c.lastAnswer > time.Minute {
		c.rtt = rtt
	} else {
		c.rtt += (rtt - c.rtt) / 4
	}
	c.heard, c.lastAnswer = at, at
	c.trustedUntil = at + trust
	if g.kind == pingPlain {
		c.count(false)
		switch {
		case g.seq == c.answered+1:
			c.streak++
		case g.seq > c.answered:
			c.streak = 1
		}
		c.answered = max(c.answered, g.seq)
		c.width.shortAnswered++
		p.evaluate(c)
	}
	c.width.answered(at, &g, p.a.width)
	return dropNone
}
