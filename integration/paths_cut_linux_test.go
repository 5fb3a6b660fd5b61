// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

const (
	cuts = 5
	// cutFor and repairedFor are one cycle. The first is past the silence after which a
	// path is dead, the second past what a path needs to come back.
	cutFor, repairedFor = 5 * time.Second, 7 * time.Second
	// probeEvery is how exact the gaps are.
	probeEvery = 5 * time.Millisecond
	// healLimit is how long traffic may rest, and how long it may take to come back to
	// the direct path, on any machine. What is usual is in the log.
	healLimit = 10 * time.Second
	// lossLimit bounds what a cut costs.
	lossLimit = 2 * time.Second
	// underWay is how long an echo request and its answer may be under way. A cut takes
	// those that are: what is sent this little before it counts as lost by it.
	underWay = time.Second
)

// smallWindows bounds what a TCP connection has under way, so that it does not fill
// the queues of a machine with two processors, and every loss is one of the path.
func smallWindows(hosts ...*lab.Host) {
	for _, h := range hosts {
		h.Sysctl("net/ipv4/tcp_rmem", "4096 16384 32768")
		h.Sysctl("net/ipv4/tcp_wmem", "4096 16384 32768")
	}
}

// A stallWatch finds the longest time in which a number does not grow.
type stallWatch struct {
	n    func() int64
	mu   sync.Mutex
	last int64
	at   time.Time
	max  time.Duration
	stop chan struct{}
	done sync.WaitGroup
}

func watchStalls(n func() int64) *stallWatch {
	w := &stallWatch{n: n, at: time.Now(), stop: make(chan struct{})}
	w.done.Go(func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-w.stop:
				return
			case now := <-ticker.C:
				w.look(now)
			}
		}
	})
	return w
}

func (w *stallWatch) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.max = max(w.max, now.Sub(w.at))
	if n := w.n(); n != w.last {
		w.last, w.at = n, now
	}
}

// longest returns the longest stall since it was last called.
func (w *stallWatch) longest() (d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, w.max = w.max, 0
	return d
}

func (w *stallWatch) end() {
	close(w.stop)
	w.done.Wait()
}

// A cutResult is what one cut and repair did.
type cutResult struct {
	lost     time.Duration // that the lost echo requests stand for
	gap      time.Duration // the longest
	stall    time.Duration // of TCP, the longest
	back     time.Duration // from the repair to packets on the direct path
	lostBack int           // echo requests after the repair
}

