// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

func TestAllocate(t *testing.T) {
	w := newWorld(t, 3, TableOptions{})
	a, b := w.people[0], w.people[1]
	cookieA := w.register(a).Cookie

	for _, c := range [][32]byte{{}, {1}} {
		w.one(a, w.allocate(a, b, c), disco.TypeChallenge)
	}
	for _, tt := range []struct {
		other *person
		want  disco.Status
	}{
		{b, disco.StatusNotRegistered},
		{w.stranger(9), disco.StatusNotAllowed},
		{a, disco.StatusNotAllowed},
	} {
		l := w.allocate(a, tt.other, cookieA)
		got := w.one(a, l, disco.TypeAllocated)
		if len(l) != 1 || got.Status != tt.want || got.VNI != 0 || got.Generation != 0 || got.Key != tt.other.key() {
			t.Errorf("allocated %+v, want only status %v", l, tt.want)
		}
	}

	cookieB := w.register(b).Cookie
	l := w.allocate(a, b, cookieA)
	if len(l) != 2 {
		t.Fatalf("%d answers, want 2", len(l))
	}
	got, told := w.one(a, l, disco.TypeAllocated), w.one(b, l[1:], disco.TypeAllocated)
	if got.Status != disco.StatusDone || got.Key != b.key() || got.VNI == 0 || got.Seconds != 30 || got.TxID == (disco.TxID{}) {
		t.Errorf("allocated %+v", got)
	}
	if told.TxID != (disco.TxID{}) || told.Key != a.key() || told.VNI != got.VNI || told.Generation != got.Generation || told.Seconds != 30 {
		t.Errorf("told %+v", told)
	}

	// Again, from either side: the same session, and nobody is told twice in 500 ms.
	for _, who := range []struct {
		p, other *person
		cookie   [32]byte
	}{{a, b, cookieA}, {b, a, cookieB}} {
		l = w.allocate(who.p, who.other, who.cookie)
		again := w.one(who.p, l, disco.TypeAllocated)
		if len(l) != 1 || again.VNI != got.VNI || again.Generation != got.Generation || again.Key != who.other.key() {
			t.Errorf("allocated again %+v, want %+v", l, got)
		}
	}
	w.pass(500 * time.Millisecond)
	if l = w.allocate(b, a, cookieB); len(l) != 2 || l[1].who != a || l[1].Key != b.key() {
		t.Errorf("told after 500 ms: %+v", l)
	}
	if n := w.table.Stats(w.now).Sessions; n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

func TestLimitsOfSessions(t *testing.T) {
	const n = 8
	w := newWorld(t, n, TableOptions{MaxSessions: 5, MaxSessionsPerClient: 3})
	cookies := make([][32]byte, n)
	for i, p := range w.people {
		cookies[i] = w.register(p).Cookie
	}
	want := func(i, j int, s disco.Status) {
		t.Helper()
		l := w.one(w.people[i], w.allocate(w.people[i], w.people[j], cookies[i]), disco.TypeAllocated)
		if l.Status != s {
			t.Errorf("%d with %d: %v, want %v", i, j, l.Status, s)
		}
	}
	want(0, 1, disco.StatusDone)
	want(0, 2, disco.StatusDone)
	want(3, 0, disco.StatusDone)
	want(0, 4, disco.StatusLimit) // client 0 has three
	want(4, 0, disco.StatusLimit) // whoever asks
	want(0, 1, disco.StatusDone)  // the ones it has stay
	want(4, 5, disco.StatusDone)
	want(5, 6, disco.StatusDone)
	want(6, 7, disco.StatusLimit) // the relay has five
	w.pass(30 * time.Second)      // none was bound
	if got := w.table.Stats(w.now); got.Sessions != 0 || got.Ended["not_bound"] != 5 {
		t.Errorf("%d sessions, ended %v", got.Sessions, got.Ended)
	}
	want(6, 7, disco.StatusDone)
	want(0, 4, disco.StatusDone)
}

func TestEndOfSessions(t *testing.T) {
	const step = 20 * time.Second
	for _, tt := range []struct {
		name      string
		bind      int           // legs
		heard     [2]bool       // legs that send
		reask     time.Duration // how often the session is allocated again
		from, to  time.Duration // it ends after from and until to
		wantEnded string
	}{
		{"nobody binds", 0, [2]bool{}, 0, 20 * time.Second, 30 * time.Second, "not_bound"},
		{"one binds", 1, [2]bool{}, 0, 20 * time.Second, 30 * time.Second, "not_bound"},
		{"silence", 2, [2]bool{}, 0, 280 * time.Second, 300 * time.Second, "silent"},
		{"one is silent", 2, [2]bool{true, false}, 0, 280 * time.Second, 300 * time.Second, "silent"},
		{"the other is silent", 2, [2]bool{false, true}, 0, 280 * time.Second, 300 * time.Second, "silent"},
		{"not asked for", 2, [2]bool{true, true}, 0, 3580 * time.Second, 3600 * time.Second, "too_long"},
		{"asked for", 2, [2]bool{true, true}, 10 * time.Minute, 3 * time.Hour, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 2, TableOptions{})
			a, b := w.people[0], w.people[1]
			w.register(b)
			s := w.one(a, w.allocate(a, b, w.register(a).Cookie), disco.TypeAllocated)
			for _, p := range w.people[:tt.bind] {
				w.bind(p, s)
			}
			begin, asked := w.now, w.now
			for w.now.Sub(begin) < tt.from {
				if tt.reask > 0 && w.now.Sub(asked) >= tt.reask {
					asked = w.now
					w.allocate(b, a, w.register(b).Cookie)
				}
				for i, p := range []*person{a, b} {
					if tt.heard[i] {
						w.table.Route(w.now, vniOf(s), p.addr)
					}
				}
				w.pass(min(step, tt.from-w.now.Sub(begin)))
			}
			if n := w.table.Stats(w.now).Sessions; n != 1 {
				t.Fatalf("%d sessions after %v, want 1", n, w.now.Sub(begin))
			}
			if tt.to == 0 {
				w.routes(vniOf(s), a.addr, b.addr)
				return
			}
			w.pass(tt.to - tt.from)
			st := w.table.Stats(w.now)
			if st.Sessions != 0 || st.Ended[tt.wantEnded] != 1 {
				t.Errorf("%d sessions after %v, ended %v", st.Sessions, w.now.Sub(begin), st.Ended)
			}
			w.stuck(vniOf(s), a.addr, DropUnknownVNI)
			u := w.one(a, w.ask(a, vniOf(s), disco.RelayMessage{Type: disco.TypeBind, VNI: s.VNI, Generation: s.Generation}), disco.TypeUnknown)
			if u.VNI != s.VNI || u.vni != vniOf(s) {
				t.Errorf("unknown %+v", u)
			}
			w.register(b)
			n := w.one(a, w.allocate(a, b, w.register(a).Cookie), disco.TypeAllocated)
			if n.VNI == s.VNI || n.Generation == s.Generation {
				t.Errorf("the next session is %+v, the one before was %+v", n, s)
			}
		})
	}
}

