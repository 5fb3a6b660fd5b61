// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// idle is what [Agent.Tick] returns when nothing is going on: registrations are
// renewed as often.
const idle = 25 * time.Second

// A moment is a time on the agent's own monotonic clock. The zero moment is
// longer ago than anything that is asked about: it stands for never.
type moment = time.Duration

// beginning is the moment at which an agent begins.
const beginning moment = 24 * time.Hour

// An Agent is all that a router knows about paths to its peers. Make one with
// [New].
type Agent struct {
	// immutable
	id   *disco.Identity
	log  *slog.Logger
	rand io.Reader
	net  Network
	off  bool
	wall func() time.Time // for epochs and sequences only; tests replace it

	tags    tagBook
	carried atomic.Pointer[map[Path]*session]

	// owned by the goroutine that calls
	base   time.Time // the moment 0
	last   moment    // the moment of the last call
	width  int
	peers  map[Key]*peer
	order  []slot // all peers and when they are due
	relays []*relayClient
	ours   ownAddrs
	seq    sequence
	stats  counters
	body   []byte // scratch: what is sent, what was opened, a frame
	opened []byte
	frame  []byte
	told   disco.Candidates // scratch
}

// A slot is a peer and when it is due: apart from the peer, so that looking
// through thousands of them touches little memory.
type slot struct {
	due  moment
	peer *peer
}

// New returns an agent without peers and relays, which acts on n.
func New(o Options, n Network) *Agent {
	a := &Agent{
		id: o.Identity, log: o.Logger, rand: o.Rand, net: n, off: o.Off || o.Identity == nil,
		wall:  time.Now,
		peers: make(map[Key]*peer),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
	a.width = widthOf(o.Width)
	a.tags.begin()
	a.carried.Store(new(map[Path]*session))
	return a
}

// advance sets the agent's clock to now and returns the moment.
func (a *Agent) advance(now time.Time) moment {
	if a.base.IsZero() {
		a.base = now.Add(-beginning)
		a.last = beginning
		wall := a.wall()
		a.tags.clocks(wall, beginning)
		a.seq.begin(wall, beginning)
	}
	a.last = max(a.last, now.Sub(a.base))
	return a.last
}

// time returns the moment as others know it; the zero Time for never.
func (a *Agent) time(m moment) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return a.base.Add(m)
}

// AddPeer adds a peer. One that is there stays as it is.
func (a *Agent) AddPeer(now time.Time, key Key) {
	at := a.advance(now)
	if a.peers[key] != nil {
		return
	}
	p := &peer{a: a, key: key, index: len(a.order)}
	if !a.off {
		var err error
		if p.pair, err = a.id.Pair(disco.DomainPeer, key); err != nil {
			a.log.Debug("peer cannot speak the protocol of routers", "peer", shortKey(key), "err", err)
		}
	}
	a.peers[key] = p
	// The first looks at thousands of peers are spread over a second.
	a.order = append(a.order, slot{at + moment(p.index%100)*10*time.Millisecond, p})
	if p.pair == nil {
		p.router = routerNo
		p.mute = true
		a.order[p.index].due = never
		a.net.Watch(key, false)
		return
	}
	a.tags.add(&owner{peer: p, contact: &p.contact})
}

// RemovePeer removes a peer with its sessions. Its Choice is forgotten without a
// call of Use.
func (a *Agent) RemovePeer(key Key) {
	p := a.peers[key]
	if p == nil {
		return
	}
	p.endCalls()
	p.gone = true
	p.dropSessions()
	delete(a.peers, key)
	lastOne := len(a.order) - 1
	a.order[p.index] = a.order[lastOne]
	a.order[p.index].peer.index = p.index
	a.order[lastOne] = slot{}
	a.order = a.order[:lastOne]
	a.tags.stale++
}

