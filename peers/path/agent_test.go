// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// counting is a Network that does nothing but count.
type counting struct {
	sent    map[Key]uint64
	traffic int
	frames  int
	uses    int
	unwatch int
}

func (n *counting) SendFrame(Path, bool, []byte) { n.frames++ }
func (n *counting) Use(Key, Choice)              { n.uses++ }
func (n *counting) Traffic(k Key) Traffic        { n.traffic++; return Traffic{Sent: n.sent[k]} }
func (n *counting) Resend(Key)                   {}
func (n *counting) Watch(_ Key, on bool) {
	if !on {
		n.unwatch++
	}
}

// Ten thousand plain peers, all of them busy, cost next to nothing.
func TestTickNoAllocs(t *testing.T) {
	const peers = 10_000
	n := &counting{sent: make(map[Key]uint64)}
	a := New(Options{Identity: identity(1)}, n)
	now := epoch0
	var keys []Key
	for i := range peers {
		var k Key
		binary.LittleEndian.PutUint32(k[:], uint32(i+2)*2654435761)
		k[31] = 1
		keys = append(keys, k)
		a.AddPeer(now, k)
	}
	over := Path{Addr: addrPorts("192.0.2.1:1")[0]}
	for _, k := range keys {
		n.sent[k] = 1
		a.Heard(now, k, over)
	}
	for range 60 {
		now = now.Add(100 * time.Millisecond)
		a.Tick(now)
	}
	if n.unwatch != peers || n.frames != 3*peers {
		t.Fatalf("%d peers are plain after %d Pings, want all after 3 each", n.unwatch, n.frames)
	}
	for range 200 { // all have been looked at once
		now = now.Add(100 * time.Millisecond)
		a.Tick(now)
	}
	n.traffic = 0
	ticks := 0
	allocs := testing.AllocsPerRun(100, func() {
		ticks++
		now = now.Add(100 * time.Millisecond)
		a.Tick(now)
	})
	if allocs != 0 {
		t.Errorf("%v allocations in a Tick", allocs)
	}
	if most := peers*ticks/100 + peers; n.traffic > most {
		t.Errorf("%d looks at traffic in %d Ticks, want at most %d", n.traffic, ticks, most)
	}
	tag := disco.Tag{1}
	if allocs := testing.AllocsPerRun(100, func() {
		a.Knows(tag)
		a.Carries(over)
		a.Wanted(now, keys[0])
		a.Heard(now, keys[0], over)
	}); allocs != 0 {
		t.Errorf("%v allocations in Knows, Carries, Wanted and Heard", allocs)
	}
}

func TestHeartbeatNoAllocs(t *testing.T) {
	w := newWorld(t, 50)
	a, b, _ := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(20 * time.Second)
	p := a.agent.peers[b.id.Public()]
	a.agent.net = &counting{sent: map[Key]uint64{b.id.Public(): p.sent}}
	at := a.agent.last
	if allocs := testing.AllocsPerRun(20, func() {
		p.lastSent, p.primary.lastAnswer, p.primary.packet = at, at, at
		p.primary.trustedUntil = at + trust
		p.run(at)
		at += 20 * time.Millisecond
	}); allocs != 0 {
		t.Errorf("%v allocations in a look at a busy router", allocs)
	}
}

func BenchmarkTickPlain(b *testing.B) {
	n := &counting{}
	a := New(Options{Identity: identity(1)}, n)
	for i := range 10_000 {
		var k Key
		binary.LittleEndian.PutUint32(k[:], uint32(i+2)*2654435761)
		k[31] = 1
		a.AddPeer(epoch0, k)
		a.peers[k].router = routerNo
	}
	now := epoch0
	for b.Loop() {
		now = now.Add(100 * time.Millisecond)
		a.Tick(now)
	}
}

func TestOff(t *testing.T) {
	n := &counting{sent: map[Key]uint64{}}
	a := New(Options{Off: true}, n)
	k := identity(2).Public()
	a.AddPeer(epoch0, k)
	a.SetConfigured(epoch0, k, addrPorts("192.0.2.1:1")[0])
	a.SetRelays(epoch0, []Relay{{Key: identity(3).Public(), Addrs: addrPorts("192.0.2.2:1"), Name: "r"}})
	a.SetLocal(epoch0, addrPorts("192.0.2.9:1"))
	a.Wanted(epoch0, k)
	a.Heard(epoch0, k, Path{Addr: addrPorts("192.0.2.1:1")[0]})
	a.Receive(epoch0, Path{Addr: addrPorts("192.0.2.1:1")[0]}, false, make([]byte, 100))
	if d := a.Tick(epoch0); d != 25*time.Second || a.Next(epoch0) != d {
		t.Errorf("next after %v", d)
	}
	called := false
	a.Ping(epoch0, k, func(r PingResult) { called = r.Router == "no" && r.Replies != nil })
	if n.frames+n.uses != 0 || n.unwatch != 1 || !called || a.PeerStatus(epoch0, k).Router != "no" {
		t.Errorf("%+v, %v, %+v", n, called, a.PeerStatus(epoch0, k))
	}
	a.RemovePeer(k)
}

