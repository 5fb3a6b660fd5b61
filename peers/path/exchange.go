// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// tellAgain is between Candidates to one peer while there is no direct path,
	// tellPause is at least between two of them.
	tellAgain = 30 * time.Second
	tellPause = time.Second
	// toldPause is at least between Candidates of one peer that are heeded, which
	// is half of tellPause because the network may bunch them.
	toldPause = tellPause / 2
)

// A sequence numbers Candidates: the wall clock when the agent began and what
// has passed since on the monotonic clock.
type sequence struct {
	start uint64 // nanoseconds since 1970
	at    moment // of start
	last  uint64
}

func (s *sequence) begin(wall time.Time, at moment) {
	s.start, s.at = uint64(max(wall.UnixNano(), 0)), at
}

func (s *sequence) next(at moment) uint64 {
	s.last = max(s.last+1, s.start+uint64(at-s.at))
	return s.last
}

// exchange is what a peer and we told each other about addresses.
type exchange struct {
	announce    bool   // the peer is to be told as soon as a path is trusted
	owes        bool   // the peer asked
	owesOver    Path   // over this path
	toldAt      moment // we told the peer
	toldVersion uint64 // of our addresses
	heardSeq    uint64 // of what the peer told last
	heeded      moment // the peer told us
}

// wantsTell reports whether the peer is to be told our addresses, apart from what
// it asked for.
func (p *peer) wantsTell(at moment) bool {
	if p.router != routerYes || !p.isActive(at) {
		return false
	}
	direct := p.primary != nil && !p.primary.path.VNI.IsSet()
	return p.announce || p.toldVersion != p.a.ours.version || !direct && at-p.toldAt >= tellAgain
}

// nextTell returns when tell has something to do.
func (p *peer) nextTell(at moment) moment {
	due := never
	if p.owes || p.primary != nil && p.wantsTell(at) {
		due = p.toldAt + tellPause
	} else if p.primary != nil && p.primary.path.VNI.IsSet() && p.isActive(at) {
		due = p.toldAt + tellAgain
	}
	return due
}

// tell sends our addresses over all trusted paths, and where they were asked for.
func (p *peer) tell(at moment) {
	if at-p.toldAt < tellPause {
		return
	}
	wants := p.wantsTell(at)
	if !wants && !p.owes {
		return
	}
	m := disco.Candidates{Reply: wants, Addrs: p.a.ours.list}
	sent := false
	over := func(path Path) {
		m.Sequence = p.a.seq.next(at)
		p.a.body = m.AppendBody(p.a.body[:0])
		p.a.send(disco.TypeCandidates, &p.contact, path, false)
		sent = true
	}
	for _, c := range p.cands {
		if wants && c.trusted(at) || p.owes && c.path == p.owesOver {
			over(c.path)
		}
	}
	p.owes = false
	if sent {
		p.toldAt, p.toldVersion = at, p.a.ours.version
		p.announce = p.announce && !wants
	}
}

// receivedCandidates takes over where the peer says it is.
func (p *peer) receivedCandidates(at moment, from Path, body []byte) drop {
	m := &p.a.told
	if m.Decode(body) != nil {
		return dropMalformed
	}
	if m.Sequence <= p.heardSeq {
		return dropStale
	}
	p.heardSeq = m.Sequence
	if m.Reply {
		p.owes, p.owesOver = true, from
	}
	if at-p.heeded < toldPause {
		return dropNone // the same over another path, or too many
	}
	p.heeded = at
	for i := range m.Addrs {
		m.Addrs[i] = unmapped(m.Addrs[i])
	}
	// What is not named any more and does not answer is of no use.
	for i := 0; i < len(p.cands); {
		c := p.cands[i]
		if c.kind == kindLocal && c != p.primary && !c.trusted(at) && !slices.Contains(m.Addrs, c.path.Addr) {
			p.dropCandidate(at, c)
			continue
		}
		i++
	}
	for _, addr := range m.Addrs {
		if c := p.addCandidate(at, Path{Addr: addr}, kindLocal); c != nil && !c.trusted(at) {
			c.burstUntil = at + burstTime
			if at-c.lastPing >= backInterval {
				p.pingCandidate(at, c)
			}
		}
	}
	return dropNone
}
