// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const ms = time.Millisecond

func TestCompare(t *testing.T) {
	direct := func(cost time.Duration) rating { return rating{cost: cost} }
	relayed := func(cost time.Duration) rating { return rating{relayed: true, cost: cost} }
	thin := func(r rating) rating { r.narrow = true; return r }
	for _, tt := range []struct {
		name              string
		challenger, inUse rating
		want              verdict
	}{
		{"direct for relayed, however slow", direct(900 * ms), relayed(5 * ms), betterClass},
		{"relayed for direct", relayed(5 * ms), direct(900 * ms), notBetter},
		{"wide for narrow", direct(50 * ms), thin(direct(5 * ms)), betterClass},
		{"relayed and wide for direct and narrow", relayed(50 * ms), thin(direct(5 * ms)), betterClass},
		{"direct and narrow for relayed and wide", thin(direct(5 * ms)), relayed(50 * ms), notBetter},
		{"direct for relayed, both narrow", thin(direct(50 * ms)), thin(relayed(5 * ms)), betterClass},
		{"the same", direct(20 * ms), direct(20 * ms), notBetter},
		{"less than 5 ms", direct(1 * ms), direct(5 * ms), notBetter},
		{"5 ms exactly", direct(15 * ms), direct(20 * ms), notBetter},
		{"more than 5 ms and 15 %", direct(14 * ms), direct(20 * ms), cheaper},
		{"less than 15 %", direct(90 * ms), direct(100 * ms), notBetter},
		{"15 % exactly", direct(85 * ms), direct(100 * ms), notBetter},
		{"more than 15 %", direct(84 * ms), direct(100 * ms), cheaper},
		{"more", direct(30 * ms), direct(20 * ms), notBetter},
		{"cheaper relay", relayed(20 * ms), relayed(50 * ms), cheaper},
	} {
		if got := compare(tt.challenger, tt.inUse); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestLossCosts(t *testing.T) {
	c := &candidate{rtt: 10 * ms}
	for i := range 16 {
		c.count(i%4 == 0)
	}
	if got := c.rating().cost; got != 110*ms {
		t.Errorf("cost %v with a quarter lost, want 10 ms and a quarter of 400 ms", got)
	}
	for range 16 {
		c.count(false)
	}
	if got := c.rating().cost; got != 10*ms {
		t.Errorf("cost %v after 16 answers", got)
	}
}

func TestPassed(t *testing.T) {
	for _, tt := range []struct {
		v            verdict
		streak, need int
		won          int
		w            widthVerdict
		want         bool
	}{
		{betterClass, 3, 3, 0, wide, true},
		{betterClass, 2, 3, 0, wide, false},
		{betterClass, 3, 3, 0, widthUnknown, false},
		{betterClass, 3, 3, 0, narrow, true}, // better all the same: both are
		{betterClass, 5, 6, 0, wide, false},
		{cheaper, 3, 3, 1, wide, false},
		{cheaper, 3, 3, 2, wide, true},
		{notBetter, 9, 3, 9, wide, false},
	} {
		if got := passed(tt.v, tt.streak, tt.need, tt.won, tt.w); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

func TestHoldDown(t *testing.T) {
	c := &candidate{path: Path{}}
	at := beginning
	for i, want := range []int{3, 6, 12, 12} {
		if got := c.need(at); got != want {
			t.Fatalf("after %d failures: %d answers, want %d", i, got, want)
		}
		c.failed(at, 4*time.Second)
		at += 20 * time.Second
	}
	c.failed(at-20*time.Second, 6*time.Second) // it worked for longer
	if got := c.need(at + 39*time.Second); got != 12 {
		t.Errorf("within a minute: %d answers", got)
	}
	if got := c.need(at + 41*time.Second); got != 3 {
		t.Errorf("after a minute: %d answers", got)
	}
}

func TestSilence(t *testing.T) {
	const now = beginning
	ago := func(d time.Duration) moment { return now - d }
	for _, tt := range []struct {
		name                string
		s                   silence
		suspicious, doubted bool
		answerOnly          bool
	}{
		{"all is well", silence{sent: ago(0), heard: ago(200 * ms), rtt: 20 * ms}, false, false, false},
		{"a short silence", silence{sent: ago(0), heard: ago(250 * ms), rtt: 20 * ms}, true, false, false},
		{"nothing was sent", silence{sent: ago(2 * time.Second), heard: ago(5 * time.Second), asked: ago(time.Second), rtt: 20 * ms}, false, false, false},
		{"600 ms, not asked yet", silence{sent: ago(0), heard: ago(600 * ms), rtt: 20 * ms}, true, false, false},
		{"600 ms, asked just now", silence{sent: ago(0), heard: ago(600 * ms), asked: ago(290 * ms), rtt: 20 * ms}, true, false, false},
		{"600 ms", silence{sent: ago(0), heard: ago(600 * ms), asked: ago(291 * ms), rtt: 20 * ms}, true, true, true},
		{"packets, and no answer", silence{sent: ago(0), heard: ago(0), asked: ago(291 * ms), rtt: 20 * ms}, true, false, false},
		{"packets, and the peer asks elsewhere", silence{sent: ago(0), heard: ago(0), pinged: ago(590 * ms), rtt: 20 * ms}, true, false, false},
		{"packets, no answer, and the peer asks elsewhere", silence{sent: ago(0), heard: ago(0), pinged: ago(590 * ms), asked: ago(291 * ms), rtt: 20 * ms}, true, true, true},
		{"the peer asks elsewhere, nothing was sent", silence{heard: ago(0), pinged: ago(590 * ms), asked: ago(291 * ms), rtt: 20 * ms}, true, false, false},
		{"packets, and no answer yet", silence{sent: ago(0), heard: ago(0), asked: ago(290 * ms), rtt: 20 * ms}, false, false, false},
		{"packets, and no answer, nothing was sent", silence{sent: ago(2 * time.Second), heard: ago(0), asked: ago(time.Second), rtt: 20 * ms}, false, false, false},
		{"600 ms on a slow path", silence{sent: ago(0), heard: ago(600 * ms), asked: ago(350 * ms), rtt: 200 * ms}, true, false, false},
		{"590 ms", silence{sent: ago(0), heard: ago(590 * ms), asked: ago(340 * ms), rtt: 20 * ms}, true, false, false},
		{"packets have moved", silence{sent: ago(0), heard: ago(300 * ms), other: ago(10 * ms), moved: true, rtt: 20 * ms}, true, true, false},
		{"packets have moved, nothing to send", silence{heard: ago(700 * ms), other: ago(10 * ms), moved: true, rtt: 20 * ms}, true, true, false},
		{"packets have moved a moment ago", silence{sent: ago(0), heard: ago(290 * ms), other: ago(10 * ms), moved: true, rtt: 20 * ms}, true, false, false},
		{"the peer uses another path for long", silence{sent: ago(0), heard: ago(400 * ms), other: ago(10 * ms), rtt: 20 * ms}, true, false, false},
		{"packets over both, no answer", silence{sent: ago(0), heard: ago(0), other: ago(10 * ms), asked: ago(300 * ms), rtt: 20 * ms}, true, true, true},
	} {
		if got := tt.s.suspicious(now); got != tt.suspicious {
			t.Errorf("%s: suspicious %v", tt.name, got)
		}
		if got, only := tt.s.doubtful(now); got != tt.doubted || only != tt.answerOnly {
			t.Errorf("%s: doubtful %v, %v", tt.name, got, only)
		}
	}
}

func TestDoubtEnds(t *testing.T) {
	const now = beginning
	ago := func(d time.Duration) moment { return now - d }
	for _, tt := range []struct {
		name       string
		d          doubt
		s          silence
		over, dead bool
	}{
		{"silent for 2 s", doubt{since: ago(1400 * ms)}, silence{sent: now, heard: ago(2 * time.Second)}, false, true},
		{"silent for less", doubt{since: ago(1390 * ms)}, silence{sent: now, heard: ago(1990 * ms)}, false, false},
		{"doubted just now after a long silence", doubt{since: ago(300 * ms)}, silence{sent: now, heard: ago(20 * time.Second)}, false, false},
		{"nothing is sent", doubt{since: ago(3 * time.Second)}, silence{sent: ago(time.Second), heard: ago(4 * time.Second)}, false, false},
		{"a packet", doubt{since: ago(time.Second)}, silence{sent: now, heard: ago(0)}, true, false},
		{"a packet, but it was about answers", doubt{since: ago(time.Second), answerOnly: true}, silence{sent: now, heard: ago(0), answer: ago(1900 * ms)}, false, false},
		{"packets, and no answer for 2 s", doubt{since: ago(1500 * ms), answerOnly: true}, silence{sent: now, heard: ago(0), answer: ago(2 * time.Second)}, false, true},
		{"an answer", doubt{since: ago(time.Second), answerOnly: true}, silence{sent: now, heard: ago(0), answer: ago(0)}, true, false},
	} {
		if got := tt.d.over(tt.s); got != tt.over {
			t.Errorf("%s: over %v", tt.name, got)
		}
		if got := tt.d.dead(tt.s, now); got != tt.dead {
			t.Errorf("%s: dead %v", tt.name, got)
		}
	}
}

func TestUnlikely(t *testing.T) {
	for _, tt := range []struct {
		asked, sent, answered int
		want                  bool
	}{
		{5, 5, 5, true},
		{4, 4, 4, false},
		{5, 5, 0, false},  // nothing passes
		{5, 5, 1, false},  // so much is lost that the wide ones may be, too
		{6, 6, 3, false},  // nor of six
		{9, 9, 5, true},   // but hardly all of nine
		{12, 12, 6, true}, //
	} {
		if got := unlikely(tt.asked, tt.sent, tt.answered); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
	for in, want := range map[int]int{0: DefaultWidth, 10: disco.MinFrame, 1452: 1452, 65000: disco.MaxFrame} {
		if got := widthOf(in); got != want {
			t.Errorf("widthOf(%d) = %d, want %d", in, got, want)
		}
	}
}

func TestBucket(t *testing.T) {
	var b bucket
	at := beginning
	take := func(n int) (ok int) {
		for range n {
			if b.take(at, 50*ms, 40) {
				ok++
			}
		}
		return ok
	}
	if got := take(100); got != 40 {
		t.Errorf("%d at once, want 40", got)
	}
	at += 500 * ms
	if got := take(100); got != 10 {
		t.Errorf("%d after 500 ms, want 10", got)
	}
	at += time.Hour
	if got := take(100); got != 40 {
		t.Errorf("%d after an hour, want 40", got)
	}
	n := 0
	for range 1000 { // whatever the pace
		at += 7 * ms
		n += take(3)
	}
	if n < 138 || n > 141 {
		t.Errorf("%d in 7 s, want 140", n)
	}
}

func TestMapping(t *testing.T) {
	o := &ownAddrs{}
	o.setLocal(addrPorts("10.0.0.1:1", "[2001:db8::1]:1"))
	key := func(b byte) Key { return Key{b} }
	see := func(by byte, addr string) {
		o.observe(beginning, key(by), true, addrPorts(addr)[0])
	}
	if got := o.mapping(true); got != "unknown" {
		t.Errorf("nobody: %s", got)
	}
	see(1, "198.51.100.1:5")
	if got := o.mapping(true); got != "unknown" {
		t.Errorf("one: %s", got)
	}
	see(2, "198.51.100.1:5")
	if got := o.mapping(true); got != "easy" {
		t.Errorf("two the same: %s", got)
	}
	see(2, "198.51.100.1:6")
	if got := o.mapping(true); got != "hard" {
		t.Errorf("two different: %s", got)
	}
	see(3, "[2001:db8::1]:1")
	if got := o.mapping(false); got != "none" {
		t.Errorf("IPv6: %s", got)
	}
	if len(o.list) != 4 || o.list[3] != o.local[0] {
		t.Errorf("list %v", o.list)
	}
	for i := range byte(100) {
		see(100+i, "198.51.100.9:7")
	}
	if len(o.observed) != maxObserved {
		t.Errorf("%d observations", len(o.observed))
	}
	v := o.version
	o.refresh(beginning + observedFor)
	if len(o.observed) != 0 || len(o.list) != 2 || o.version == v {
		t.Errorf("after 5 minutes: %v, %v", o.observed, o.list)
	}
}
