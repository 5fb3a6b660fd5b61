// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// identity returns the n-th identity of a test.
func identity(n int) *disco.Identity {
	var k disco.Key
	binary.BigEndian.PutUint64(k[8:], uint64(n)+1)
	return disco.NewIdentity(k)
}

// address returns the n-th address of a test, each a host of its own.
func address(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 4000)
}

// A person is a client as the tests play it.
type person struct {
	id   *disco.Identity
	pair *disco.Pair
	addr netip.AddrPort
	tx   byte

	mu   sync.Mutex
	tags map[uint64]disco.Tag
}

// tag returns the tag of frames for p in an epoch.
func (p *person) tag(epoch uint64) disco.Tag {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.tags[epoch]
	if !ok {
		if p.tags == nil {
			p.tags = make(map[uint64]disco.Tag)
		}
		t = p.pair.ReceiveTag(epoch)
		p.tags[epoch] = t
	}
	return t
}

func (p *person) key() disco.Key { return p.id.Public() }

// A world is a table with the people around it and a clock.
type world struct {
	testing.TB
	table  *Table
	relay  *disco.Identity
	people []*person
	now    time.Time
	seen   map[disco.MessageType]int // answers
}

// newWorld returns a world of n people, all on the list, at addresses of their own.
func newWorld(tb testing.TB, n int, o TableOptions) *world {
	w := &world{
		TB: tb, relay: identity(0), seen: make(map[disco.MessageType]int),
		now: time.Date(2026, 1, 1, 10, 30, 0, 0, time.UTC),
	}
	for i := 1; i <= n; i++ {
		p := w.stranger(i)
		w.people = append(w.people, p)
		o.Allowed = append(o.Allowed, p.key())
	}
	o.Identity = w.relay
	w.table = NewTable(&o)
	return w
}

// stranger returns somebody who is not on the list.
func (w *world) stranger(n int) *person {
	id := identity(n)
	pair, err := id.Pair(disco.DomainRelay, w.relay.Public())
	if err != nil {
		w.Fatal(err)
	}
	return &person{id: id, pair: pair, addr: address(n)}
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.table.Tick(w.now)
}

// A letter is a frame that the relay sent.
type letter struct {
	to  netip.AddrPort
	vni geneve.VNI
	who *person
	disco.RelayMessage
}

// seal returns the frame with m that p sends.
func (w *world) seal(p *person, m disco.RelayMessage) []byte {
	return p.pair.Seal(nil, disco.Epoch(w.now), m.AppendBody(nil))
}

// ask sends m from where p is and returns what the relay sent, the answer first.
func (w *world) ask(p *person, vni geneve.VNI, m disco.RelayMessage) []letter {
	w.Helper()
	p.tx++
	if m.TxID == (disco.TxID{}) {
		m.TxID = disco.TxID{p.tx, 1}
	}
	return w.deliver(p.addr, vni, w.seal(p, m))
}

// deliver lets a frame arrive, and checks of all answers what must be so always:
// they are not longer than the question, at most two, and open with the key of
// somebody.
func (w *world) deliver(from netip.AddrPort, vni geneve.VNI, question []byte) (letters []letter) {
	w.Helper()
	w.table.Control(w.now, from, vni, question, func(to netip.AddrPort, answerVNI geneve.VNI, frame []byte) {
		if len(frame) > len(question) || answerVNI.IsSet() && !vni.IsSet() {
			w.Errorf("an answer of %d bytes (vni %v) to a question of %d (vni %v)", len(frame), answerVNI, len(question), vni)
		}
		l := letter{to: to, vni: answerVNI}
		for _, p := range w.people {
			if p.tag(disco.Epoch(w.now)) != disco.FrameTag(frame) {
				continue
			}
			body, err := p.pair.Open(nil, frame)
			if err != nil || l.Decode(body) != nil {
				w.Errorf("an answer that is no message: %v", err)
			}
			l.who = p
		}
		if l.who == nil {
			w.Errorf("an answer that nobody can open")
		}
		w.seen[l.Type]++
		letters = append(letters, l)
	})
	if len(letters) > 2 {
		w.Errorf("%d answers to one question", len(letters))
	}
	return letters
}

// one returns the only answer, which has to be of that type and go to p.
func (w *world) one(p *person, letters []letter, t disco.MessageType) letter {
	w.Helper()
	if len(letters) == 0 {
		w.Fatalf("no answer, want %v; dropped %v", t, w.drops())
	}
	l := letters[0]
	if l.Type != t || l.who != p || l.to != p.addr {
		w.Fatalf("the answer is %v to %v, want %v to %v", l.Type, l.to, t, p.addr)
	}
	return l
}

