// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

func TestAnswersOfOneClient(t *testing.T) {
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	cookie := w.register(a).Cookie
	w.pass(time.Minute) // both buckets are full
	challenges := func(n int) int {
		before := w.seen[disco.TypeChallenge]
		for range n {
			w.ask(a, 0, disco.RelayMessage{Type: disco.TypeRegister})
		}
		return w.seen[disco.TypeChallenge] - before
	}
	if n := challenges(1000); n != answersBurst {
		t.Errorf("%d challenges at once, want %d", n, answersBurst)
	}
	if n := w.drops()[DropClientLimit.String()]; n != 1000-answersBurst {
		t.Errorf("%d dropped, want %d", n, 1000-answersBurst)
	}
	w.pass(time.Second)
	if n := challenges(1000); n != answersClient {
		t.Errorf("%d challenges a second later, want %d", n, answersClient)
	}
	// The client renews what it has all the same, and others are not concerned.
	w.one(a, w.ask(a, 0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: cookie}), disco.TypeRegistered)
	w.register(b)
	w.pass(time.Minute)
	registered := 0
	for range 1000 {
		registered += len(w.ask(a, 0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: cookie}))
	}
	if registered != answersBurst {
		t.Errorf("registered %d times at once, want %d", registered, answersBurst)
	}
}

func TestAnswersInTotal(t *testing.T) {
	const clients = 20
	w := newWorld(t, clients, TableOptions{})
	n := 0
	for _, p := range w.people {
		frame := w.seal(p, disco.RelayMessage{Type: disco.TypeRegister})
		for range answersBurst {
			w.table.Control(w.now, p.addr, 0, frame, func(netip.AddrPort, geneve.VNI, []byte) { n++ })
		}
	}
	if n != answersTotal {
		t.Errorf("%d answers at once, want %d", n, answersTotal)
	}
	if got := w.drops()[DropTotalLimit.String()]; got != clients*answersBurst-answersTotal {
		t.Errorf("%d dropped, want %d", got, clients*answersBurst-answersTotal)
	}
}

// Registers and Binds from 100,000 addresses leave nothing behind.
func TestFloodKeepsNoState(t *testing.T) {
	const flood = 100_000
	w := newWorld(t, 2, TableOptions{})
	a, b := w.people[0], w.people[1]
	w.register(b)
	s := w.one(a, w.allocate(a, b, w.register(a).Cookie), disco.TypeAllocated)
	bind := disco.RelayMessage{Type: disco.TypeBind, VNI: s.VNI, Generation: s.Generation}
	before := w.table.Stats(w.now)
	frames := [][]byte{
		w.seal(a, bind), w.seal(a, bindAnswer(s, [32]byte{1})),
	}
	plain := w.seal(a, disco.RelayMessage{Type: disco.TypeRegister, Cookie: [32]byte{1}})
	forged := append([]byte(nil), plain...)
	forged[11]++
	answers := 0
	count := func(netip.AddrPort, geneve.VNI, []byte) { answers++ }
	heap := heapBytes()
	for i := range flood {
		from := address(1000 + i)
		for _, f := range frames {
			w.table.Control(w.now, from, vniOf(s), f, count)
		}
		w.table.Control(w.now, from, 0, plain, count)
		w.table.Control(w.now, from, 0, forged, count)
		w.table.Route(w.now, vniOf(s), from)
	}
	if grown := heapBytes() - heap; grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	after := w.table.Stats(w.now)
	if after.Sessions != before.Sessions || after.Registrations != before.Registrations || after.Bound != 0 {
		t.Errorf("state grew from %+v to %+v", before, after)
	}
	if answers > answersBurst {
		t.Errorf("%d answers, want at most %d", answers, answersBurst)
	}
	if got := after.Dropped[DropUnknownTag.String()]; got != flood {
		t.Errorf("%d of unknown tag, want %d", got, flood)
	}
	w.stuck(vniOf(s), a.addr, DropNotLeg)
}

// heapBytes returns the size of the heap after a collection.
func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestByteRate(t *testing.T) {
	const second = int64(time.Second)
	for _, tt := range []struct {
		perSecond int
		burst     int // bytes
	}{
		{1 << 20, 1 << 18},
		{10_000, minByteBurst},
		{1 << 30, 1 << 28},
	} {
		r := newByteRate(tt.perSecond)
		for _, size := range []int{100, 1452, 65507} {
			var b byteBucket
			at, let := 5*second, 0
			for b.take(at, size, r) {
				let += size
			}
			if low := tt.burst - size - tt.burst/100; let < low || let > tt.burst+tt.burst/100 {
				t.Errorf("%d bytes/s: %d bytes of %d at once, want %d to %d", tt.perSecond, let, size, low, tt.burst)
			}
			const tries = 20_000 // at twice the rate
			begin := at
			passed := 0.0
			for range tries {
				if at += r.cost(size) / 2; b.take(at, size, r) {
					passed += float64(size)
				}
			}
			want := float64(at-begin) / 1e9 * float64(tt.perSecond)
			if passed < want*0.98-float64(size) || passed > want*1.02+float64(size) {
				t.Errorf("%d bytes/s: %.0f bytes of %d in %d ns, want %.0f", tt.perSecond, passed, size, at-begin, want)
			}
		}
	}
	var b byteBucket
	for range 100 {
		if !b.take(0, 1<<30, byteRate{}) {
			t.Fatal("limited without a limit")
		}
	}
}
