// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const (
	// renewAfter is between registrations, registeredFor how long one lives if the
	// relay does not say.
	renewAfter    = 25 * time.Second
	registeredFor = 90 * time.Second
	// Without an answer a question is asked again after 1, 2, 4 … 30 s.
	minDelay, maxDelay = time.Second, 30 * time.Second
	// maxChallenges is how many Challenges one question is worth: the NAT may
	// have given us another address meanwhile, but not again and again.
	maxChallenges = 2
)

// A relayClient is a relay and our registration with it.
type relayClient struct {
	contact
	a     *Agent
	key   Key
	name  string
	addrs []netip.AddrPort

	which      int // of addrs
	unanswered int // Registers in a row
	due        moment
	delay      time.Duration
	tx         disco.TxID // of the Register under way
	waiting    bool
	challenges int // that the question under way got
	askedAt    moment

	cookie     [32]byte
	until      moment // when the registration ends
	renewed    moment
	generation uint64
	observed   netip.AddrPort
	rtt        time.Duration

	told      bucket // Allocated that nobody asked for
	allocates bucket
}

// SetRelays says which relays there are. Those that stay keep their state.
func (a *Agent) SetRelays(now time.Time, relays []Relay) {
	at := a.advance(now)
	if a.off {
		return
	}
	old := a.relays
	a.relays = nil
	for _, r := range relays {
		var addrs []netip.AddrPort
		for _, addr := range r.Addrs {
			if addr = unmapped(addr); addr.IsValid() && !slices.Contains(addrs, addr) {
				addrs = append(addrs, addr)
			}
		}
		if slices.ContainsFunc(a.relays, func(c *relayClient) bool { return c.key == r.Key }) {
			continue
		}
		if i := slices.IndexFunc(old, func(c *relayClient) bool { return c.key == r.Key && slices.Equal(c.addrs, addrs) }); i >= 0 {
			old[i].name = r.Name
			a.relays = append(a.relays, old[i])
			old = slices.Delete(old, i, i+1)
			continue
		}
		c := &relayClient{a: a, key: r.Key, name: r.Name, addrs: addrs, due: at, delay: minDelay}
		var err error
		if len(addrs) == 0 {
			c.due = never // it is replaced when its addresses are known
		}
		if c.pair, err = a.id.Pair(disco.DomainRelay, r.Key); err != nil {
			a.log.Warn("relay cannot be used", "relay", r.Name, "err", err)
			continue
		}
		a.relays = append(a.relays, c)
		a.tags.add(&owner{relay: c, contact: &c.contact})
	}
	for _, c := range old {
		c.gone = true
		a.tags.stale++
	}
	for i := range a.order {
		p := a.order[i].peer
		p.relaysChanged(at)
		p.run(at)
	}
}

// isRelay reports whether addr is that of a relay: no peer is there.
func (a *Agent) isRelay(addr netip.AddrPort) bool {
	for _, r := range a.relays {
		if slices.Contains(r.addrs, addr) {
			return true
		}
	}
	return false
}

// addr returns the address of the relay in use, the zero AddrPort while none is
// known.
func (r *relayClient) addr() netip.AddrPort {
	if len(r.addrs) == 0 {
		return netip.AddrPort{}
	}
	return r.addrs[r.which]
}

// registered reports whether the relay knows where we are.
func (r *relayClient) registered(at moment) bool { return at < r.until }

// problem says what is wrong, for the operator.
func (r *relayClient) problem(at moment) string {
	switch {
	case len(r.addrs) == 0:
		return "its name does not resolve"
	case r.registered(at):
		return ""
	case r.unanswered == 0:
		return "not asked yet"
	case r.heardAt == 0:
		return "no answer: wrong address or key, UDP blocked, or the relay does not list this router"
	}
	return "no answer any more"
}

// mayCome reports whether a frame of the relay can have come over this path.
func (r *relayClient) mayCome(from Path, control bool) bool {
	return control == from.VNI.IsSet() && slices.Contains(r.addrs, from.Addr)
}

// run registers, or does so again.
func (r *relayClient) run(at moment) {
	if len(r.addrs) == 0 {
		r.due = never
		return
	}
	if r.waiting {
		r.unanswered++
		if len(r.addrs) > 1 && r.unanswered%2 == 0 {
			r.which = (r.which + 1) % len(r.addrs)
		}
	}
	r.waiting, r.challenges = true, 0
	r.due = at + r.delay
	r.delay = min(2*r.delay, maxDelay)
	r.register(at)
}

