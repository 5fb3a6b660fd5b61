// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"testing"
	"time"
)

// primaries counts how often the path in use changed since the first n uses.
func (r *remote) primaries(n int) int {
	changes := 0
	for i := max(n, 1); i < len(r.uses); i++ {
		if r.uses[i].Primary != r.uses[i-1].Primary {
			changes++
		}
	}
	return changes
}

func TestLossyDirect(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, 10+seed)
		a, b, _ := pair(w, nil, nil)
		w.both("a", "b", func(l *link) { l.loss = 0.3 })
		w.talk(a, b, 20*time.Millisecond)
		w.until(time.Minute, "direct", func() bool { return a.direct(b) && b.direct(a) })
		from, fromB := len(a.peer(b).uses), len(b.peer(a).uses)
		w.run(10 * time.Minute)
		if n := max(a.peer(b).primaries(from), b.peer(a).primaries(fromB)); n > 2 {
			t.Errorf("seed %d: %d changes in 10 minutes: %+v", w.seed, n, a.peer(b).uses[from:])
		}
	}
}

func TestLatencyChanges(t *testing.T) {
	w := newWorld(t, 20)
	r1, r2 := w.relay("r1", "203.0.113.1:7000"), w.relay("r2", "203.0.113.2:7000")
	a, b := w.host("a", "192.0.2.1:1", nil), w.host("b", "192.0.2.2:1", nil)
	a.useRelays(r1, r2)
	b.useRelays(r1, r2)
	w.knows(a, b, "", "")
	w.both("a", "b", cut)
	set := func(r string, d, jitter time.Duration) {
		for _, h := range []string{"a", "b"} {
			w.both(h, r, func(l *link) { l.latency, l.jitter = d, jitter })
		}
	}
	set("r1", 20*time.Millisecond, 4*time.Millisecond)
	set("r2", 21*time.Millisecond, 4*time.Millisecond)
	w.run(2 * time.Second)
	w.talk(a, b, 20*time.Millisecond)
	w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) && b.relayed(a) })
	w.run(10 * time.Second)
	from := len(a.peer(b).uses)
	for i := range 60 { // small changes, up and down
		set("r1", time.Duration(19+i%3)*time.Millisecond, 4*time.Millisecond)
		w.run(10 * time.Second)
	}
	if n := a.peer(b).primaries(from); n > 0 {
		t.Errorf("%d changes: %+v", n, a.peer(b).uses)
	}
	// A large change is followed once.
	other := map[bool]string{true: "r2", false: "r1"}[a.over(b).Addr == r1.addr]
	set(other, 5*time.Millisecond, time.Millisecond)
	w.run(time.Minute)
	if n := a.peer(b).primaries(from); n != 1 || a.status(b).Choice.Why != "better" {
		t.Errorf("%d changes: %+v", n, a.peer(b).uses)
	}
}

func TestFlappingDirect(t *testing.T) {
	w := newWorld(t, 21)
	a, b, _ := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	from := len(a.peer(b).uses)
	// It works for 5 s, and then not for 5 s.
	for range 30 {
		w.both("a", "b", cut)
		w.run(5 * time.Second)
		w.both("a", "b", repair)
		w.run(5 * time.Second)
	}
	n := a.peer(b).primaries(from)
	t.Logf("%d changes in 5 minutes", n)
	if n > 30 { // 60 without hold-down
		t.Errorf("%d changes: %+v", n, a.peer(b).uses[from:])
	}
	w.run(time.Minute)
	if !a.direct(b) {
		t.Error("not direct again")
	}
}

func TestRelayRestart(t *testing.T) {
	w := newWorld(t, 22)
	a, b, r := pair(w, nil, nil)
	w.both("a", "b", cut)
	w.talk(a, b, 20*time.Millisecond)
	w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) && b.relayed(a) })
	w.run(time.Minute)
	for range 3 {
		a.peer(b).longest = 0
		old := a.over(b)
		r.restart()
		w.until(10*time.Second, "another session", func() bool {
			return a.relayed(b) && a.over(b) != old && b.over(a) == a.over(b)
		})
		w.run(30 * time.Second)
		t.Logf("nothing came for %v", a.peer(b).longest)
		if a.peer(b).longest > 5*time.Second {
			t.Errorf("nothing came for %v", a.peer(b).longest)
		}
	}
}

