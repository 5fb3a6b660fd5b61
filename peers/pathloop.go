// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/peers/path"
)

// RunPaths finds and chooses paths until ctx ends. It returns nil.
func (b *Bind) RunPaths(ctx context.Context) error {
	p := &b.paths
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	for {
		event := true
		select {
		case <-ctx.Done():
			return nil
		case f := <-p.frames:
			p.mu.Lock()
			p.receiveLocked(f)
			p.mu.Unlock()
		case h := <-p.heard:
			p.mu.Lock()
			if a := p.agent.Load(); a != nil && !h.peer.gone.Load() {
				a.Heard(time.Now(), h.peer.key, h.from.path())
			}
			p.mu.Unlock()
		case e := <-p.wanted:
			p.mu.Lock()
			p.asked = append(p.asked, e)
			if a := p.agent.Load(); a != nil && !e.gone.Load() {
				a.Wanted(time.Now(), e.key)
			}
			p.mu.Unlock()
		case <-p.kick:
		case <-timer.C:
			event = false
		}
		now := time.Now()
		if event {
			if next := p.next(now); now.Add(next).Before(due) {
				due = now.Add(next)
				timer.Reset(next)
			}
			continue
		}
		next := p.tick(now)
		due = now.Add(next)
		timer.Reset(next)
	}
}

// tick lets the agent do what is due and returns when there is more.
func (p *paths) tick(now time.Time) time.Duration {
	// First, so that what arrives from now on is told.
	if p.beat.Add(1) == 0 {
		p.beat.Add(1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range p.asked {
		e.wanted.Store(false)
		p.asked[i] = nil
	}
	p.asked = p.asked[:0]
	a := p.agent.Load()
	if a == nil {
		return time.Minute
	}
	if port := p.bind.Port(); port != p.port {
		p.port = port
		var addrs []netip.AddrPort
		for _, ip := range p.local {
			if port != 0 {
				addrs = append(addrs, netip.AddrPortFrom(ip, port))
			}
		}
		a.SetLocal(now, addrs)
	}
	next := a.Tick(now)
	p.takeBack(a, now)
	return max(next, time.Millisecond)
}

// next returns when something is due after what has just happened.
func (p *paths) next(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.agent.Load(); a != nil && p.port == p.bind.Port() {
		return max(a.Next(now), time.Millisecond)
	}
	return 0 // the agent is new, or the port
}

// receiveLocked brings a frame to the agent.
func (p *paths) receiveLocked(f frame) {
	a := p.agent.Load()
	if a == nil {
		return
	}
	p.arriving = f.from
	a.Receive(time.Now(), f.from.path(), f.control, f.data)
	p.arriving = nil
}

// arrived notes a message of path discovery, which it copies. It belongs to the
// receive functions, and never waits.
func (p *paths) arrived(from *remote, control bool, data []byte) dropReason {
	if len(p.frames) == cap(p.frames) {
		return dropDiscoQueue
	}
	select {
	case p.frames <- frame{from: from, control: control, data: bytes.Clone(data)}:
		return dropNone
	default:
		return dropDiscoQueue
	}
}

// noteHeard says that e was heard from r, for the first time in this beat.
func (p *paths) noteHeard(e *Endpoint, r *remote, beat uint32) {
	r.heard.Store(beat)
	if !e.watched.Load() {
		return
	}
	select {
	case p.heard <- heard{e, r}:
	default:
		r.heard.Store(beat - 1) // the next packet says it
	}
}

// want says that packets for e wait for a path, once in a beat.
func (p *paths) want(e *Endpoint) {
	if e.wanted.Load() || p.agent.Load() == nil || e.wanted.Swap(true) {
		return
	}
	select {
	case p.wanted <- e:
	default:
		e.wanted.Store(false)
	}
}

// maxKnown bounds the remotes that are kept for paths.
const maxKnown = 1 << 14

func (p *paths) remember(at path.Path, r *remote) {
	if _, ok := p.known[at]; !ok && len(p.known) >= maxKnown {
		for k := range p.known { // map order is random enough here
			delete(p.known, k)
			break
		}
	}
	p.known[at] = r
}

// lendFor is how long a path is used as well because a handshake came over it: time
// enough to find out whether the one in use still works.
const lendFor = 3 * time.Second

// lend makes everything for e go over r as well: the peer has begun a handshake from
// there, although another path was chosen. It has started again, or moved, and the
// path in use may lead nowhere; or it has chosen another one in its direction. What
// was sent over a second path before goes over this one.
func (p *paths) lend(e *Endpoint, r *remote) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lent[e] = time.Now().Add(lendFor)
	e.also.Store(r)
	p.wake()
}

// takeBack ends what was lent, in favour of what the agent wants.
func (p *paths) takeBack(a *path.Agent, now time.Time) {
	for e, until := range p.lent {
		if now.After(until) {
			delete(p.lent, e)
			(*pathNetwork)(p).useAlso(e, a.PeerStatus(now, e.key).Choice.Also)
		}
	}
}
