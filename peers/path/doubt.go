// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import "time"

const (
	// askAfter is the silence over the path in use that is asked about, and what
	// is between the Pings then.
	askAfter = 250 * time.Millisecond
	// doubtAfter is the silence that is doubted, movedAfter if the packets that
	// should come over this path come over another one, deadAfter the end.
	doubtAfter = 600 * time.Millisecond
	movedAfter = 300 * time.Millisecond
	deadAfter  = 2 * time.Second
	// talking is how long ago something was sent, at most.
	talking = time.Second
)

// A silence is what is known about the path in use when its fate is judged. All
// are moments, 0 for never.
type silence struct {
	sent   moment        // something was sent to the peer
	heard  moment        // an answer or a packet came over the path; Pings say nothing of our direction
	answer moment        // an answer came over the path
	asked  moment        // the oldest Ping that is unanswered since the last answer was sent
	other  moment        // a packet came over another path
	pinged moment        // a Ping came over another path: does the peer look for one?
	moved  bool          // and the ones before had come over this path
	rtt    time.Duration // of the path
}

// suspicious reports whether the peer is to be asked over the path now.
func (s silence) suspicious(at moment) bool {
	return at-s.sent < talking && (at-s.heard >= askAfter || s.unanswered(at, askAfter)) ||
		at-s.other < talking || at-s.pinged < talking
}

// unanswered reports whether a Ping has waited for longer than an answer and this
// time more take.
func (s silence) unanswered(at moment, more time.Duration) bool {
	return s.asked != 0 && at-s.asked > more+2*s.rtt
}

// doubtful reports whether the path is to be doubted, and whether only an answer
// ends that. It does where a Ping is unanswered: packets of the peer say nothing
// about our direction, and the path may be cut in that alone. The peer, which hears
// nothing then, asks over other paths and sends packets over them; as long as those
// come over this path as well, its Pings are all that tells.
func (s silence) doubtful(at moment) (doubtful, answerOnly bool) {
	sent, other, pinged := at-s.sent < talking, at-s.other < movedAfter, at-s.pinged < doubtAfter
	switch {
	case other && s.moved && at-s.heard >= movedAfter:
		return true, false
	case (other || sent && pinged) && s.unanswered(at, askAfter), sent && at-s.heard >= doubtAfter && s.unanswered(at, askAfter):
		return true, true
	}
	return false, false
}

// doubt is the state of the path in use.
type doubt struct {
	on         bool
	since      moment
	answerOnly bool // packets over the path do not end it
}

// over reports whether the doubt has ended.
func (d doubt) over(s silence) bool {
	return s.answer > d.since || !d.answerOnly && s.heard > d.since
}

// dead reports whether the doubt has become certain.
func (d doubt) dead(s silence, at moment) bool {
	last := s.heard
	if d.answerOnly {
		last = s.answer
	}
	return at-s.sent < talking && at-last >= deadAfter && at-d.since >= deadAfter-doubtAfter
}

// silence returns what is known about the path in use.
func (p *peer) silence() silence {
	c := p.primary
	s := silence{sent: p.lastSent, heard: max(c.lastAnswer, c.packet), answer: c.lastAnswer, other: p.otherAt, pinged: p.pingedAt, moved: p.moved, rtt: c.rtt}
	s.asked = p.oldestUnanswered(c)
	return s
}

// judge doubts the path in use, or stops doubting it. It reports whether the path
// is dead: its trust and its use have ended.
func (p *peer) judge(at moment) (dead bool) {
	s := p.silence()
	if p.doubt.on {
		switch {
		case p.doubt.over(s):
			p.doubt = doubt{}
			p.moved = false
		case p.doubt.dead(s, at) && p.hasOther(at):
			p.lose(at, "dead")
			return true
		}
		return false
	}
	on, answerOnly := s.doubtful(at)
	if !on {
		return false
	}
	p.doubt = doubt{on: true, since: at, answerOnly: answerOnly}
	p.a.stats.doubts++
	// What else is there? All are asked now, to be trusted by the time that this
	// path is dead.
	for _, s := range p.sessions {
		// Our NAT may have been restarted: then the relay does not know us either.
		if s.bound {
			s.relay.askAgain(at)
			s.bindAgain(at)
		}
	}
	for _, c := range p.cands {
		if p.pingable(c) && c != p.primary && at-c.lastPing >= askAfter {
			p.pingCandidate(at, c)
		}
	}
	return false
}

// hasOther reports whether a trusted path other than the one in use is there.
func (p *peer) hasOther(at moment) bool {
	for _, c := range p.cands {
		if c != p.primary && c.trusted(at) {
			return true
		}
	}
	return false
}

// other returns the path to use beside the one that is doubted: a trusted one, a
// relayed one that was bound or heard in the last 5 minutes, or the one that
// packets come over.
func (p *peer) other(at moment) Path {
	var best *candidate
	for _, c := range p.cands {
		if c == p.primary {
			continue
		}
		bound := c.session != nil && c.session.bound && at-max(c.session.boundAt, c.heard) < sessionSilence
		if !c.trusted(at) && !bound {
			continue
		}
		if best == nil || c.trusted(at) && !best.trusted(at) ||
			c.trusted(at) == best.trusted(at) && before(c.rating(), best.rating()) {
			best = c
		}
	}
	if best != nil {
		return best.path
	}
	if o := p.otherPath; at-p.otherAt < talking && o != p.primary.path &&
		(o.VNI.IsSet() && p.a.Carries(o) || p.acceptable(o, kindHeard)) {
		return o
	}
	return Path{}
}
