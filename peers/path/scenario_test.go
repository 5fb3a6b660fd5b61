// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// pair makes two hosts that share a relay.
func pair(w *world, natA, natB *nat) (a, b *host, r *relayHost) {
	r = w.relay("relay", "203.0.113.9:7000")
	addrA, addrB := "192.0.2.1:51820", "192.0.2.2:51820"
	if natA != nil {
		addrA = "10.1.0.2:51820"
	}
	if natB != nil {
		addrB = "10.2.0.2:51820"
	}
	a, b = w.host("a", addrA, natA), w.host("b", addrB, natB)
	a.useRelays(r)
	b.useRelays(r)
	w.knows(a, b, "", "")
	w.run(2 * time.Second) // both are registered
	return a, b, r
}

func TestBothPublic(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.host("a", "192.0.2.1:1", nil), w.host("b", "192.0.2.2:1", nil)
	w.knows(a, b, "192.0.2.2:1", "")
	w.talk(a, b, 20*time.Millisecond)
	w.until(time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(time.Minute)
	if a.peer(b).longest > 100*time.Millisecond || len(a.peer(b).uses) != 1 || len(b.peer(a).uses) != 1 {
		t.Errorf("gap %v, %+v, %+v", a.peer(b).longest, a.peer(b).uses, b.peer(a).uses)
	}
	if s := a.status(b); s.Router != "yes" || s.Latency < 19*time.Millisecond || s.Latency > 21*time.Millisecond || s.Paths[0].Width != DefaultWidth {
		t.Errorf("%+v", s)
	}
}

func TestNATs(t *testing.T) {
	const relayed, direct = false, true
	for _, tt := range []struct {
		name       string
		symA, symB bool
		fA, fB     filter
		want       bool
	}{
		{"easy, easy", false, false, samePort, samePort, direct},
		{"easy, easy by address", false, false, sameAddress, samePort, direct},
		{"full cone, symmetric", false, true, anyRemote, samePort, direct},
		{"address restricted, symmetric", false, true, sameAddress, samePort, direct},
		{"symmetric, full cone", true, false, samePort, anyRemote, direct},
		{"port restricted, symmetric", false, true, samePort, samePort, relayed},
		{"hard, hard", true, true, samePort, samePort, relayed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 2)
			a, b, _ := pair(w, w.nat("198.51.100.1", tt.symA, tt.fA), w.nat("198.51.100.2", tt.symB, tt.fB))
			w.talk(a, b, 20*time.Millisecond)
			took := w.until(3*time.Second, "a path", func() bool { return len(b.peer(a).seen) > 0 && a.over(b).IsSet() && b.over(a).IsSet() })
			if took > 500*time.Millisecond {
				t.Errorf("the first path took %v", took)
			}
			if tt.want == direct {
				w.until(5*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
			}
			w.run(3 * time.Minute)
			if a.direct(b) != tt.want || b.direct(a) != tt.want || a.relayed(b) == tt.want {
				t.Fatalf("direct %v\n%s", a.direct(b), w.dump())
			}
			if n := w.lost(a, b); n > 3 || len(a.peer(b).uses) > 4 {
				t.Errorf("%d lost, %+v", n, a.peer(b).uses)
			}
		})
	}
}

func TestNoUDPBetween(t *testing.T) {
	w := newWorld(t, 3)
	a, b, _ := pair(w, nil, nil)
	w.both("a", "b", cut)
	w.talk(a, b, 20*time.Millisecond)
	w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) && b.relayed(a) })
	w.run(5 * time.Minute)
	if !a.relayed(b) || len(a.peer(b).uses) != 1 || w.lost(a, b) > 3 {
		t.Errorf("lost %d, %+v", w.lost(a, b), a.peer(b).uses)
	}
}

