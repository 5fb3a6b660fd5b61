// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import "time"

const (
	// lossCost is what a path costs that loses every Ping.
	lossCost = 400 * time.Millisecond
	// A path is better than its equal by at least this much.
	betterBy = 5 * time.Millisecond
	// and by 15 %.
	betterShare, betterOf = 15, 100
	// wins is in how many evaluations one after another.
	wins = 2
)

// A rating is what paths are compared by.
type rating struct {
	narrow  bool          // full packets do not fit
	relayed bool          //
	cost    time.Duration // smoothed round trip and loss
}

// class is what counts before the cost: less is better.
func (r rating) class() int {
	c := 0
	if r.narrow {
		c += 2
	}
	if r.relayed {
		c++
	}
	return c
}

// A verdict says what a path is compared to the one in use.
type verdict uint8

const (
	notBetter   verdict = iota
	cheaper             // of the same class, and costs clearly less
	betterClass         // wide instead of narrow, or direct instead of relayed
)

// compare says whether the challenger is better than the path in use. What
// follows from that is on trial first.
func compare(challenger, inUse rating) verdict {
	switch c, u := challenger.class(), inUse.class(); {
	case c < u:
		return betterClass
	case c > u:
		return notBetter
	}
	gain := inUse.cost - challenger.cost
	if gain > betterBy && gain*betterOf > inUse.cost*betterShare {
		return cheaper
	}
	return notBetter
}

// before reports whether a is to be taken before b when none is in use.
func before(a, b rating) bool {
	if a.class() != b.class() {
		return a.class() < b.class()
	}
	return a.cost < b.cost
}

// rating returns the one of c.
func (c *candidate) rating() rating {
	return rating{
		narrow:  c.width.verdict == narrow,
		relayed: c.path.VNI.IsSet(),
		cost:    c.rtt + time.Duration(float64(lossCost)*c.loss()),
	}
}

// choose looks at all trusted paths and takes the right one into use.
func (p *peer) choose(at moment) {
	why := ""
	if c := p.primary; c != nil && !c.trusted(at) {
		if why = "silent"; !p.isActive(at) {
			why = "idle"
		}
		p.lose(at, why)
	}
	if p.primary != nil && p.judge(at) {
		why = "dead"
	}
	if p.primary == nil {
		if c := p.first(at); c != nil {
			if why == "" {
				why = "first answer"
			}
			p.take(at, c, why)
		} else {
			p.use(at, Choice{Why: why})
		}
		return
	}
	var best *candidate
	for _, c := range p.cands {
		if p.mayReplace(at, c) && (best == nil || before(c.rating(), best.rating())) {
			best = c
		}
	}
	if best != nil {
		why := "better"
		switch old, r := p.primary.rating(), best.rating(); {
		case old.narrow && !r.narrow:
			why = "wider"
		case old.relayed && !r.relayed:
			why = "direct answers"
		}
		p.take(at, best, why)
		return
	}
	ch := Choice{Primary: p.primary.path, Why: p.choice.Why}
	if p.doubt.on {
		ch.Also = p.other(at)
	}
	p.use(at, ch)
}

// first returns the path to take when none is in use, or nil. One that failed as
// soon as it was chosen before is the last resort.
func (p *peer) first(at moment) *candidate {
	var best *candidate
	held := false
	for _, c := range p.cands {
		if !c.trusted(at) {
			continue
		}
		h := c.need(at) > trialAnswers && c.streak < c.need(at)
		if best == nil || held && !h || held == h && before(c.rating(), best.rating()) {
			best, held = c, h
		}
	}
	return best
}

// take makes c the path in use.
func (p *peer) take(at moment, c *candidate, why string) {
	p.primary, p.chosenAt = c, at
	p.doubt = doubt{}
	for _, o := range p.cands {
		o.wins = 0
	}
	c.burstUntil = min(c.burstUntil, at)
	p.use(at, Choice{Primary: c.path, Why: why})
}

// lose ends the use of the primary path, which failed, and its trust.
func (p *peer) lose(at moment, why string) {
	c := p.primary
	if c == nil {
		return
	}
	p.primary, p.doubt = nil, doubt{}
	c.trustedUntil, c.streak = 0, 0
	if why != "idle" {
		c.failed(at, at-p.chosenAt)
	}
}

// use tells the network where packets go, if that has changed.
func (p *peer) use(at moment, c Choice) {
	old := p.choice
	if c.Primary == old.Primary && c.Also == old.Also {
		return
	}
	if c.Primary == old.Primary {
		c.Why = old.Why
	}
	p.choice = c
	p.a.net.Use(p.key, c)
	if c.Primary == old.Primary {
		p.a.log.Debug("peer path in doubt", "peer", shortKey(p.key), "path", c.Primary, "also", c.Also)
		return
	}
	p.since = at
	p.switches++
	p.a.stats.switches++
	p.a.log.Info("peer path changed", "peer", shortKey(p.key), "from", old.Primary, "to", c.Primary, "why", c.Why)
	if c.Primary.IsSet() {
		p.announce = p.announce || !old.Primary.IsSet()
		p.a.net.Resend(p.key)
	}
}
