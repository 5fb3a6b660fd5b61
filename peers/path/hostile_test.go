// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

func addrPorts(s ...string) (a []netip.AddrPort) {
	for _, s := range s {
		a = append(a, netip.MustParseAddrPort(s))
	}
	return a
}

// randomAddr is one of a network that nobody lives in.
func (w *world) randomAddr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, byte(w.rng.Uint32()), byte(w.rng.Uint32()), 1}), uint16(1+w.rng.IntN(65535)))
}

// Somebody sends what was recorded again, changed or not, from everywhere.
func TestReplaysAndForgeries(t *testing.T) {
	w := newWorld(t, 40)
	a, b, r := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	w.run(10 * time.Second)

	var recorded []*datagram
	w.tap = func(d *datagram) {
		if d.frame != nil && len(recorded) < 3000 {
			recorded = append(recorded, d)
		}
	}
	w.run(30 * time.Second)
	w.tap = nil
	if len(recorded) < 50 {
		t.Fatalf("%d frames recorded", len(recorded))
	}
	from, fromB := len(a.peer(b).uses), len(b.peer(a).uses)
	totalA := a.total
	sent := 0
	const attack = 30 * time.Second
	end := w.now.Add(attack)
	var inject func()
	inject = func() {
		if w.now.After(end) {
			return
		}
		for range 10 {
			d := *recorded[w.rng.IntN(len(recorded))]
			d.frame = slices.Clone(d.frame)
			switch w.rng.IntN(5) {
			case 0:
				d.frame[w.rng.IntN(len(d.frame))] ^= 1 << w.rng.IntN(8)
			case 1:
				d.frame = d.frame[:w.rng.IntN(len(d.frame))]
			}
			switch w.rng.IntN(6) {
			case 0: // where it came from
			case 1:
				d.src = r.addr
			case 2:
				d.src = b.addr
			case 3:
				d.src = a.addr
			default:
				d.src = w.randomAddr()
			}
			switch w.rng.IntN(4) {
			case 0:
				d.vni, _ = geneve.MakeVNI(w.rng.Uint32N(geneve.MaxVNI))
			case 1:
				d.vni = 0
			}
			d.control = w.rng.IntN(3) == 0
			sent++
			if w.rng.IntN(4) == 0 {
				d.dst = r.addr
				r.receive(&d)
				continue
			}
			a.receive(&d)
		}
		w.after(10*time.Millisecond, inject)
	}
	inject()
	w.run(attack + 10*time.Second)
	if n, m := a.peer(b).primaries(from), b.peer(a).primaries(fromB); n != 0 || m != 0 {
		t.Errorf("%d and %d changes of path: %+v", n, m, a.peer(b).uses[from:])
	}
	if w.lost(a, b) > 4 {
		t.Errorf("%d packets lost", w.lost(a, b))
	}
	st := a.agent.Stats()
	for _, why := range []string{"not_authentic", "wrong_place", "unexpected"} {
		if st.Dropped[why] == 0 {
			t.Errorf("nothing was dropped as %s: %v", why, st.Dropped)
		}
	}
	// Pongs: 20 a second and 40. Pings: 32 candidates, 6 of them in 5 s and then
	// one in 30 s.
	secs := int(attack / time.Second)
	if n := a.total - totalA; n > secs*(20+20+maxCandidates)+80 {
		t.Errorf("%d frames sent because of %d", n, sent)
	}
	for addr, n := range a.frames {
		if addr != b.addr && addr != r.addr && n > 20 {
			t.Errorf("%d frames to %v", n, addr)
		}
	}
}

// A peer of the configuration does what it can.
func TestMaliciousPeer(t *testing.T) {
	w := newWorld(t, 41)
	a, b, r := pair(w, nil, nil)
	m := identity(9)
	bad := m.Public()
	pairM, err := m.Pair(disco.DomainPeer, a.id.Public())
	if err != nil {
		t.Fatal(err)
	}
	a.peers[bad] = &remote{h: a, key: bad, watch: true, seen: map[uint64]bool{}, lastHeard: map[Path]time.Time{}}
	a.agent.AddPeer(w.now, bad)
	w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	from := len(a.peer(b).uses)
	before := a.total
	var seq uint64
	const attack = time.Minute
	end := w.now.Add(attack)
	perSecond := make(map[int64]int)
	last := a.total
	var inject func()
	inject = func() {
		if w.now.After(end) {
			return
		}
		a.peers[bad].sent++ // the device is made to answer all the time
		for range 5 {
			var body []byte
			src := w.randomAddr()
			switch w.rng.IntN(4) {
			case 0:
				c := disco.Candidates{Sequence: seq, Reply: true}
				seq++
				for range 16 {
					c.Addrs = append(c.Addrs, w.randomAddr())
				}
				c.Addrs[3], c.Addrs[4], c.Addrs[5] = b.addr, r.addr, a.addr
				body = c.AppendBody(nil)
			case 1:
				body = (&disco.Ping{Pad: w.rng.IntN(1500)}).AppendBody(nil)
			case 2:
				body = (&disco.Pong{Observed: w.randomAddr(), Size: 88}).AppendBody(nil)
			default:
				body = make([]byte, 36+w.rng.IntN(200))
				for i := range body {
					body[i] = byte(w.rng.Uint32())
				}
				body[0] = byte(w.rng.IntN(28))
			}
			a.receive(&datagram{src: src, frame: pairM.Seal(nil, disco.Epoch(w.now), body)})
		}
		perSecond[w.now.Unix()] += a.total - last
		last = a.total
		w.after(10*time.Millisecond, inject)
	}
	inject()
	w.run(attack)
	if n := a.peer(b).primaries(from); n != 0 {
		t.Errorf("%d changes of another peer's path", n)
	}
	for s, n := range perSecond {
		// 20 Pongs (and 40), 32 candidates once a second and once when they are
		// new, Candidates, and what the other peer and the relay get.
		if n > 20+40+2*maxCandidates+20 {
			t.Errorf("%d frames in second %d", n, s)
		}
	}
	for addr, n := range a.frames {
		if addr != b.addr && addr != r.addr && n > 30 {
			t.Errorf("%d frames to %v", n, addr)
		}
	}
	pinged := 0
	for addr := range a.frames {
		if addr.Addr().As4()[0] == 100 {
			pinged++
		}
	}
	// Pongs go to where Pings come from; new candidates are one a second.
	if most := 20*60 + 40 + maxCandidates + 60 + 5; pinged > most {
		t.Errorf("frames to %d addresses, want at most %d", pinged, most)
	}
	if got := a.agent.stats.sent[disco.TypePing]; got > 60*maxCandidates {
		t.Errorf("%d Pings", got)
	}
	t.Logf("%d frames to %d addresses, %d Pings in %v, %v", a.total-before, pinged, a.agent.stats.sent[disco.TypePing], attack, a.agent.Stats().Dropped)
	if a.over(b).Addr != b.addr {
		t.Errorf("over %v", a.over(b))
	}
}