// A session that is over is so before a Tick says it.
func TestEndWithoutTick(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	w.register(b)
	cookie := w.register(a).Cookie
	s := w.one(a, w.allocate(a, b, cookie), disco.TypeAllocated)
	w.now = w.now.Add(31 * time.Second)
	w.one(a, w.ask(a, vniOf(s), disco.RelayMessage{Type: disco.TypeBind, VNI: s.VNI, Generation: s.Generation}), disco.TypeUnknown)
	n := w.one(a, w.allocate(a, b, cookie), disco.TypeAllocated)
	w.now = w.now.Add(31 * time.Second)
	if l := w.one(a, w.allocate(a, b, cookie), disco.TypeAllocated); l.VNI == n.VNI || l.Generation == n.Generation {
		t.Errorf("allocated %+v again after its end", l)
	}
}

func TestSetAllowedEndsSessions(t *testing.T) {
	w := newWorld(t, 3, TableOptions{})
	a, b, c := w.people[0], w.people[1], w.people[2]
	ab, ac := w.session(a, b), w.session(a, c)
	w.table.SetAllowed([]disco.Key{a.key(), c.key()})
	w.stuck(vniOf(ab), a.addr, DropUnknownVNI)
	w.routes(vniOf(ac), a.addr, c.addr)
	st := w.table.Stats(w.now)
	if st.Sessions != 1 || st.Ended["not_allowed"] != 1 || st.Clients != 2 || st.Registrations != 2 {
		t.Errorf("%+v", st)
	}
	if l := w.allocate(a, b, w.register(a).Cookie); l[0].Status != disco.StatusNotAllowed {
		t.Errorf("allocated %+v", l)
	}
	// Back on the list, it is there as if for the first time.
	w.table.SetAllowed([]disco.Key{a.key(), b.key(), c.key()})
	if l := w.allocate(a, b, w.register(a).Cookie); l[0].Status != disco.StatusNotRegistered {
		t.Errorf("allocated %+v", l)
	}
	w.session(a, b)
}

func TestRestart(t *testing.T) {
	w, v := newWorld(t, 2, TableOptions{}), newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	s, cookie := w.session(a, b), w.register(a).Cookie
	v.people = w.people // the same relay after a restart
	if v.register(a).Generation == w.register(a).Generation {
		t.Error("the generation is the same after a restart")
	}
	v.one(a, v.allocate(a, b, cookie), disco.TypeChallenge)
	v.one(a, v.ask(a, vniOf(s), bindAnswer(s, cookie)), disco.TypeUnknown)
	v.stuck(vniOf(s), a.addr, DropUnknownVNI)
	if n := v.session(a, b); n.Generation == s.Generation {
		t.Errorf("generation %d before and after a restart", n.Generation)
	}
}