// While the direct path works, a restart of the relay is noticed as well, so that
// the spare is there when it is needed.
func TestRelayRestartAsSpare(t *testing.T) {
	w := newWorld(t, 23)
	a, b, r := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	r.restart()
	w.run(time.Minute)
	a.peer(b).longest = 0
	w.both("a", "b", cut)
	w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) && b.relayed(a) })
	w.run(5 * time.Second)
	if a.peer(b).longest > 800*time.Millisecond {
		t.Errorf("nothing came for %v", a.peer(b).longest)
	}
}

func TestNATRebinding(t *testing.T) {
	for _, tt := range []struct {
		name string
		sym  bool
		want time.Duration
	}{
		{"direct", false, 1500 * time.Millisecond},
		{"relayed", true, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 24)
			na, nb := w.nat("198.51.100.1", tt.sym, samePort), w.nat("198.51.100.2", tt.sym, samePort)
			a, b, _ := pair(w, na, nb)
			w.talk(a, b, 20*time.Millisecond)
			w.run(10 * time.Second)
			if a.direct(b) == tt.sym {
				t.Fatalf("direct %v", a.direct(b))
			}
			for i := range 4 {
				w.run(40 * time.Second)
				a.peer(b).longest, b.peer(a).longest = 0, 0
				[]*nat{na, nb}[i%2].rebind()
				w.run(10 * time.Second)
				gap := max(a.peer(b).longest, b.peer(a).longest)
				t.Logf("nothing came for %v", gap)
				if gap > tt.want {
					t.Errorf("nothing came for %v", gap)
				}
				w.until(10*time.Second, "direct again", func() bool { return a.direct(b) != tt.sym && b.direct(a) != tt.sym })
			}
		})
	}
}

func TestNarrow(t *testing.T) {
	t.Run("direct is narrow", func(t *testing.T) {
		w := newWorld(t, 25)
		a, b, _ := pair(w, nil, nil)
		w.both("a", "b", func(l *link) { l.mtu = 1380 })
		w.talk(a, b, 20*time.Millisecond)
		w.run(20 * time.Second)
		if !a.relayed(b) || !b.relayed(a) {
			t.Fatalf("not relayed\n%s", w.dump())
		}
		for _, s := range a.status(b).Paths {
			if want := map[bool]int{true: DefaultWidth, false: 1360}[s.Path.VNI.IsSet()]; s.Width != want {
				t.Errorf("%v has width %d, want %d", s.Path, s.Width, want)
			}
		}
		// It is wide after all: found out when it is measured again.
		w.both("a", "b", func(l *link) { l.mtu = 0 })
		w.run(11 * time.Minute)
		if !a.direct(b) {
			t.Errorf("not direct\n%s", w.dump())
		}
	})
	t.Run("becomes narrow", func(t *testing.T) {
		w := newWorld(t, 26)
		a, b, _ := pair(w, nil, nil)
		w.talk(a, b, 20*time.Millisecond)
		w.run(20 * time.Second)
		w.both("a", "b", func(l *link) { l.mtu = 1300 })
		w.run(11 * time.Minute)
		if !a.relayed(b) {
			t.Errorf("not relayed\n%s", w.dump())
		}
	})
	t.Run("all are narrow", func(t *testing.T) {
		w := newWorld(t, 27)
		a, b, _ := pair(w, nil, nil)
		for _, l := range [][2]string{{"a", "b"}, {"a", "relay"}, {"b", "relay"}} {
			w.both(l[0], l[1], func(l *link) { l.mtu = 1300 })
		}
		w.talk(a, b, 20*time.Millisecond)
		w.run(30 * time.Second)
		if !a.direct(b) || !b.direct(a) {
			t.Errorf("not direct\n%s", w.dump())
		}
	})
}

func TestPlainPeer(t *testing.T) {
	w := newWorld(t, 28)
	r := w.relay("relay", "203.0.113.9:7000")
	a, b := w.host("a", "192.0.2.1:1", nil), w.host("b", "192.0.2.2:1", nil)
	b.plain = true
	a.useRelays(r)
	w.knows(a, b, "192.0.2.2:1", "")
	w.run(time.Second)
	w.talk(a, b, 20*time.Millisecond)
	w.run(9 * time.Minute)
	if n := a.frames[b.addr]; n != 3 {
		t.Errorf("%d Pings to a plain peer, want 3", n)
	}
	if s := a.status(b); s.Router != "no" || len(a.peer(b).uses) != 0 || a.peer(b).watch {
		t.Errorf("%+v, watch %v, uses %+v", s, a.peer(b).watch, a.peer(b).uses)
	}
	w.run(3 * time.Minute)
	if n := a.frames[b.addr]; n != 6 {
		t.Errorf("%d Pings after 12 minutes, want 6", n)
	}
	// It becomes a router, and says so.
	b.plain = false
	b.restart()
	b.agent.AddPeer(w.now, a.id.Public())
	b.schedule()
	w.until(2*time.Second, "direct", func() bool { return b.direct(a) && a.direct(b) })
	if got := w.lost(a, b); got > 2 {
		t.Errorf("%d lost", got)
	}
}

