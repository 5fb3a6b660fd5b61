// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
	"github.com/tunrouter/tunrouter/peers/path"
)

const (
	// maxFrames bounds what waits for [Bind.RunPaths], 9 KB each at most. More
	// than that arrives only in a flood.
	maxFrames = 256
	// maxEvents bounds the notes about peers that wait for it, likewise.
	maxEvents = 1024
)

// ErrNoDiscovery is returned where path discovery is off.
var ErrNoDiscovery = errors.New("path discovery is off")

// paths is the part of a [Bind] that chooses among paths: it brings what arrives,
// and what the packet path counts, to a [path.Agent], and does what that says.
// One goroutine ([Bind.RunPaths]) does most of it; the mutex lets others change
// the configuration and ask.
//
// Lock order: the mutex of an Endpoint, mu, the mutex of the Bind.
type paths struct {
	bind *Bind
	log  *slog.Logger

	agent  atomic.Pointer[path.Agent] // nil: discovery is off
	beat   atomic.Uint32              // counts ticks, and is never 0 once one was; see noteHeard
	frames chan frame
	heard  chan heard
	wanted chan *Endpoint
	kick   chan struct{} // the configuration has changed

	mu         sync.Mutex // held while the agent works; guards the fields below
	known      map[path.Path]*remote
	arriving   *remote // of the frame that the agent is given
	configured map[Key]netip.AddrPort
	relays     []path.Relay
	local      []netip.Addr
	port       uint16                // that the agent was told of with local
	inside     func(netip.Addr) bool // leads into the tunnel itself; nil: nothing does
	width      int
	asked      []*Endpoint             // whose wanted mark is taken back at the next tick
	lent       map[*Endpoint]time.Time // until when a second path is lent, see lend
	out        []byte                  // what SendFrame sends
	refused    uint64                  // frames not sent because they would go through the tunnel
	seems      places                  // for those who look at what is sent
}

// A frame is one message of path discovery that arrived.
type frame struct {
	from    *remote
	control bool
	data    []byte // own
}

// heard says that authenticated packets of a peer came from a remote.
type heard struct {
	peer *Endpoint
	from *remote
}

func (p *paths) init(b *Bind) {
	p.bind, p.log = b, b.log
	p.frames = make(chan frame, maxFrames)
	p.heard = make(chan heard, maxEvents)
	p.wanted = make(chan *Endpoint, maxEvents)
	p.kick = make(chan struct{}, 1)
	p.known = make(map[path.Path]*remote)
	p.configured = make(map[Key]netip.AddrPort)
	p.lent = make(map[*Endpoint]time.Time)
}

// SetIdentity turns path discovery on, with the private key of the device; the
// zero key turns it off. All that was found out is forgotten. It does something
// while [Bind.RunPaths] runs.
func (b *Bind) SetIdentity(private Key) {
	p := &b.paths
	p.mu.Lock()
	defer p.mu.Unlock()
	p.agent.Store(nil)
	for _, e := range b.Endpoints() {
		e.release()
	}
	if private == (Key{}) {
		return
	}
	now := time.Now()
	a := path.New(path.Options{Identity: disco.NewIdentity(private), Logger: p.log, Width: p.width}, (*pathNetwork)(p))
	for _, e := range b.Endpoints() {
		p.addLocked(a, now, e.key)
	}
	a.SetRelays(now, p.relays)
	p.port = 0
	p.agent.Store(a)
	p.wake()
}

// release lets WireGuard's own rules say where the peer is.
func (e *Endpoint) release() {
	e.also.Store(nil)
	e.chosen.Store(false)
	e.watched.Store(false)
}

func (p *paths) addLocked(a *path.Agent, now time.Time, key Key) {
	a.AddPeer(now, key)
	if e := p.bind.Lookup(key); e != nil {
		e.watched.Store(true)
	}
	if addr, ok := p.configured[key]; ok {
		a.SetConfigured(now, key, addr)
	}
}

// change calls f with the agent, if there is one, and makes the loop see what became
// of it.
func (p *paths) change(f func(a *path.Agent, now time.Time)) {
	p.look(f)
	p.wake()
}

