// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"fmt"
	"testing"
	"time"
)

// TestChaos lets 50 networks go wrong in many ways at once, and looks at what must
// be true at all times.
func TestChaos(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, 1000+seed) })
	}
}

func chaos(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	nats := [2]*nat{}
	for i := range nats {
		if w.rng.IntN(4) > 0 {
			nats[i] = w.nat(fmt.Sprintf("198.51.100.%d", i+1), w.rng.IntN(3) == 0, filter(w.rng.IntN(3)))
			nats[i].expiry = time.Duration(30+w.rng.IntN(90)) * time.Second
		}
	}
	a, b, r := pair(w, nats[0], nats[1])
	places := []string{"a", "b", "relay"}
	random := func() (string, string) {
		i := w.rng.IntN(3)
		return places[i], places[(i+1+w.rng.IntN(2))%3]
	}
	for i := range places {
		w.both(places[i], places[(i+1)%3], func(l *link) {
			l.latency = time.Duration(1+w.rng.IntN(100)) * time.Millisecond
			l.jitter = time.Duration(w.rng.IntN(10)) * time.Millisecond
			l.loss = float64(w.rng.IntN(10)) / 100
		})
	}
	stop := w.talk(a, b, time.Duration(20+w.rng.IntN(300))*time.Millisecond)

	trusted := map[*host]time.Time{}
	frames, ticks := map[*host]int{}, map[*host]int{}
	w.every(100*time.Millisecond, func() {
		for h, o := range map[*host]*host{a: b, b: a} {
			p := h.agent.peers[o.id.Public()]
			any := false
			for _, c := range p.cands {
				any = any || c.trusted(h.agent.last)
			}
			switch {
			case !any || p.choice.Primary.IsSet():
				trusted[h] = w.now
			case w.now.Sub(trusted[h]) > 10*time.Second:
				t.Fatalf("seed %d: %s has a trusted path for 10 s and uses none\n%s", seed, h.name, w.dump())
			}
			if p.primary != nil && h.agent.last-p.primary.trustedUntil > time.Second {
				t.Fatalf("seed %d: %s uses a path that is not trusted\n%s", seed, h.name, w.dump())
			}
		}
	})
	w.every(time.Second, func() {
		for _, h := range w.hosts {
			if n := h.total - frames[h]; n > 150 {
				t.Fatalf("seed %d: %s sent %d frames in a second", seed, h.name, n)
			}
			frames[h] = h.total
			if n := h.ticks - ticks[h]; n > 120 {
				t.Fatalf("seed %d: %s ticked %d times in a second\n%s", seed, h.name, n, w.dump())
			}
			ticks[h] = h.ticks
		}
	})

	for range 40 {
		w.run(time.Duration(1+w.rng.IntN(15)) * time.Second)
		x, y := random()
		switch w.rng.IntN(12) {
		case 0, 1:
			w.both(x, y, cut)
		case 2:
			w.link(x, y).cut = true
		case 3, 4, 5:
			w.both(x, y, repair)
		case 6:
			if n := nats[w.rng.IntN(2)]; n != nil {
				n.rebind()
			}
		case 7:
			r.restart()
		case 8:
			w.both(x, y, func(l *link) { l.loss = float64(w.rng.IntN(40)) / 100 })
		case 9:
			w.both(x, y, func(l *link) { l.mtu = []int{0, 1300, 1400}[w.rng.IntN(3)] })
		case 10:
			w.both(x, y, func(l *link) { l.latency = time.Duration(1+w.rng.IntN(200)) * time.Millisecond })
		case 11:
			h := w.hosts[w.rng.IntN(2)]
			h.agent.SetLocal(w.now, addrPorts(h.addr.String()))
			h.schedule()
		}
	}
	// All is well again.
	for i := range places {
		w.both(places[i], places[(i+1)%3], func(l *link) { *l = link{latency: 10 * time.Millisecond} })
	}
	w.run(61 * time.Second)
	if !a.over(b).IsSet() || !b.over(a).IsSet() {
		t.Fatalf("seed %d: no path after a minute\n%s", seed, w.dump())
	}
	easy := nats[0] == nil && nats[1] == nil
	if easy {
		w.until(20*time.Minute, "direct", func() bool { return a.direct(b) && b.direct(a) })
	}
	w.run(10 * time.Second)
	seen := w.lost(a, b)
	w.run(10 * time.Second)
	if n := w.lost(a, b) - seen; n > 4 {
		t.Errorf("seed %d: %d lost on a good network\n%s", seed, n, w.dump())
	}
	stop()
	w.run(time.Minute)
	registers := a.agent.stats.sent[16] + b.agent.stats.sent[16]
	total := a.total + b.total
	w.run(time.Minute)
	if n, m := a.total+b.total-total, int(a.agent.stats.sent[16]+b.agent.stats.sent[16]-registers); n != m {
		t.Errorf("seed %d: %d frames though nothing is going on, %d Registers", seed, n, m)
	}
}