func TestClocks(t *testing.T) {
	t.Run("30 minutes apart", func(t *testing.T) {
		for _, offset := range []time.Duration{30 * time.Minute, -30 * time.Minute, 59 * time.Minute, -59 * time.Minute} {
			w := newWorld(t, 29)
			a, b, _ := pair(w, nil, nil)
			b.offset = offset
			w.run(time.Second)
			w.talk(a, b, 3*time.Second)
			w.until(5*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
			from := len(a.peer(b).uses)
			w.run(80 * time.Minute) // the epochs of both change
			if !a.direct(b) || a.peer(b).primaries(from) != 0 {
				t.Errorf("%v: %+v", offset, a.peer(b).uses)
			}
		}
	})
	t.Run("a clock jumps", func(t *testing.T) {
		for _, jump := range []time.Duration{2 * time.Hour, -2 * time.Hour, 20*time.Hour + 20*time.Minute} {
			w := newWorld(t, 30)
			a, b, r := pair(w, nil, nil)
			w.talk(a, b, 3*time.Second)
			w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
			from := len(a.peer(b).uses)
			b.offset = jump
			w.run(150 * time.Minute)
			if n := a.peer(b).primaries(from); n != 0 {
				t.Errorf("%v: %+v", jump, a.peer(b).uses[from:])
			}
			if c := b.agent.NetCheck(); !c.Relays[0].Registered {
				t.Errorf("%v: no registration with %v", jump, r.addr)
			}
			b.offset = 0
			w.run(40 * time.Minute)
			if n := a.peer(b).primaries(from); n != 0 {
				t.Errorf("%v and back: %+v", jump, a.peer(b).uses[from:])
			}
		}
	})
}

func TestQuiet(t *testing.T) {
	w := newWorld(t, 31)
	a, b, _ := pair(w, w.nat("198.51.100.1", false, samePort), w.nat("198.51.100.2", false, samePort))
	stop := w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(time.Minute)
	stop()
	w.run(47 * time.Second)
	before := []uint64{a.agent.stats.sent[1], a.agent.stats.sent[3], b.agent.stats.sent[1], a.agent.stats.sent[19]}
	registers := a.agent.stats.sent[16]
	total := a.total
	w.run(10 * time.Minute)
	if after := []uint64{a.agent.stats.sent[1], a.agent.stats.sent[3], b.agent.stats.sent[1], a.agent.stats.sent[19]}; after[0] != before[0] || after[1] != before[1] || after[2] != before[2] || after[3] != before[3] {
		t.Errorf("pings, candidates, allocates: %v, before %v", after, before)
	}
	if n := a.agent.stats.sent[16] - registers; n < 23 || n > 26 || a.total-total != int(n) {
		t.Errorf("%d Registers in 10 minutes, %d frames", n, a.total-total)
	}
	if a.over(b).IsSet() || len(a.agent.Stats().Received) == 0 {
		t.Errorf("still uses %v", a.over(b))
	}
	// And again. Both NATs have forgotten everything but the relay.
	arrived := len(b.peer(a).seen)
	w.talk(a, b, 20*time.Millisecond)
	took := w.until(3*time.Second, "traffic again", func() bool { return len(b.peer(a).seen) > arrived+10 })
	t.Logf("traffic again after %v", took)
	w.until(8*time.Second, "direct again", func() bool { return a.direct(b) && b.direct(a) })
}

func TestFirstTrafficIsResent(t *testing.T) {
	w := newWorld(t, 32)
	a, b, _ := pair(w, w.nat("198.51.100.1", true, samePort), w.nat("198.51.100.2", true, samePort))
	w.talk(a, b, time.Second)
	took := w.until(time.Second, "the first packet", func() bool { return len(b.peer(a).seen) > 0 })
	t.Logf("first packet after %v", took)
	if a.peer(b).resent != 1 || took > 400*time.Millisecond {
		t.Errorf("the initiation was sent again %d times, the first packet took %v", a.peer(b).resent, took)
	}
}
