// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// Route, forwarding, questions, expiry, the list and the statistics at once. What
// is checked beside the race detector: a frame never goes to anybody but the other
// leg of its session.
func TestConcurrent(t *testing.T) {
	const pairs, rounds = 4, 60
	w := newWorld(t, 2*pairs, TableOptions{MaxSessions: pairs, MaxRate: 1 << 30})
	var keys []disco.Key
	for _, p := range w.people {
		keys = append(keys, p.key())
	}
	var clock sync.Mutex
	now := w.now
	read := func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		return now
	}
	var talking, others sync.WaitGroup
	done := make(chan struct{})
	for i := range pairs {
		a, b := w.people[2*i], w.people[2*i+1]
		vnis := make(chan geneve.VNI, rounds)
		talking.Go(func() {
			defer close(vnis)
			for range rounds {
				// A world of its own: the helpers are not for concurrent use.
				own := &world{TB: t, table: w.table, relay: w.relay, people: w.people, now: read(), seen: make(map[disco.MessageType]int)}
				if v, ok := quietSession(own, a, b); ok {
					vnis <- v
				}
			}
		})
		others.Go(func() {
			var out outbox
			out.prepare(w.table, postOffice{sink{}})
			var vni geneve.VNI
			for {
				select {
				case <-done:
					return
				case v, ok := <-vnis:
					if !ok {
						return
					}
					vni = v
				default:
				}
				at := read()
				for _, d := range [][2]netip.AddrPort{{a.addr, b.addr}, {b.addr, a.addr}} {
					if leg, drop := w.table.Route(at, vni, d[0]); drop == DropNone && leg.Addr() != d[1] {
						t.Errorf("a frame from %v goes to %v, want %v", d[0], leg.Addr(), d[1])
					}
					out.add(at, vni, d[0], []byte("frame"))
				}
				out.flush(at)
			}
		})
	}
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			clock.Lock()
			now = now.Add(10 * time.Second) // sessions end all the time
			clock.Unlock()
			w.table.Tick(read())
			w.table.SetAllowed(keys[i%2*2:]) // those of the first pair, too
			w.table.Sessions()
			w.table.Stats(read())
		}
	})
	talking.Wait()
	close(done)
	others.Wait()
	w.table.SetAllowed(keys)
	w.now = read().Add(2 * time.Hour)
	w.table.Tick(w.now)
	w.session(w.people[0], w.people[1])
	if n := w.table.Stats(w.now).Sessions; n != 1 {
		t.Errorf("%d sessions at the end, want 1", n)
	}
}

// quietSession does what session does, and gives up when anything else happens.
func quietSession(w *world, a, b *person) (geneve.VNI, bool) {
	ask := func(p *person, vni geneve.VNI, m disco.RelayMessage) (disco.RelayMessage, bool) {
		l := w.ask(p, vni, m)
		if len(l) == 0 || l[0].who != p {
			return disco.RelayMessage{}, false
		}
		return l[0].RelayMessage, true
	}
	var cookie [32]byte
	for _, p := range []*person{b, a} {
		m, ok := ask(p, 0, disco.RelayMessage{Type: disco.TypeRegister})
		if !ok {
			return 0, false
		}
		if m, ok = ask(p, 0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: m.Cookie}); !ok {
			return 0, false
		}
		cookie = m.Cookie
	}
	s, ok := ask(a, 0, disco.RelayMessage{Type: disco.TypeAllocate, Cookie: cookie, Key: b.key()})
	if !ok || s.Type != disco.TypeAllocated || s.Status != disco.StatusDone {
		return 0, false
	}
	vni := vniOf(letter{RelayMessage: s})
	for _, p := range []*person{a, b} {
		c, ok := ask(p, vni, disco.RelayMessage{Type: disco.TypeBind, VNI: s.VNI, Generation: s.Generation})
		if !ok {
			return 0, false
		}
		if c, ok = ask(p, vni, bindAnswer(letter{RelayMessage: s}, c.Cookie)); !ok || c.Type != disco.TypeBound {
			return 0, false
		}
	}
	return vni, true
}
