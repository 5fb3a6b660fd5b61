// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import "time"

// Whether a peer is a router.
type routerness uint8

const (
	routerUnknown routerness = iota
	routerYes
	routerNo
)

func (r routerness) String() string {
	return [...]string{"unknown", "yes", "no"}[r]
}

const (
	// asks is how many Pings ask a peer whether it is a router, askPause what is
	// between them.
	asks     = 3
	askPause = time.Second
	// asksAgain is after how long a peer with traffic is asked again.
	asksAgain = 10 * time.Minute
)

// question is whether a peer is a router, and how far asking has come.
type question struct {
	router  routerness
	asked   int    // Pings sent of this question
	lastAsk moment //
	askOver Path   // set while the question is open
	settled moment // of the answer no
	frameAt moment // of the last authentic frame
}

// heardNow notes that the peer is there, and reports whether it is to be asked.
func (p *peer) heardNow(at moment) bool {
	if p.router == routerYes && at-p.frameAt > asksAgain && p.isActive(at) && p.primary == nil {
		// It was a router once, and is silent since.
		p.router = routerUnknown
	}
	return p.router == routerUnknown && !p.askOver.IsSet()
}

// askNow opens the question.
func (p *peer) askNow(at moment, over Path) { p.askOver, p.asked = over, 0 }

// ask sends what is due of an open question.
func (p *peer) ask(at moment) {
	if !p.askOver.IsSet() || at < p.nextAsk() {
		return
	}
	if p.asked == asks {
		p.settle(at)
		return
	}
	p.asked++
	p.lastAsk = at
	p.sendPing(at, p.askOver, pingPlain, 0)
}

func (p *peer) nextAsk() moment {
	switch {
	case !p.askOver.IsSet():
		return never
	case p.asked == 0:
		return 0
	}
	return p.lastAsk + askPause
}

// settle ends the question with no: all that is kept for a router is let go.
func (p *peer) settle(at moment) {
	p.askOver = Path{}
	if p.router == routerYes {
		return
	}
	p.router, p.settled = routerNo, at
	p.pings = nil
	p.primary = nil
	p.use(at, Choice{Why: "no router"})
	p.dropSessions()
	p.cands = nil
	p.a.net.Watch(p.key, false)
	p.a.log.Debug("peer is a plain WireGuard peer", "peer", shortKey(p.key))
}

// askAgainLater lets a plain peer be asked again after 10 minutes, if there is
// traffic.
func (p *peer) askAgainLater(at moment) {
	if at-p.settled >= asksAgain && p.isActive(at) {
		p.router = routerUnknown
		p.a.net.Watch(p.key, true)
		p.addConfigured(at)
	}
}

// isRouter notes an authentic frame: the peer is a router.
func (p *peer) isRouter(at moment) {
	p.frameAt = at
	if p.router == routerYes {
		return
	}
	if p.router == routerNo {
		p.a.net.Watch(p.key, true)
		p.addConfigured(at)
	}
	p.router, p.askOver = routerYes, Path{}
	p.a.log.Debug("peer is a router", "peer", shortKey(p.key))
	if p.isActive(at) {
		p.announce = true
		p.burst(at)
	}
}
