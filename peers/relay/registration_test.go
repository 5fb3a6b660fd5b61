// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

func TestRegister(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a := w.people[0]
	m := disco.RelayMessage{Type: disco.TypeRegister, TxID: disco.TxID{1, 2, 3}}
	challenge := w.one(a, w.ask(a, 0, m), disco.TypeChallenge)
	if challenge.TxID != m.TxID || challenge.Cookie == [32]byte{} || challenge.vni.IsSet() {
		t.Errorf("challenge %+v", challenge)
	}
	if n := w.table.Stats(w.now).Registrations; n != 0 {
		t.Errorf("%d registrations after a challenge, want none", n)
	}
	m.Cookie, m.TxID = challenge.Cookie, disco.TxID{4}
	got := w.one(a, w.ask(a, 0, m), disco.TypeRegistered)
	if got.TxID != m.TxID || got.Addr != a.addr || got.Seconds != 90 || got.Generation != w.table.generation || got.Cookie == challenge.Cookie {
		t.Errorf("registered %+v", got)
	}
	if n := w.table.Stats(w.now).Registrations; n != 1 {
		t.Errorf("%d registrations, want 1", n)
	}
	// The answer was lost: the same question does again.
	w.one(a, w.ask(a, 0, m), disco.TypeRegistered)
	// Renewals chain cookies.
	for range 40 {
		w.pass(25 * time.Second)
		got = w.one(a, w.ask(a, 0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: got.Cookie}), disco.TypeRegistered)
	}
	w.pass(89 * time.Second)
	if n := w.table.Stats(w.now).Registrations; n != 1 {
		t.Errorf("%d registrations after 89 s, want 1", n)
	}
	w.pass(time.Second)
	if n := w.table.Stats(w.now).Registrations; n != 0 {
		t.Errorf("%d registrations after 90 s, want none", n)
	}
}

func TestRegistrationMovesOnlyWithACookie(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	first := w.register(a)
	home, away := a.addr, address(99)

	a.addr = away
	stale := disco.RelayMessage{Type: disco.TypeRegister, Cookie: first.Cookie}
	w.one(a, w.ask(a, 0, stale), disco.TypeChallenge) // a cookie of another address
	w.register(b)
	told := w.allocate(b, a, w.register(b).Cookie)
	if len(told) != 2 || told[1].to != home {
		t.Fatalf("told at %v, want %v", told, home)
	}
	w.register(a)
	if a2 := w.people[0]; a2.addr != away {
		t.Fatal("test is wrong")
	}
	w.pass(time.Second)
	if told = w.allocate(b, a, w.register(b).Cookie); len(told) != 2 || told[1].to != away {
		t.Fatalf("told at %v, want %v", told, away)
	}

	// Somebody who recorded the registration at home sends it again from there,
	// while its cookie is young: it does not move the registration back.
	a.addr = home
	w.one(a, w.ask(a, 0, stale), disco.TypeChallenge)
	w.pass(time.Second)
	if told = w.allocate(b, a, w.register(b).Cookie); len(told) != 2 || told[1].to != away {
		t.Fatalf("told at %v after a replay, want %v", told, away)
	}
}

func TestCookieOfARegistration(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	cookie := w.cookie(a)
	bent := cookie
	bent[31] ^= 1
	port := &person{id: a.id, pair: a.pair, addr: netip.AddrPortFrom(a.addr.Addr(), a.addr.Port()+1)}
	for name, c := range map[string]struct {
		who    *person
		cookie [32]byte
	}{
		"changed":        {a, bent},
		"zero":           {a, [32]byte{}},
		"of another key": {&person{id: b.id, pair: b.pair, addr: a.addr}, cookie},
		"other port":     {port, cookie},
		"other purpose":  {a, w.table.cookies.bake(&claim{purpose: forBind, key: a.key(), addr: a.addr})},
	} {
		l := w.ask(c.who, 0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: c.cookie})
		if len(l) != 1 || l[0].Type != disco.TypeChallenge {
			t.Errorf("%s: %v, want a challenge", name, l)
		}
	}
	if n := w.table.Stats(w.now).Registrations; n != 0 {
		t.Errorf("%d registrations, want none", n)
	}
	w.one(a, w.ask(a, 0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: cookie}), disco.TypeRegistered)
}

