// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"math"
	"math/bits"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// wideAsks is how many Pings at least ask whether full packets fit, and
	// maxWideAsks how many when the path loses Pings of any length.
	wideAsks, maxWideAsks = 5, 12
	widePause             = time.Second
	widePauseOnTrial      = trialPause
	// wideChance is how likely it may be that all were lost by chance.
	wideChance = 0.001
	// measureAgain is how long a result counts for a path in use, or for one that
	// was narrow.
	measureAgain = 10 * time.Minute
)

// probes are the lengths that tell how wide a narrow path is: UDP payloads of
// full packets of tunnels over common links.
var probes = [...]int{1200, 1280, 1360, 1400, 1440}

// A widthVerdict says whether full packets fit through a path.
type widthVerdict uint8

const (
	widthUnknown widthVerdict = iota
	wide
	narrow
)

// widthState is what is known about the width of a path.
type widthState struct {
	verdict widthVerdict
	known   int    // longest Ping that was answered, in bytes; 0: none
	at      moment // of the verdict

	// the measurement under way
	asking        bool
	asked         int // wide Pings sent
	last          moment
	shortSent     int // plain Pings since it began
	shortAnswered int
}

// widthOf returns the length of a Ping that is as long as the longest message.
func widthOf(width int) int {
	if width <= 0 {
		width = DefaultWidth
	}
	return min(max(width, disco.MinFrame), disco.MaxFrame)
}

// answered notes the answer to a Ping of that length.
func (w *widthState) answered(at moment, g *ping, full int) {
	w.known = max(w.known, g.size)
	if g.size >= full {
		w.verdict, w.at, w.asking = wide, at, false
	}
}

// unlikely reports whether asked wide Pings that stayed unanswered mean that they
// do not fit, when so many of the short ones sent meanwhile were answered.
func unlikely(asked, shortSent, shortAnswered int) bool {
	if asked < wideAsks || shortAnswered == 0 {
		return false
	}
	lost := float64(max(shortSent-shortAnswered, 0)+1) / float64(shortSent+2)
	return math.Pow(lost, float64(asked)) <= wideChance
}

// wantsMeasure reports whether the width of c is to be found out now.
func (p *peer) wantsMeasure(at moment, c *candidate) bool {
	if !c.trusted(at) || !p.pingable(c) || !p.isActive(at) {
		return false
	}
	if c.width.verdict == widthUnknown {
		return c == p.primary || p.onTrial(at, c)
	}
	return (c == p.primary || c.width.verdict == narrow) && at-c.width.at >= measureAgain
}

// measureAt returns when measure has something to do for c.
func (p *peer) measureAt(at moment, c *candidate) moment {
	if !p.wantsMeasure(at, c) {
		return never
	}
	if !c.width.asking {
		return at
	}
	return c.width.last + p.widePause(c)
}

func (p *peer) widePause(c *candidate) time.Duration {
	pause := widePause
	if c != p.primary {
		pause = widePauseOnTrial
	}
	// The answer to the last one has had its time.
	return max(pause, min(2*c.rtt, 2*time.Second))
}

func (p *peer) measureAll(at moment) {
	for i := 0; i < len(p.cands); i++ {
		c := p.cands[i]
		if at >= p.measureAt(at, c) {
			p.measure(at, c)
		}
	}
}

// measure sends the next wide Ping over c, with a short one beside it, or comes to
// the conclusion that wide ones do not fit.
func (p *peer) measure(at moment, c *candidate) {
	w := &c.width
	if !w.asking {
		*w = widthState{verdict: w.verdict, known: w.known, at: w.at, asking: true}
	}
	// What the path lost before counts as well: three short answers say little.
	before := int(c.counted)
	answered := before - bits.OnesCount16(c.lost)
	if unlikely(w.asked, w.shortSent+before, w.shortAnswered+answered) {
		if w.verdict != narrow {
			p.a.log.Debug("path is narrow", "peer", shortKey(p.key), "path", c.path, "bytes", p.a.width)
		}
		*w = widthState{verdict: narrow, at: at, known: disco.MinFrame}
		for _, n := range probes {
			if n < p.a.width {
				p.sendPing(at, c.path, pingProbe, n)
			}
		}
		p.choose(at)
		return
	}
	if w.asked >= maxWideAsks { // too lossy to tell
		w.asking = false
		if w.verdict != widthUnknown {
			w.at = at
		}
	}
	w.asked++
	w.last = at
	p.sendPing(at, c.path, pingWide, p.a.width)
	if p.a.width > disco.MinFrame {
		p.pingCandidate(at, c)
	}
}
