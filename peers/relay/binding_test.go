// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

func TestBind(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	w.register(b)
	s := w.one(a, w.allocate(a, b, w.register(a).Cookie), disco.TypeAllocated)
	vni := vniOf(s)
	w.stuck(vni, a.addr, DropNotLeg)
	challenge := w.bindChallenge(a, s)
	w.stuck(vni, a.addr, DropNotLeg) // a challenge binds nothing
	w.one(a, w.ask(a, vni, bindAnswer(s, challenge.Cookie)), disco.TypeBound)
	w.stuck(vni, a.addr, DropNotBound)
	w.stuck(vni, b.addr, DropNotLeg)
	w.bind(b, s)
	w.routes(vni, a.addr, b.addr)
	w.routes(vni, b.addr, a.addr)
	w.stuck(vni, address(99), DropNotLeg)
	w.stuck(0, a.addr, DropUnknownVNI)
	// The answer was lost: the same question does again.
	w.one(a, w.ask(a, vni, bindAnswer(s, challenge.Cookie)), disco.TypeBound)
}

func TestBindAnswerNeedsItsCookie(t *testing.T) {
	w := newWorld(t, 3, TableOptions{})
	a, b, c := w.people[0], w.people[1], w.people[2]
	w.register(b)
	w.register(c)
	registered := w.register(a).Cookie
	s := w.one(a, w.allocate(a, b, registered), disco.TypeAllocated)
	other := w.one(a, w.allocate(a, c, registered), disco.TypeAllocated)
	vni := vniOf(s)
	good, ofB, ofOther := w.bindChallenge(a, s).Cookie, w.bindChallenge(b, s).Cookie, w.bindChallenge(a, other).Cookie
	bent := good
	bent[0] ^= 1
	for name, cookie := range map[string][32]byte{
		"zero": {}, "changed": bent, "of the registration": registered,
		"of the other client": ofB, "of another session": ofOther,
	} {
		t.Run(name, func(t *testing.T) {
			w.TB = t
			w.dropped(DropCookie, func() []letter { return w.ask(a, vni, bindAnswer(s, cookie)) })
		})
	}
	w.TB = t
	home := a.addr
	a.addr = address(99) // the cookie names the address
	w.dropped(DropCookie, func() []letter { return w.ask(a, vni, bindAnswer(s, good)) })
	a.addr = home
	w.now = w.now.Add(4 * time.Minute) // too old, and the session is over
	w.one(a, w.ask(a, vni, bindAnswer(s, good)), disco.TypeUnknown)
}

func TestBindOfNoSessionIsUnknown(t *testing.T) {
	w := newWorld(t, 3, TableOptions{})
	a, b, c := w.people[0], w.people[1], w.people[2]
	s := w.session(a, b)
	for _, typ := range []disco.MessageType{disco.TypeBind, disco.TypeBindAnswer} {
		for name, tt := range map[string]struct {
			who  *person
			vni  uint32
			gen  uint64
			want bool
		}{
			"another VNI":        {a, s.VNI ^ 1<<3, s.Generation, true},
			"another use":        {a, s.VNI ^ 1<<20, s.Generation, true},
			"no slot":            {a, s.VNI | w.table.slots.mask, s.Generation, true},
			"another generation": {a, s.VNI, s.Generation + 1, true},
			"somebody else":      {c, s.VNI, s.Generation, true},
		} {
			v, err := geneve.MakeVNI(tt.vni)
			if err != nil {
				t.Fatal(err)
			}
			u := w.one(tt.who, w.ask(tt.who, v, disco.RelayMessage{Type: typ, VNI: tt.vni, Generation: tt.gen}), disco.TypeUnknown)
			if u.VNI != tt.vni || u.vni != v || u.Generation != 0 || u.TxID == (disco.TxID{}) {
				t.Errorf("%s: %+v", name, u)
			}
		}
	}
	w.routes(vniOf(s), a.addr, b.addr)
}

func TestLegMoves(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	s := w.session(a, b)
	vni, home, away := vniOf(s), a.addr, address(99)

	recorded := w.bindChallenge(a, s).Cookie // an answer that will be sent again later
	w.one(a, w.ask(a, vni, bindAnswer(s, recorded)), disco.TypeBound)
	a.addr = away
	w.bind(a, s)
	w.routes(vni, away, b.addr)
	w.routes(vni, b.addr, away)
	w.stuck(vni, home, DropNotLeg)

	// From where the client was, with a young cookie of that address: no.
	a.addr = home
	w.dropped(DropCookie, func() []letter { return w.ask(a, vni, bindAnswer(s, recorded)) })
	w.routes(vni, b.addr, away)
	// The client itself may go back.
	w.bind(a, s)
	w.routes(vni, b.addr, home)
}

// Nothing can go round in circles: neither both legs at one address, nor a leg at
// the relay (see TestBadQuestions).
func TestBothLegsAtOneAddress(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	w.register(b)
	s := w.one(a, w.allocate(a, b, w.register(a).Cookie), disco.TypeAllocated)
	home := b.addr
	b.addr = a.addr
	cookie := w.bindChallenge(b, s).Cookie // nobody is bound yet
	w.bind(a, s)
	w.dropped(DropSameAddress, func() []letter { return w.ask(b, vniOf(s), bindAnswer(s, cookie)) })
	m := disco.RelayMessage{Type: disco.TypeBind, VNI: s.VNI, Generation: s.Generation}
	w.dropped(DropSameAddress, func() []letter { return w.ask(b, vniOf(s), m) })
	w.stuck(vniOf(s), a.addr, DropNotBound)
	b.addr = home
	w.bind(b, s)
	w.routes(vniOf(s), a.addr, b.addr)
}