// SetConfigured says what the endpoint of the peer is in the configuration, as
// an address; the zero AddrPort: it has none.
func (a *Agent) SetConfigured(now time.Time, key Key, addr netip.AddrPort) {
	at := a.advance(now)
	if p := a.peers[key]; p != nil && !p.mute {
		p.setConfigured(at, Path{Addr: unmapped(addr)})
		p.run(at)
	}
}

// SetLocal says where the host may be reached directly, the addresses of its
// interfaces with the port of the sockets. It also says that the network may
// have changed: everything is asked again.
func (a *Agent) SetLocal(now time.Time, addrs []netip.AddrPort) {
	at := a.advance(now)
	a.ours.setLocal(addrs)
	a.ours.refresh(at)
	if a.off {
		return
	}
	for _, r := range a.relays {
		r.askAgain(at)
	}
	for i := range a.order {
		a.order[i].peer.networkChanged(at)
	}
}

// SetWidth says what Options.Width does, for a tunnel whose MTU has changed.
func (a *Agent) SetWidth(now time.Time, width int) {
	at := a.advance(now)
	if width = widthOf(width); width == a.width {
		return
	}
	a.width = width
	for i := range a.order {
		for _, c := range a.order[i].peer.cands {
			c.width = widthState{}
		}
		a.wake(a.order[i].peer, at)
	}
}

// Heard tells that authenticated packets of the peer came over this path. It is
// to be called at most 10 times a second for each path, for the path in use too.
func (a *Agent) Heard(now time.Time, key Key, over Path) {
	at := a.advance(now)
	if p := a.peers[key]; p != nil && !p.mute {
		p.heardPackets(at, over.unmapped())
	}
}

// Wanted tells that a packet for the peer has nowhere to go, or that an
// initiation was sent to it. It may be called for every packet.
func (a *Agent) Wanted(now time.Time, key Key) {
	at := a.advance(now)
	p := a.peers[key]
	if p == nil || p.mute || p.isActive(at) && at-p.wanted < 100*time.Millisecond {
		return
	}
	p.wanted = at
	p.touch(at)
	p.run(at)
}

// Tick does what is due and returns how long it will be until something is, at
// most 25 s, if no other method is called: after a call of another one the wait
// may be shorter, see [Agent.Next].
func (a *Agent) Tick(now time.Time) (next time.Duration) {
	at := a.advance(now)
	if a.off {
		return idle
	}
	a.tags.update(a.wall(), at, a)
	a.ours.refresh(at)
	for _, r := range a.relays {
		if at >= r.due {
			r.run(at)
		}
	}
	for i := range a.order {
		if at >= a.order[i].due {
			a.order[i].peer.run(at)
		}
	}
	return max(a.wait(at), 5*time.Millisecond)
}

// Next returns how long it is until [Agent.Tick] has something to do: 0 when it
// has now, at most 25 s.
func (a *Agent) Next(now time.Time) time.Duration {
	at := a.advance(now)
	if a.off {
		return idle
	}
	return a.wait(at)
}

func (a *Agent) wait(at moment) time.Duration {
	due := at + idle
	for _, r := range a.relays {
		due = min(due, r.due)
	}
	for i := range a.order {
		due = min(due, a.order[i].due)
	}
	return max(due-at, 0)
}

// wake makes the peer due now.
func (a *Agent) wake(p *peer, at moment) {
	if !p.mute && !p.gone {
		a.order[p.index].due = min(a.order[p.index].due, at)
	}
}

// txID returns a new transaction.
func (a *Agent) txID() (tx disco.TxID) {
	if _, err := io.ReadFull(a.rand, tx[:]); err != nil { // crypto/rand does not fail
		panic("path: random numbers: " + err.Error())
	}
	return tx
}

// send seals the body in a.body and sends it.
func (a *Agent) send(t disco.MessageType, c *contact, over Path, control bool) {
	a.frame = c.pair.Seal(a.frame[:0], a.tags.sendEpoch(c, a.last), a.body)
	a.stats.sent[t]++
	a.net.SendFrame(over, control, a.frame)
}