func TestNoRelayBehindNAT(t *testing.T) {
	w := newWorld(t, 4)
	a, b := w.host("a", "10.1.0.2:1", w.nat("198.51.100.1", true, samePort)), w.host("b", "192.0.2.2:1", nil)
	w.knows(a, b, "192.0.2.2:1", "")
	w.talk(a, b, 20*time.Millisecond)
	w.until(time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(time.Minute)
	if got := w.lost(a, b); got > 2 {
		t.Errorf("%d lost", got)
	}
}

func TestCutAndRepair(t *testing.T) {
	for _, tt := range []struct {
		name     string
		how      func(w *world, change func(*link))
		atMost   time.Duration
		one, two bool
	}{
		{"both directions", func(w *world, c func(*link)) { w.both("a", "b", c) }, 800 * time.Millisecond, true, true},
		{"towards b", func(w *world, c func(*link)) { c(w.link("a", "b")) }, 1100 * time.Millisecond, true, false},
		{"towards a", func(w *world, c func(*link)) { c(w.link("b", "a")) }, 1100 * time.Millisecond, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 5)
			a, b, _ := pair(w, nil, nil)
			w.talk(a, b, 10*time.Millisecond)
			w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
			w.run(20 * time.Second)
			for i := range 5 {
				before := w.lost(a, b)
				a.peer(b).longest, b.peer(a).longest = 0, 0
				tt.how(w, cut)
				w.until(800*time.Millisecond+400*time.Millisecond, "doubt of a", func() bool { return a.peer(b).choice.Also.IsSet() || a.relayed(b) })
				w.until(400*time.Millisecond, "doubt of b", func() bool { return b.peer(a).choice.Also.IsSet() || b.relayed(a) })
				w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) && b.relayed(a) })
				w.run(time.Duration(7+i) * time.Second)
				if gap := max(a.peer(b).longest, b.peer(a).longest); gap > tt.atMost {
					t.Errorf("cut %d: nothing came for %v", i, gap)
				}
				if n := w.lost(a, b) - before; n > 100*2 {
					t.Errorf("cut %d: %d lost", i, n)
				}
				before = w.lost(a, b)
				tt.how(w, repair)
				took := w.until(5*time.Second, "direct again", func() bool { return a.direct(b) && b.direct(a) })
				t.Logf("cut %d: gap %v, direct after %v", i, max(a.peer(b).longest, b.peer(a).longest), took)
				w.run(time.Duration(20+7*i) * time.Second)
				if n := w.lost(a, b) - before; n > 4 { // under way now
					t.Errorf("repair %d: %d lost", i, n)
				}
			}
		})
	}
}