// The relay is malicious or broken: what it says nobody asked for.
func TestRelaySaysAnything(t *testing.T) {
	w := newWorld(t, 42)
	a, b, r := pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.until(6*time.Second, "direct", func() bool { return a.direct(b) && b.direct(a) })
	from, before := len(a.peer(b).uses), a.total
	toA, err := r.id.Pair(disco.DomainRelay, a.id.Public())
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		m := disco.RelayMessage{
			Type: disco.MessageType(16 + w.rng.IntN(10)), Key: b.id.Public(), VNI: w.rng.Uint32N(1 << 24),
			Addr: w.randomAddr(), Generation: w.rng.Uint64(), Seconds: uint16(w.rng.Uint32()),
		}
		d := &datagram{src: r.addr, frame: toA.Seal(nil, disco.Epoch(w.now), m.AppendBody(nil))}
		if w.rng.IntN(2) == 0 {
			d.vni, _ = geneve.MakeVNI(m.VNI)
			d.control = true
		}
		a.receive(d)
		w.run(10 * time.Millisecond)
	}
	if n := a.peer(b).primaries(from); n != 0 {
		t.Errorf("%d changes of path: %+v", n, a.peer(b).uses[from:])
	}
	if n := a.total - before; n > 30*40 {
		t.Errorf("%d frames in 30 s", n)
	}
	a.peer(b).longest = 0
	w.both("a", "b", cut)
	w.run(10 * time.Second)
	if !a.relayed(b) || a.peer(b).longest > time.Second {
		t.Errorf("no spare: nothing came for %v\n%s", a.peer(b).longest, w.dump())
	}
}

// fuzzAgent returns an agent with a peer in use over all kinds of paths.
func fuzzAgent(f testing.TB) (w *world, a, b *host, r *relayHost) {
	w = newWorld(f, 43)
	a, b, r = pair(w, nil, nil)
	w.talk(a, b, 20*time.Millisecond)
	w.run(10 * time.Second)
	return w, a, b, r
}

func FuzzReceive(f *testing.F) {
	w, a, b, r := fuzzAgent(f)
	w.tap = func(d *datagram) {
		if d.frame != nil && d.dst == a.addr {
			f.Add(d.frame, uint8(0))
		}
	}
	w.run(time.Second)
	w.tap = nil
	f.Fuzz(func(t *testing.T, frame []byte, from uint8) {
		w.t = t
		a.agent.Receive(w.now, anyPath(a, b, r, from), from&64 != 0, frame)
		a.check()
		w.run(time.Millisecond)
	})
}

func anyPath(a, b *host, r *relayHost, from uint8) Path {
	switch from % 6 {
	case 0:
		return Path{Addr: b.addr}
	case 1:
		return Path{Addr: r.addr}
	case 2:
		for p := range *a.agent.carried.Load() {
			return p
		}
	case 3:
		return Path{Addr: a.addr}
	case 4:
		return Path{}
	}
	return Path{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 1, 2, from}), 7)}
}

func FuzzBody(f *testing.F) {
	w, a, b, r := fuzzAgent(f)
	toA, err := b.id.Pair(disco.DomainPeer, a.id.Public())
	if err != nil {
		f.Fatal(err)
	}
	relayToA, err := r.id.Pair(disco.DomainRelay, a.id.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add((&disco.Ping{}).AppendBody(nil), uint8(0))
	f.Add((&disco.Pong{Observed: a.addr, Size: 88}).AppendBody(nil), uint8(1))
	f.Add((&disco.Candidates{Sequence: 1 << 63, Reply: true, Addrs: addrPorts("1.2.3.4:5")}).AppendBody(nil), uint8(2))
	for t := disco.TypeRegister; t <= disco.TypeUnknown; t++ {
		f.Add((&disco.RelayMessage{Type: t, Addr: a.addr, Key: b.id.Public(), VNI: 7}).AppendBody(nil), uint8(128+1))
	}
	f.Fuzz(func(t *testing.T, body []byte, from uint8) {
		if len(body) < disco.MinBody || len(body) > disco.MaxBody {
			return
		}
		w.t = t
		p := toA
		if from&128 != 0 {
			p = relayToA
		}
		a.agent.Receive(w.now, anyPath(a, b, r, from), from&64 != 0, p.Seal(nil, disco.Epoch(w.now), body))
		a.check()
		w.run(10 * time.Millisecond)
	})
}