func (r *relayClient) register(at moment) {
	r.tx, r.askedAt = r.a.txID(), at
	r.send(disco.RelayMessage{Type: disco.TypeRegister, TxID: r.tx, Cookie: r.cookie}, Path{Addr: r.addr()})
}

// AskRelays registers with all relays now, at most once a second, so that
// [Agent.NetCheck] tells a moment later what they answer.
func (a *Agent) AskRelays(now time.Time) {
	at := a.advance(now)
	for _, r := range a.relays {
		r.askAgain(at)
	}
}

// askAgain registers now, at most once a second.
func (r *relayClient) askAgain(at moment) {
	if len(r.addrs) == 0 {
		return
	}
	r.delay = minDelay
	r.due = min(r.due, max(at, r.askedAt+minDelay))
}

// send sends a message, with the control bit if over has a VNI.
func (r *relayClient) send(m disco.RelayMessage, over Path) {
	r.a.body = m.AppendBody(r.a.body[:0])
	r.a.send(m.Type, &r.contact, over, over.VNI.IsSet())
}

// received handles an authentic message of the relay.
func (r *relayClient) received(at moment, from Path, control bool, t disco.MessageType, body []byte) drop {
	var m disco.RelayMessage
	if m.Decode(body) != nil {
		return dropMalformed
	}
	if m.Addr.IsValid() {
		m.Addr = unmapped(m.Addr)
	}
	why := dropUnexpected
	switch {
	case control:
		if m.VNI == from.VNI.Value() {
			why = r.receivedOfSession(at, from, &m)
		}
	case t == disco.TypeChallenge:
		why = r.receivedChallenge(at, &m)
	case t == disco.TypeRegistered:
		why = r.receivedRegistered(at, from, &m)
	case t == disco.TypeAllocated:
		why = r.receivedAllocated(at, from, &m)
	}
	if why == dropNone {
		r.a.stats.received[t]++
	}
	return why
}

func (r *relayClient) receivedChallenge(at moment, m *disco.RelayMessage) drop {
	if r.waiting && m.TxID == r.tx {
		if r.challenges++; r.challenges > maxChallenges {
			return dropLimited
		}
		r.cookie = m.Cookie
		r.register(at)
		return dropNone
	}
	if s := r.sessionOf(func(s *session) bool { return s.allocating && s.tx == m.TxID }); s != nil {
		if s.challenges++; s.challenges > maxChallenges {
			return dropLimited
		}
		// The relay was restarted, or sees us elsewhere.
		r.cookie = m.Cookie
		r.askAgain(at)
		s.sendAllocate(at)
		return dropNone
	}
	return dropUnexpected
}

func (r *relayClient) receivedRegistered(at moment, from Path, m *disco.RelayMessage) drop {
	if !r.waiting || m.TxID != r.tx || from.Addr != r.addr() {
		return dropUnexpected
	}
	restarted := r.generation != m.Generation && r.generation != 0
	moved := r.observed != m.Addr && r.observed.IsValid()
	first := !r.registered(at)
	r.waiting, r.unanswered = false, 0
	r.delay, r.due = minDelay, at+renewAfter
	r.cookie, r.generation, r.observed = m.Cookie, m.Generation, m.Addr
	r.renewed, r.rtt = at, max(at-r.askedAt, time.Microsecond)
	life := time.Duration(m.Seconds) * time.Second
	if life < 2*minDelay {
		life = registeredFor
	}
	r.until = at + life
	if life < 2*renewAfter {
		r.due = at + life/2
	}
	r.a.ours.observe(at, r.key, true, m.Addr)
	if first || restarted {
		r.a.log.Info("registered with relay", "relay", r.name, "addr", r.addr(), "observed", m.Addr, "restarted", restarted)
	}
	for i := range r.a.order {
		if first || restarted || moved {
			r.a.order[i].peer.relayIsThere(at, r, restarted, moved)
		}
	}
	return dropNone
}

// sessionOf returns the session over this relay that f is true for.
func (r *relayClient) sessionOf(f func(*session) bool) *session {
	for i := range r.a.order {
		for _, s := range r.a.order[i].peer.sessions {
			if s.relay == r && f(s) {
				return s
			}
		}
	}
	return nil
}