// Only one side sends: the other one has nothing to say but to Pings.
func TestOneWay(t *testing.T) {
	w := newWorld(t, 6)
	a, b, _ := pair(w, nil, nil)
	stop := w.talk(a, b, 10*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	stop()
	w.every(10*time.Millisecond, func() { a.peer(b).write(false) })
	w.run(5 * time.Minute)
	if n := a.peer(b).primaries(3); n != 0 || a.agent.stats.doubts != 0 {
		t.Errorf("%d changes, %d doubts: %+v", n, a.agent.stats.doubts, a.peer(b).uses)
	}
	b.peer(a).longest = 0
	w.both("a", "b", cut)
	w.run(10 * time.Second)
	if gap := b.peer(a).longest; gap > time.Second || !a.relayed(b) {
		t.Errorf("nothing came for %v", gap)
	}
	w.both("a", "b", repair)
	w.until(5*time.Second, "direct again", func() bool { return a.direct(b) })
}

// A direct path dies while nothing is sent over it, or next to nothing.
func TestCutWhileQuiet(t *testing.T) {
	w := newWorld(t, 7)
	a, b, _ := pair(w, nil, nil)
	w.talk(a, b, 5*time.Second) // somebody types
	w.until(10*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(31 * time.Second)
	for range 3 {
		w.both("a", "b", cut)
		w.run(time.Minute)
		if !a.relayed(b) || !b.relayed(a) {
			t.Fatalf("not relayed\n%s", w.dump())
		}
		w.both("a", "b", repair)
		w.run(time.Minute)
		if !a.direct(b) || !b.direct(a) {
			t.Fatalf("not direct\n%s", w.dump())
		}
	}
	if n := w.lost(a, b); n > 9 { // one or two for each cut
		t.Errorf("%d lost", n)
	}
}

// Neither distance nor little traffic is a reason to doubt.
func TestNoDoubt(t *testing.T) {
	for _, latency := range []time.Duration{time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		for _, pause := range []time.Duration{10 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond, 4 * time.Second} {
			w := newWorld(t, 61)
			a, b, _ := pair(w, nil, nil)
			w.both("a", "b", func(l *link) { l.latency = latency })
			w.talk(a, b, pause)
			w.until(20*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
			w.run(3 * time.Second)
			doubts := a.agent.stats.doubts + b.agent.stats.doubts
			w.run(2 * time.Minute)
			if n := a.agent.stats.doubts + b.agent.stats.doubts - doubts; n != 0 || !a.direct(b) {
				t.Errorf("latency %v, a packet every %v: %d doubts", latency, pause, n)
			}
		}
	}
}

// Two hosts on one site whose NAT knows no hairpin.
func TestSameSite(t *testing.T) {
	w := newWorld(t, 62)
	r := w.relay("relay", "203.0.113.9:7000")
	n := w.nat("198.51.100.1", false, samePort)
	a, b := w.host("a", "10.1.0.2:51820", n), w.host("b", "10.1.0.3:51820", n)
	a.useRelays(r)
	b.useRelays(r)
	w.knows(a, b, "", "")
	w.run(time.Second)
	w.talk(a, b, 20*time.Millisecond)
	w.until(5*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	if a.over(b).Addr != b.addr {
		t.Errorf("over %v", a.over(b))
	}
}

// The configured endpoint is wrong.
func TestWrongEndpoint(t *testing.T) {
	w := newWorld(t, 63)
	r := w.relay("relay", "203.0.113.9:7000")
	a, b := w.host("a", "192.0.2.1:51820", nil), w.host("b", "192.0.2.2:51820", nil)
	a.useRelays(r)
	b.useRelays(r)
	w.knows(a, b, "192.0.2.77:9", "203.0.113.9:7000") // nobody is there; and the relay itself
	w.run(time.Second)
	w.talk(a, b, 20*time.Millisecond)
	w.until(time.Second, "the first packet", func() bool { return len(b.peer(a).seen) > 0 })
	w.until(5*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	if n := b.agent.stats.dropped[dropAddress]; n == 0 {
		t.Error("the relay's address was not refused as a candidate")
	}
}

// The host moves to another network.
func TestNetworkChange(t *testing.T) {
	w := newWorld(t, 8)
	a, b, _ := pair(w, nil, nil)
	w.talk(a, b, 10*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(20 * time.Second)
	other := w.nat("198.51.100.7", false, samePort)
	for i := range 4 {
		a.peer(b).longest, b.peer(a).longest = 0, 0
		a.nat, a.addr = nil, addrPorts("192.0.2.1:51820")[0]
		if i%2 == 0 {
			a.nat, a.addr = other, addrPorts("10.7.0.2:51820")[0]
		}
		a.agent.SetLocal(w.now, addrPorts(a.addr.String()))
		a.schedule()
		w.run(10 * time.Second)
		gap := max(a.peer(b).longest, b.peer(a).longest)
		t.Logf("nothing came for %v", gap)
		if gap > 500*time.Millisecond || !a.direct(b) || !b.direct(a) {
			t.Errorf("nothing came for %v, over %v and %v", gap, a.over(b), b.over(a))
		}
	}
}

// One router with many peers that can only be reached over the relay.
func TestHub(t *testing.T) {
	w := newWorld(t, 9)
	r := w.relay("relay", "203.0.113.9:7000")
	hub := w.host("hub", "192.0.2.1:51820", nil)
	hub.useRelays(r)
	var others []*host
	for i := range 15 {
		o := w.host(fmt.Sprintf("h%d", i), fmt.Sprintf("192.0.2.%d:51820", 10+i), nil)
		o.useRelays(r)
		w.both("hub", o.name, cut)
		w.knows(hub, o, "", "")
		others = append(others, o)
	}
	w.run(2 * time.Second)
	for _, o := range others {
		w.talk(hub, o, 100*time.Millisecond)
	}
	w.until(5*time.Second, "all are relayed", func() bool {
		for _, o := range others {
			if !hub.relayed(o) || !o.relayed(hub) {
				return false
			}
		}
		return true
	})
	if got := hub.agent.Stats(); got.Relayed != len(others) || got.Sessions != len(others) {
		t.Errorf("%+v", got)
	}
}

// Knows and Carries are called by those who receive.
func TestConcurrentLookups(t *testing.T) {
	w := newWorld(t, 60)
	a, b, r := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	agent, over := a.agent, Path{Addr: r.addr}
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					agent.Knows([8]byte{1})
					agent.Carries(over)
				}
			}
		})
	}
	w.run(10 * time.Second)
	r.restart()
	b.offset = 3 * time.Hour
	w.run(time.Minute)
	close(stop)
	wg.Wait()
	if !a.over(b).IsSet() {
		t.Error("no path")
	}
}
