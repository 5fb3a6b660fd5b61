// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import "time"

const (
	// trialAnswers is how many Pings in a row a path must answer before it
	// replaces one that works, trialPause what is between them.
	trialAnswers = 3
	trialPause   = 500 * time.Millisecond
	// A direct path that failed within failsSoon of its choice needs twice as many
	// each time, up to maxAnswers, until penalty has passed since it failed.
	failsSoon  = 5 * time.Second
	maxAnswers = 12
	penalty    = time.Minute
)

// need returns how many answers in a row the path needs on trial.
func (c *candidate) need(at moment) int {
	if c.penalty == 0 || at-c.failedAt > penalty {
		c.penalty = 0
		return trialAnswers
	}
	return c.penalty
}

// failed notes that the path failed after it was in use for that long.
func (c *candidate) failed(at moment, used time.Duration) {
	if used < failsSoon && !c.path.VNI.IsSet() {
		c.penalty = min(2*c.need(at), maxAnswers)
		c.failedAt = at
	}
}

// onTrial reports whether c may turn out to replace the path in use.
func (p *peer) onTrial(at moment, c *candidate) bool {
	if p.primary == nil || c == p.primary || !c.trusted(at) {
		return false
	}
	switch compare(c.rating(), p.primary.rating()) {
	case betterClass:
		return true
	case cheaper:
		return c.wins > 0
	}
	return false
}

// evaluate counts the evaluations in which c was better than its equal, after an
// answer over c.
func (p *peer) evaluate(c *candidate) {
	if p.primary == nil || c == p.primary || compare(c.rating(), p.primary.rating()) != cheaper {
		c.wins = 0
		return
	}
	c.wins++
}

// mayReplace reports whether c is better than the path in use and has proved it.
func (p *peer) mayReplace(at moment, c *candidate) bool {
	if c == p.primary || !c.trusted(at) {
		return false
	}
	v := compare(c.rating(), p.primary.rating())
	return v != notBetter && passed(v, c.streak, c.need(at), c.wins, c.width.verdict)
}

// passed is the end of a trial: of a path that is better as v says, that answered
// streak Pings in a row.
func passed(v verdict, streak, need, won int, w widthVerdict) bool {
	if streak < need || w == widthUnknown {
		return false
	}
	return v == betterClass || v == cheaper && won >= wins
}