func TestCookieAge(t *testing.T) {
	for _, tt := range []struct {
		into, age time.Duration // how old the secret is, and how old the cookie gets
		good      bool
	}{
		{0, 0, true},
		{0, 2*time.Minute + time.Second, true},
		{0, 4*time.Minute - time.Second, true},
		{0, 4 * time.Minute, false},
		{119 * time.Second, 2 * time.Minute, true},
		{119 * time.Second, 121 * time.Second, false},
		{0, time.Hour, false},
	} {
		w := newWorld(t, 2, TableOptions{})
		a, b := w.people[0], w.people[1]
		w.cookie(b) // the first question makes the first secret
		w.pass(tt.into)
		cookie := w.cookie(a)
		for left := tt.age; left > 0; left -= time.Minute {
			w.pass(min(left, time.Minute))
		}
		want := disco.TypeChallenge
		if tt.good {
			want = disco.TypeRegistered
		}
		w.one(a, w.ask(a, 0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: cookie}), want)
	}
}

func TestEpochs(t *testing.T) {
	w := newWorld(t, 1, TableOptions{})
	a := w.people[0]
	body := (&disco.RelayMessage{Type: disco.TypeRegister, TxID: disco.TxID{9}}).AppendBody(nil)
	for range 3 {
		epoch := disco.Epoch(w.now)
		for off := -2; off <= 2; off++ {
			frame := a.pair.Seal(nil, epoch+uint64(off), body)
			if off < -1 || off > 1 {
				w.dropped(DropUnknownTag, func() []letter { return w.deliver(a.addr, 0, frame) })
				continue
			}
			// The answer has the epoch of the question.
			w.table.Control(w.now, a.addr, 0, frame, func(_ netip.AddrPort, _ geneve.VNI, b []byte) {
				if disco.FrameTag(b) != a.pair.ReceiveTag(epoch+uint64(off)) {
					t.Errorf("the answer to epoch %+d has another one", off)
				}
			})
		}
		if got := w.table.counted.out[disco.TypeChallenge].Load(); got%3 != 0 || got == 0 {
			t.Errorf("%d challenges, want 3 for each round", got)
		}
		w.now = w.now.Add(5 * time.Hour) // without a Tick
	}
}

func TestStrangersGetNoAnswer(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	x := w.stranger(50)
	for _, m := range questions(w, w.people[0]) {
		w.dropped(DropUnknownTag, func() []letter { return w.deliver(x.addr, m.vni, w.seal(x, m.RelayMessage)) })
	}
	// On the list, gone, and there again.
	keys := []disco.Key{w.people[0].key(), w.people[1].key(), x.key()}
	w.people = append(w.people, x)
	if n := w.table.SetAllowed(keys); n != 3 {
		t.Fatalf("%d clients, want 3", n)
	}
	w.register(x)
	w.table.SetAllowed(keys[:2])
	w.dropped(DropUnknownTag, func() []letter { return w.ask(x, 0, disco.RelayMessage{Type: disco.TypeRegister}) })
	w.table.SetAllowed(keys)
	w.register(x)
}

func TestSetAllowedLeavesOutBadKeys(t *testing.T) {
	w := newWorld(t, 1, TableOptions{})
	a := w.people[0].key()
	if n := w.table.SetAllowed([]disco.Key{a, a, {}, {1}, w.relay.Public()}); n != 1 {
		t.Errorf("%d clients, want 1", n)
	}
	if n := w.table.SetAllowed(nil); n != 0 {
		t.Errorf("%d clients, want none", n)
	}
}