func TestPing(t *testing.T) {
	w := newWorld(t, 51)
	a, b, r := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.run(20 * time.Second)
	var got []PingResult
	a.agent.Ping(w.now, b.id.Public(), func(r PingResult) { got = append(got, r) })
	a.schedule()
	w.run(time.Second)
	if len(got) != 1 || got[0].Router != "yes" || len(got[0].Replies) != 2 {
		t.Fatalf("%+v", got)
	}
	first, second := got[0].Replies[0], got[0].Replies[1]
	if !first.InUse || !first.Answered || first.Latency != 20*time.Millisecond || first.Observed != a.addr || first.Path.Addr != b.addr {
		t.Errorf("%+v", first)
	}
	if second.InUse || !second.Answered || second.Latency != 40*time.Millisecond || second.RelayName != "relay" || second.Path.Addr != r.addr || second.Observed.IsValid() {
		t.Errorf("%+v", second)
	}
	w.both("a", "b", cut)
	a.agent.Ping(w.now, b.id.Public(), func(r PingResult) { got = append(got, r) })
	a.schedule()
	w.run(4900 * time.Millisecond)
	if len(got) != 1 {
		t.Fatalf("done before 5 s: %+v", got[1])
	}
	w.run(200 * time.Millisecond)
	if len(got) != 2 || got[1].Replies[0].Answered || !got[1].Replies[1].Answered {
		t.Fatalf("%+v", got)
	}
	a.agent.Ping(w.now, b.id.Public(), func(r PingResult) { got = append(got, r) })
	a.agent.RemovePeer(b.id.Public())
	if len(got) != 3 {
		t.Error("a Ping is not done when its peer is removed")
	}
	a.agent.Ping(w.now, b.id.Public(), func(r PingResult) { got = append(got, r) })
	if len(got) != 4 || got[3].Router != "unknown" {
		t.Errorf("%+v", got[3])
	}
}

func TestRemovePeerAndRelay(t *testing.T) {
	w := newWorld(t, 52)
	a, b, r := pair(w, nil, nil)
	w.both("a", "b", cut)
	w.talk(a, b, 20*time.Millisecond)
	w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) && b.relayed(a) })
	w.run(5 * time.Second)
	over := a.over(b)
	if !a.agent.Carries(over) || a.agent.Carries(Path{Addr: over.Addr}) {
		t.Fatal("does not carry its session")
	}
	st := a.agent.Stats()
	if st.Relays != 1 || st.Sessions != 1 || st.Relayed != 1 || st.Routers != 1 || st.Sent["allocate"] == 0 || st.Received["bound"] == 0 {
		t.Errorf("%+v", st)
	}
	a.useRelays() // the relay leaves the configuration
	w.run(100 * time.Millisecond)
	if a.over(b).IsSet() || a.agent.Carries(over) || len(a.agent.NetCheck().Relays) != 0 {
		t.Errorf("over %v", a.over(b))
	}
	a.useRelays(r)
	w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) })

	tag := a.agent.peers[b.id.Public()].pair.ReceiveTag(disco.Epoch(w.now))
	if !a.agent.Knows(tag) {
		t.Error("does not know the tag of its peer")
	}
	a.agent.RemovePeer(b.id.Public())
	if a.agent.Carries(a.over(b)) || len(a.agent.order) != 0 {
		t.Error("still there")
	}
	dropped := a.agent.stats.dropped[dropTag]
	w.run(5 * time.Second) // the other one goes on
	if a.agent.stats.dropped[dropTag] == dropped {
		t.Error("frames of a peer that is gone were not dropped as of nobody")
	}
	w.run(2 * time.Hour)
	if a.agent.Knows(tag) {
		t.Error("still knows the tag")
	}
}

// Adding many peers makes all of their tags known, whatever map they are in.
func TestTags(t *testing.T) {
	n := &counting{sent: map[Key]uint64{}}
	a := New(Options{Identity: identity(1)}, n)
	now, wall := epoch0, epoch0
	a.wall = func() time.Time { return wall }
	var ids []*disco.Identity
	for i := range 200 {
		id := disco.NewIdentity(Key{byte(i), 5, 31: 7})
		ids = append(ids, id)
		a.AddPeer(now, id.Public())
	}
	known := func(d time.Duration) (n int) {
		for _, id := range ids {
			p, err := id.Pair(disco.DomainPeer, a.id.Public())
			if err != nil {
				t.Fatal(err)
			}
			if a.Knows(p.SendTag(disco.Epoch(wall.Add(d)))) {
				n++
			}
		}
		return n
	}
	for range 2 {
		for d, want := range map[time.Duration]int{0: 200, time.Hour: 200, -time.Hour: 200, 2 * time.Hour: 0, -2 * time.Hour: 0} {
			if got := known(d); got != want {
				t.Errorf("%v: %d known, want %d", d, got, want)
			}
		}
		now, wall = now.Add(time.Hour), wall.Add(time.Hour)
		a.Tick(now)
	}
}

func TestReports(t *testing.T) {
	w := newWorld(t, 53)
	a, b, _ := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.run(20 * time.Second)
	s := a.status(b)
	if len(s.Paths) != 2 || s.Paths[0].Path != a.over(b) || !s.Paths[0].Trusted || s.Paths[1].RelayName != "relay" || s.Switches != 2 {
		t.Errorf("%+v", s)
	}
	text, err := json.Marshal([]any{s, a.agent.NetCheck(), a.agent.Stats()})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"router":"yes"`, `"primary":`, `"why":"direct answers"`, `"relay_name":"relay"`, `"mapping4":"none"`, `"registered":true`, `"bind_challenge":1`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if got := a.over(b).String(); got != "192.0.2.2:51820" {
		t.Errorf("path is %q", got)
	}
	if got := s.Paths[1].Path.String(); !strings.HasPrefix(got, "203.0.113.9:7000 vni ") {
		t.Errorf("path is %q", got)
	}
}