// drops returns the counters that are not zero.
func (w *world) drops() map[string]uint64 {
	m := w.table.Stats(w.now).Dropped
	for k, v := range m {
		if v == 0 {
			delete(m, k)
		}
	}
	return m
}

// dropped fails unless f makes exactly one drop, for that reason, and no answer.
func (w *world) dropped(d Drop, f func() []letter) {
	w.Helper()
	before := w.drops()
	if l := f(); len(l) != 0 {
		w.Errorf("%d answers (%v), want none and drop %v", len(l), l[0].Type, d)
	}
	after := w.drops()
	for name, n := range after {
		want := before[name]
		if name == d.String() {
			want++
		}
		if n != want {
			w.Errorf("dropped %s %d times, want %d", name, n, want)
		}
	}
	if after[d.String()] == 0 {
		w.Errorf("not dropped as %v", d)
	}
}

// cookie lets p ask for a cookie of its address.
func (w *world) cookie(p *person) [32]byte {
	w.Helper()
	return w.one(p, w.ask(p, 0, disco.RelayMessage{Type: disco.TypeRegister}), disco.TypeChallenge).Cookie
}

// register registers p where it is and returns the answer.
func (w *world) register(p *person) letter {
	w.Helper()
	m := disco.RelayMessage{Type: disco.TypeRegister, Cookie: w.cookie(p)}
	return w.one(p, w.ask(p, 0, m), disco.TypeRegistered)
}

// allocate lets a, which has the cookie, ask for a session with b.
func (w *world) allocate(a, b *person, cookie [32]byte) []letter {
	w.Helper()
	return w.ask(a, 0, disco.RelayMessage{Type: disco.TypeAllocate, Cookie: cookie, Key: b.key()})
}

// bindChallenge sends Bind and returns the answer.
func (w *world) bindChallenge(p *person, s letter) letter {
	w.Helper()
	m := disco.RelayMessage{Type: disco.TypeBind, VNI: s.VNI, Generation: s.Generation}
	l := w.one(p, w.ask(p, vniOf(s), m), disco.TypeBindChallenge)
	if l.vni != vniOf(s) || l.VNI != m.VNI || l.Generation != m.Generation {
		w.Errorf("BindChallenge is for vni %v, %d generation %d", l.vni, l.VNI, l.Generation)
	}
	return l
}

func bindAnswer(s letter, cookie [32]byte) disco.RelayMessage {
	return disco.RelayMessage{Type: disco.TypeBindAnswer, VNI: s.VNI, Generation: s.Generation, Cookie: cookie}
}

// bind binds the leg of p to where it is.
func (w *world) bind(p *person, s letter) {
	w.Helper()
	l := w.bindChallenge(p, s)
	b := w.one(p, w.ask(p, vniOf(s), bindAnswer(s, l.Cookie)), disco.TypeBound)
	if b.Addr != p.addr || b.vni != vniOf(s) {
		w.Errorf("bound at %v vni %v, want %v vni %v", b.Addr, b.vni, p.addr, vniOf(s))
	}
}

// session makes a session of a and b, both registered and bound.
func (w *world) session(a, b *person) letter {
	w.Helper()
	w.register(b)
	s := w.one(a, w.allocate(a, b, w.register(a).Cookie), disco.TypeAllocated)
	if s.Status != disco.StatusDone {
		w.Fatalf("no session: %v", s.Status)
	}
	w.bind(a, s)
	w.bind(b, s)
	return s
}

// routes fails unless a frame from an address leads to another.
func (w *world) routes(vni geneve.VNI, from, to netip.AddrPort) {
	w.Helper()
	if leg, drop := w.table.Route(w.now, vni, from); drop != DropNone || leg.Addr() != to {
		w.Errorf("a frame from %v goes to %v (drop %v), want %v", from, leg.Addr(), drop, to)
	}
}

// stuck fails unless a frame from an address is dropped for that reason.
func (w *world) stuck(vni geneve.VNI, from netip.AddrPort, d Drop) {
	w.Helper()
	if leg, drop := w.table.Route(w.now, vni, from); drop != d {
		w.Errorf("a frame from %v goes to %v (drop %v), want drop %v", from, leg.Addr(), drop, d)
	}
}

func vniOf(s letter) geneve.VNI {
	v, err := geneve.MakeVNI(s.VNI)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return v
}