// TestCutUnderTCP cuts the direct path between two routers under traffic, again and
// again, while both reach a relay. A TCP connection in both directions goes on and
// delivers every byte, echo requests are lost for a moment, and none when the direct
// path is taken again.
func TestCutUnderTCP(t *testing.T) {
	router(t)
	l := newPathsLab(t, pathsOptions{a: lab.EasyNAT, b: lab.EasyNAT, quiet: true})
	smallWindows(l.a.Host, l.b.Host)
	l.start(t)
	traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
	for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
		l.waitChosen(t, h, false)
	}
	stream := must(traffic.StartStream(l.a.Host, l.b.Host, lab.TunnelB4, lab.Patience))(t)
	ping := l.ping(t, probeEvery)
	stalls := watchStalls(stream.Received)
	defer stalls.end()

	var results []cutResult
	var times []time.Time // of the cuts and repairs by turns
	for range cuts {
		stalls.longest()
		times = append(times, time.Now())
		before := stream.Received()
		l.Cut(l.a, l.b)
		l.waitTraffic(t, "over the relay", l.a, l.relay)
		waitUntil(t, times[len(times)-1].Add(cutFor))
		r := cutResult{stall: stalls.longest()}

		repaired := time.Now()
		times = append(times, repaired)
		l.Repair(l.a, l.b)
		l.waitTraffic(t, "on the direct path", l.a, l.b)
		r.back = time.Since(repaired)
		waitUntil(t, repaired.Add(max(repairedFor, r.back+underWay)))
		if now := stream.Received(); now == before {
			t.Errorf("TCP received nothing more than %d bytes", now)
		}
		results = append(results, r)
	}
	times = append(times, time.Now())
	packets := must(ping.Stop())(t)
	carried, err := stream.Stop()
	if err != nil {
		t.Errorf("TCP: %v", err)
	}

	var gaps, stalled []time.Duration
	for i := range results {
		r, cut, repaired, next := &results[i], times[2*i].Add(-underWay), times[2*i+1], times[2*i+2].Add(-underWay)
		r.lost = time.Duration(packets.Lost(cut, repaired)) * probeEvery
		r.gap = packets.LongestGap(cut, repaired)
		r.lostBack = packets.Lost(repaired, next)
		t.Logf("cut %d: lost %v, longest gap %v, TCP stood for %v, back on the direct path after %v and lost %d",
			i+1, r.lost, r.gap.Round(time.Millisecond), r.stall.Round(time.Millisecond), r.back.Round(time.Millisecond), r.lostBack)
		gaps, stalled = append(gaps, r.gap), append(stalled, r.stall)
		if r.lost > lossLimit {
			t.Errorf("cut %d: packets of %v lost, want at most %v", i+1, r.lost, lossLimit)
		}
		if r.lostBack != 0 {
			t.Errorf("repair %d: %d packets lost", i+1, r.lostBack)
		}
		if r.stall > healLimit {
			t.Errorf("cut %d: TCP stood for %v", i+1, r.stall)
		}
	}
	t.Logf("median gap %v, median stall of TCP %v; TCP carried %d bytes, %d segments sent again; %s",
		median(gaps).Round(time.Millisecond), median(stalled).Round(time.Millisecond), carried.Received, carried.All, packets)
	if n := packets.Duplicated(); n != 0 {
		t.Errorf("%d packets arrived twice", n)
	}
	if l.CutPackets() == 0 {
		t.Error("the cuts hit nothing")
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// waitUntil lets time pass for traffic.
func waitUntil(t *testing.T, at time.Time) {
	t.Helper()
	lab.Wait(t, lab.Patience+time.Until(at), "time", func() error {
		if time.Now().Before(at) {
			return errors.New("not yet")
		}
		return nil
	})
}

// waitTraffic waits until much more than control messages goes from one site to
// another, and back.
func (l *pathsLab) waitTraffic(t *testing.T, what string, from, to *lab.Site) {
	t.Helper()
	const much = 100
	out, in := l.Passed(from, to), l.Passed(to, from)
	lab.Wait(t, healLimit, "packets "+what, func() error {
		if gotOut, gotIn := l.Passed(from, to)-out, l.Passed(to, from)-in; gotOut < much || gotIn < much {
			return fmt.Errorf("%d out, %d in", gotOut, gotIn)
		}
		return nil
	})
}

// TestCutOneWay cuts one direction of the direct path. Both routers notice, the one that
// hears nothing and the one that is not heard.
func TestCutOneWay(t *testing.T) {
	router(t)
	t.Parallel()
	l := newPathsLab(t, pathsOptions{a: lab.NoNAT, b: lab.EasyNAT})
	l.start(t)
	traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
	for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
		l.waitChosen(t, h, false)
	}
	ping := l.ping(t, probeEvery)
	for _, direction := range [][2]*lab.Site{{l.a, l.b}, {l.b, l.a}} {
		cut := time.Now()
		l.CutOneWay(direction[0], direction[1])
		for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
			l.waitChosen(t, h, true)
		}
		repaired := time.Now()
		l.RepairOneWay(direction[0], direction[1])
		for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
			l.waitChosen(t, h, false)
		}
		back := time.Now()
		waitUntil(t, back.Add(underWay))
		packets := ping.Packets()
		lost := time.Duration(packets.Lost(cut, repaired)) * probeEvery
		t.Logf("from %s to %s: lost %v, longest gap %v", direction[0].Name, direction[1].Name, lost, packets.LongestGap(cut, repaired))
		if lost > lossLimit {
			t.Errorf("from %s to %s: packets of %v lost, want at most %v", direction[0].Name, direction[1].Name, lost, lossLimit)
		}
		if n := packets.Lost(repaired, back); n != 0 {
			t.Errorf("from %s to %s: %d lost after the repair", direction[0].Name, direction[1].Name, n)
		}
	}
	if packets := must(ping.Stop())(t); packets.Duplicated() != 0 {
		t.Errorf("%s", packets)
	}
}
