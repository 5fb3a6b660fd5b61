// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// direct returns two hosts that use a direct path, and their spare.
func direct(t *testing.T, seed uint64) (w *world, a, b *host, r *relayHost) {
	w = newWorld(t, seed)
	a, b, r = pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(20 * time.Second)
	return w, a, b, r
}

// A Pong counts only over the path that its Ping went over, in time, once.
func TestPongCounts(t *testing.T) {
	w, a, b, _ := direct(t, 70)
	p := a.agent.peers[b.id.Public()]
	toA, err := b.id.Pair(disco.DomainPeer, a.id.Public())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := Path{Addr: netip.MustParseAddrPort("192.0.2.99:9")}
	answer := func(over Path, tx disco.TxID, size int) bool {
		m := disco.Pong{TxID: tx, Observed: a.addr, Size: size}
		before := a.agent.stats.received[disco.TypePong]
		a.agent.Receive(w.now, over, false, toA.Seal(nil, disco.Epoch(w.now), m.AppendBody(nil)))
		return a.agent.stats.received[disco.TypePong] > before
	}
	ask := func() disco.TxID { return p.sendPing(a.agent.advance(w.now), p.primary.path, pingPlain, 0).tx }
	over := p.primary.path
	tx := ask()
	if answer(elsewhere, tx, disco.MinFrame) || p.candidate(elsewhere) != nil {
		t.Error("a Pong from elsewhere counts")
	}
	if answer(over, tx, 500) {
		t.Error("a Pong for another length counts")
	}
	if answer(over, disco.TxID{1}, disco.MinFrame) {
		t.Error("a Pong that was not asked for counts")
	}
	if !answer(over, tx, disco.MinFrame) {
		t.Error("a Pong does not count")
	}
	if answer(over, tx, disco.MinFrame) {
		t.Error("a Pong counts twice")
	}
	tx = ask()
	w.now = w.now.Add(givenUp)
	if answer(over, tx, disco.MinFrame) {
		t.Error("a Pong counts after 5 s")
	}
}

// Candidates that are not newer are dropped, and too many are not heeded.
func TestCandidatesOrder(t *testing.T) {
	w, a, b, _ := direct(t, 71)
	p := a.agent.peers[b.id.Public()]
	toA, err := b.id.Pair(disco.DomainPeer, a.id.Public())
	if err != nil {
		t.Fatal(err)
	}
	told := func(seq uint64, addr string) (accepted, candidate bool) {
		m := disco.Candidates{Sequence: seq, Addrs: addrPorts(addr)}
		before := a.agent.stats.received[disco.TypeCandidates]
		a.agent.Receive(w.now, Path{Addr: b.addr}, false, toA.Seal(nil, disco.Epoch(w.now), m.AppendBody(nil)))
		return a.agent.stats.received[disco.TypeCandidates] > before, p.candidate(Path{Addr: addrPorts(addr)[0]}) != nil
	}
	const seq = 1 << 63
	for _, tt := range []struct {
		after               time.Duration
		seq                 uint64
		addr                string
		accepted, candidate bool
	}{
		{time.Second, seq, "192.0.2.50:1", true, true},
		{time.Second, seq, "192.0.2.51:1", false, false},
		{time.Second, seq - 1, "192.0.2.51:1", false, false},
		{time.Second, seq + 1, "192.0.2.51:1", true, true},
		{100 * time.Millisecond, seq + 2, "192.0.2.52:1", true, false}, // too soon
		{time.Second, seq + 3, "127.0.0.1:1", true, false},
		{time.Second, seq + 4, "[fe80::1]:1", true, false},
		{time.Second, seq + 5, a.addr.String(), true, false},
		{time.Second, seq + 6, w.relays[0].addr.String(), true, false},
	} {
		w.now = w.now.Add(tt.after)
		accepted, candidate := told(tt.seq, tt.addr)
		if accepted != tt.accepted || candidate != tt.candidate {
			t.Errorf("%+v: accepted %v, candidate %v", tt, accepted, candidate)
		}
	}
	if p.candidate(Path{Addr: addrPorts("192.0.2.50:1")[0]}) != nil {
		t.Error("an address that is not named any more and never answered is kept")
	}
}

// While the direct path is in use, the spare is pinged every 20 s.
func TestSpareIsKept(t *testing.T) {
	w, a, b, _ := direct(t, 72)
	spare := a.agent.peers[b.id.Public()].sessions[0]
	frames := a.frames[spare.path.Addr]
	registers := a.agent.stats.sent[disco.TypeRegister]
	w.run(5 * time.Minute)
	// Those Pings, and as many Pongs.
	n := a.frames[spare.path.Addr] - frames - int(a.agent.stats.sent[disco.TypeRegister]-registers)
	if n < 2*14 || n > 2*16 {
		t.Errorf("%d Pings and Pongs over the spare in 5 minutes, want 30", n)
	}
	if !spare.bound || !a.agent.Carries(spare.path) {
		t.Error("the spare is not bound any more")
	}
}