// look calls f with the agent, if there is one, for what changes nothing.
func (p *paths) look(f func(a *path.Agent, now time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.agent.Load(); a != nil {
		f(a, time.Now())
	}
}

// wake makes the loop look at what is due.
func (p *paths) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (p *paths) add(key Key) {
	p.change(func(a *path.Agent, now time.Time) { p.addLocked(a, now, key) })
}

func (p *paths) remove(key Key) {
	p.mu.Lock()
	delete(p.configured, key)
	p.mu.Unlock()
	p.change(func(a *path.Agent, _ time.Time) { a.RemovePeer(key) })
}

func (p *paths) setConfigured(key Key, addr netip.AddrPort) {
	p.mu.Lock()
	p.configured[key] = addr
	p.mu.Unlock()
	p.change(func(a *path.Agent, now time.Time) { a.SetConfigured(now, key, addr) })
}

// SetRelays says which relays there are. Those that stay keep what they have.
func (b *Bind) SetRelays(relays []path.Relay) {
	p := &b.paths
	p.mu.Lock()
	p.relays = slices.Clone(relays)
	p.mu.Unlock()
	p.change(func(a *path.Agent, now time.Time) { a.SetRelays(now, relays) })
}

// SetLocalAddrs says which addresses the host has that others might reach it at.
func (b *Bind) SetLocalAddrs(addrs []netip.Addr) {
	p := &b.paths
	p.mu.Lock()
	same := slices.Equal(p.local, addrs)
	p.local = slices.Clone(addrs)
	if !same {
		p.port = 0 // told again
	}
	p.mu.Unlock()
	p.wake()
}

// SetInside says which addresses lead into the tunnel itself. Nothing of path
// discovery is sent to them: a path through the tunnel would be one round and
// round.
func (b *Bind) SetInside(inside func(netip.Addr) bool) {
	p := &b.paths
	p.mu.Lock()
	p.inside = inside
	p.mu.Unlock()
}

// SetWidth says how long the longest message of the tunnel is, in bytes of UDP
// payload.
func (b *Bind) SetWidth(width int) {
	p := &b.paths
	p.mu.Lock()
	same := p.width == width
	p.width = width
	p.mu.Unlock()
	if !same {
		p.change(func(a *path.Agent, now time.Time) { a.SetWidth(now, width) })
	}
}

// PathStatus returns by which paths a peer is reached; false if there is no such
// peer or discovery is off.
func (b *Bind) PathStatus(key Key) (s path.PeerStatus, ok bool) {
	b.paths.look(func(a *path.Agent, now time.Time) {
		if b.Lookup(key) != nil {
			s, ok = a.PeerStatus(now, key), true
		}
	})
	return s, ok
}

// KnownRelays returns what is known of the relays, without asking them; false while
// discovery is off.
func (b *Bind) KnownRelays() (list []path.RelayStatus, ok bool) {
	b.paths.look(func(a *path.Agent, _ time.Time) { list, ok = a.NetCheck().Relays, true })
	return list, ok
}

// answerTime is how long [Bind.NetCheck] waits for relays to answer.
const answerTime = 2 * time.Second

// NetCheck asks all relays, and returns what they and peers say of this router's
// addresses, after two seconds if one does not answer.
func (b *Bind) NetCheck(ctx context.Context) (r path.NetReport, err error) {
	err = ErrNoDiscovery
	asked := time.Now()
	b.paths.change(func(a *path.Agent, now time.Time) { a.AskRelays(now) })
	for {
		b.paths.look(func(a *path.Agent, _ time.Time) { r, err = a.NetCheck(), nil })
		silent := 0
		for i := range r.Relays {
			// Who has just answered is not asked again within a second.
			if s := &r.Relays[i]; s.Registered && asked.Sub(s.Last) > time.Second {
				s.Registered, s.Problem = false, "no answer now"
				silent++
			}
		}
		if err != nil || silent == 0 || time.Since(asked) > answerTime {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Ping asks a peer over all paths, and returns which answered, after 5 s at the
// latest.
func (b *Bind) Ping(ctx context.Context, key Key) (path.PingResult, error) {
	done := make(chan path.PingResult, 1)
	err := ErrNoDiscovery
	b.paths.change(func(a *path.Agent, now time.Time) {
		err = nil
		a.Ping(now, key, func(r path.PingResult) { done <- r })
	})
	if err != nil {
		return path.PingResult{}, err
	}
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		return path.PingResult{}, ctx.Err()
	}
}

// PathStats returns the counters of path discovery; false while it is off.
func (b *Bind) PathStats() (s path.Stats, ok bool) {
	b.paths.look(func(a *path.Agent, _ time.Time) {
		s, ok = a.Stats(), true
		s.Dropped["through_tunnel"] = b.paths.refused
	})
	return s, ok
}
