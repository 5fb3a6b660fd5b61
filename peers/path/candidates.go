// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

const (
	// maxCandidates is how many candidates a peer has.
	maxCandidates = 32
	// trust is how long an answer counts.
	trust = 6500 * time.Millisecond
	// burstTime is how long a new candidate is pinged every second.
	burstTime = 5 * time.Second
)

// A kind is where a candidate is from.
type kind uint8

const (
	kindConfigured kind = iota
	kindLocal           // the peer told so
	kindObserved        // a Ping came from there
	kindHeard           // packets came from there
	kindRelay
)

func (k kind) String() string {
	return [...]string{"configured", "local", "observed", "heard", "relay"}[k]
}

// A candidate is a path that may work, and how well it did.
type candidate struct {
	path    Path
	kind    kind
	session *session // of a relayed path
	added   moment

	// what was asked
	lastPing   moment
	lastBack   moment // Ping that answered a Ping
	burstUntil moment
	seq        uint32 // of the last Ping that counts

	// what was answered
	answered     uint32 // seq of the newest Ping that was answered
	streak       int    // Pings answered in a row
	lastAnswer   moment
	trustedUntil moment
	rtt          time.Duration // smoothed; 0: none
	lost         uint16        // of the last 16 Pings, newest in bit 0
	counted      int           // Pings that lost is about

	heard  moment // a frame or packets came over it
	packet moment // packets came over it

	wins     int // evaluations in which it was better, in a row
	penalty  int // answers that are needed on trial; 0: as usual
	failedAt moment
	width    widthState
}

// trusted reports whether the path may be used.
func (c *candidate) trusted(at moment) bool { return at < c.trustedUntil }

// loss returns the share of the last 16 Pings that were lost.
func (c *candidate) loss() float64 {
	if c.counted == 0 {
		return 0
	}
	return float64(bits.OnesCount16(c.lost)) / float64(c.counted)
}

func (c *candidate) count(lost bool) {
	c.lost <<= 1
	if lost {
		c.lost |= 1
	}
	c.counted = min(c.counted+1, 16)
}

// candidate returns the one with this path, or nil.
func (p *peer) candidate(over Path) *candidate {
	for _, c := range p.cands {
		if c.path == over {
			return c
		}
	}
	return nil
}

// acceptable reports whether a packet to the peer can be sent over the path.
func (p *peer) acceptable(over Path, k kind) bool {
	ip := over.Addr.Addr()
	if !ip.IsValid() || over.Addr.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcast {
		return false
	}
	if k == kindRelay {
		return true
	}
	if k == kindLocal && (ip.IsLoopback() || ip.IsLinkLocalUnicast()) {
		return false
	}
	return !over.VNI.IsSet() && !p.a.ours.isLocal(over.Addr) && !p.a.isRelay(over.Addr)
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// addCandidate adds the path, unless it is none or there are too many. It returns
// the candidate with this path, or nil.
func (p *peer) addCandidate(at moment, over Path, k kind) *candidate {
	if c := p.candidate(over); c != nil {
		if k == kindConfigured {
			c.kind = k
		}
		return c
	}
	if !p.acceptable(over, k) {
		p.a.stats.dropped[dropAddress]++
		return nil
	}
	if k != kindConfigured && k != kindRelay && !p.fresh.take(at, newInterval, newBurst) {
		p.a.stats.dropped[dropLimited]++
		return nil
	}
	if len(p.cands) >= maxCandidates && !p.evict(at) {
		p.a.stats.dropped[dropLimited]++
		return nil
	}
	c := &candidate{path: over, kind: k, added: at}
	p.cands = append(p.cands, c)
	return c
}

// evict removes the candidate that is worth least.
func (p *peer) evict(at moment) bool {
	var worst *candidate
	for _, c := range p.cands {
		if c == p.primary || c.trusted(at) || c.kind == kindConfigured || c.session != nil {
			continue
		}
		// Those that never answered have lastAnswer 0: they leave first.
		if worst == nil || c.lastAnswer < worst.lastAnswer || c.lastAnswer == worst.lastAnswer && c.added < worst.added {
			worst = c
		}
	}
	if worst != nil {
		p.dropCandidate(at, worst)
	}
	return worst != nil
}

// dropCandidate removes c. When it is in use, nothing is, until choose is called.
func (p *peer) dropCandidate(at moment, c *candidate) {
	if c == p.primary {
		p.primary, p.doubt = nil, doubt{}
	}
	p.cands = slices.DeleteFunc(p.cands, func(o *candidate) bool { return o == c })
	p.pings = slices.DeleteFunc(p.pings, func(g ping) bool { return g.over == c.path && g.call == nil })
}

func (p *peer) setConfigured(at moment, over Path) {
	if over == p.configured {
		return
	}
	if c := p.candidate(p.configured); c != nil {
		c.kind = kindHeard
		if !c.trusted(at) {
			p.dropCandidate(at, c)
		}
	}
	p.configured = over
	p.addConfigured(at)
}

// addConfigured makes the configured endpoint a candidate, which it is unless the
// peer is known not to be a router.
func (p *peer) addConfigured(at moment) {
	if p.router != routerNo && p.configured.IsSet() {
		if c := p.addCandidate(at, p.configured, kindConfigured); c != nil && p.isActive(at) {
			c.burstUntil = at + burstTime
		}
	}
}

// pingable reports whether the path may be pinged: one over a relay, or any of a
// router.
func (p *peer) pingable(c *candidate) bool {
	return p.router == routerYes || c.session != nil && c.session.bound
}

// burst pings all candidates now, and every second for 5 s.
func (p *peer) burst(at moment) {
	for _, c := range p.cands {
		c.burstUntil = at + burstTime
		if p.pingable(c) && at-c.lastPing >= trialPause {
			p.pingCandidate(at, c)
		}
	}
}