// What the relay says about a session that is there makes us bind it again, at
// most once a second, and never replaces it.
func TestToldOfSession(t *testing.T) {
	w, a, b, r := direct(t, 73)
	toA, err := r.id.Pair(disco.DomainRelay, a.id.Public())
	if err != nil {
		t.Fatal(err)
	}
	s := a.agent.peers[b.id.Public()].sessions[0]
	path := s.path
	tell := func(m disco.RelayMessage) (binds, allocates uint64) {
		m.Type = disco.TypeAllocated
		bind, allocate := a.agent.stats.sent[disco.TypeBind], a.agent.stats.sent[disco.TypeAllocate]
		for range 3 {
			a.agent.Receive(w.now, Path{Addr: r.addr}, false, toA.Seal(nil, disco.Epoch(w.now), m.AppendBody(nil)))
		}
		return a.agent.stats.sent[disco.TypeBind] - bind, a.agent.stats.sent[disco.TypeAllocate] - allocate
	}
	same := disco.RelayMessage{Key: b.id.Public(), VNI: path.VNI.Value(), Generation: s.generation, Seconds: 30}
	if n, m := tell(same); n != 1 || m != 0 {
		t.Errorf("the same session: %d Binds, %d Allocates", n, m)
	}
	w.run(2 * time.Second)
	old := same
	old.Generation--
	old.VNI++
	if n, m := tell(old); n != 0 || m != 1 {
		t.Errorf("another session: %d Binds, %d Allocates", n, m)
	}
	w.run(time.Second)
	if s.path != path || !s.bound {
		t.Errorf("the session was replaced: %+v", s)
	}
	nobody := same
	nobody.Key = identity(77).Public()
	if n, m := tell(nobody); n+m != 0 {
		t.Errorf("a session with nobody: %d Binds, %d Allocates", n, m)
	}
}

// The second path in doubt is none that cannot be one.
func TestOtherPath(t *testing.T) {
	w, a, b, r := direct(t, 74)
	p := a.agent.peers[b.id.Public()]
	p.dropSessions()
	at := a.agent.advance(w.now)
	p.otherAt = at
	for _, tt := range []struct {
		path Path
		want bool
	}{
		{Path{Addr: netip.MustParseAddrPort("192.0.2.88:1")}, true},
		{Path{Addr: r.addr}, false},
		{Path{Addr: r.addr, VNI: 1<<31 | 5}, false}, // no session
		{Path{Addr: a.addr}, false},
		{p.primary.path, false},
	} {
		p.otherPath = tt.path
		if got := p.other(at); (got == tt.path) != tt.want {
			t.Errorf("%v: got %v", tt.path, got)
		}
	}
}

// The router that is not sending moves: what is sent to it over the relay finds
// it again when it has registered.
func TestQuietSideMoves(t *testing.T) {
	w := newWorld(t, 75)
	n := w.nat("198.51.100.2", true, samePort)
	a, b, _ := pair(w, w.nat("198.51.100.1", true, samePort), n)
	w.talk(a, b, time.Second)
	w.until(3*time.Second, "relayed", func() bool { return a.relayed(b) && b.relayed(a) })
	w.run(10 * time.Second)
	b.peer(a).longest = 0
	n.rebind()
	w.run(time.Minute)
	if gap := b.peer(a).longest; gap > 30*time.Second || !a.relayed(b) {
		t.Errorf("nothing came for %v", gap)
	}
}

// A session is of one peer: nobody else speaks over it.
func TestSessionOfAnother(t *testing.T) {
	w, a, b, _ := direct(t, 76)
	m := identity(9)
	a.peers[m.Public()] = &remote{h: a, key: m.Public(), seen: map[uint64]bool{}, lastHeard: map[Path]time.Time{}}
	a.agent.AddPeer(w.now, m.Public())
	toA, err := m.Pair(disco.DomainPeer, a.id.Public())
	if err != nil {
		t.Fatal(err)
	}
	s := a.agent.peers[b.id.Public()].sessions[0]
	frame := toA.Seal(nil, disco.Epoch(w.now), (&disco.Ping{}).AppendBody(nil))
	wrong, total := a.agent.stats.dropped[dropPlace], a.total
	a.agent.Receive(w.now, s.path, false, frame)
	a.agent.Receive(w.now, Path{Addr: b.addr}, true, frame) // only relays control
	if a.agent.stats.dropped[dropPlace] != wrong+2 || a.total != total {
		t.Errorf("%d dropped, %d frames sent", a.agent.stats.dropped[dropPlace]-wrong, a.total-total)
	}
}
