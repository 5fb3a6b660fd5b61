// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// A question is a message with the VNI of its header.
type question struct {
	vni geneve.VNI
	disco.RelayMessage
}

// questions returns one message of each type that clients send, with all that it
// takes to be right but cookies.
func questions(w *world, to *person) []question {
	vni, err := geneve.MakeVNI(7)
	if err != nil {
		w.Fatal(err)
	}
	return []question{
		{0, disco.RelayMessage{Type: disco.TypeRegister}},
		{0, disco.RelayMessage{Type: disco.TypeAllocate, Key: to.key()}},
		{vni, disco.RelayMessage{Type: disco.TypeBind, VNI: 7}},
		{vni, disco.RelayMessage{Type: disco.TypeBindAnswer, VNI: 7}},
	}
}

// No answer is longer than its question, whatever the question and the state. The
// check is in world.deliver; here it is made sure that every type of answer was
// seen by it.
func TestNoAnswerIsLonger(t *testing.T) {
	w := newWorld(t, 3, TableOptions{MaxSessions: 2, MaxSessionsPerClient: 1})
	a, b, c := w.people[0], w.people[1], w.people[2]
	ask := func() {
		for _, p := range w.people {
			for _, q := range questions(w, b) {
				w.ask(p, q.vni, q.RelayMessage)
			}
		}
	}
	ask()
	cookie := w.register(a).Cookie
	w.allocate(a, b, cookie)
	ask()
	w.session(a, b)
	ask()
	w.register(c)
	w.allocate(a, c, cookie)
	w.allocate(a, w.stranger(9), cookie)
	for _, typ := range []disco.MessageType{
		disco.TypeChallenge, disco.TypeRegistered, disco.TypeAllocated,
		disco.TypeBindChallenge, disco.TypeBound, disco.TypeUnknown,
	} {
		if w.seen[typ] == 0 {
			t.Errorf("no %v was seen", typ)
		}
	}
	// All that the relay sends is of one size, and no question can be shorter.
	for typ := disco.TypeRegister; typ <= disco.TypeUnknown; typ++ {
		if n := len((&disco.RelayMessage{Type: typ}).AppendBody(nil)); n+disco.Overhead != frameSize {
			t.Errorf("%v has %d bytes, want %d", typ, n+disco.Overhead, frameSize)
		}
	}
	body := (&disco.RelayMessage{Type: disco.TypeRegister}).AppendBody(nil)
	for n := disco.MinBody; n < len(body); n++ {
		frame := a.pair.Seal(nil, disco.Epoch(w.now), body[:n])
		w.dropped(DropMessage, func() []letter { return w.deliver(a.addr, 0, frame) })
	}
	// A longer one, padded, is answered as usual.
	long := a.pair.Seal(nil, disco.Epoch(w.now), append(body, make([]byte, 5000)...))
	w.one(a, w.deliver(a.addr, 0, long), disco.TypeChallenge)
}

func TestBadQuestions(t *testing.T) {
	w := newWorld(t, 2, TableOptions{Own: []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:51821"), netip.MustParseAddrPort("0.0.0.0:51822"),
	}})
	a, b := w.people[0], w.people[1]
	register := disco.RelayMessage{Type: disco.TypeRegister}
	vni := questions(w, b)[2].vni

	for i := range disco.MinFrame - 1 { // truncated
		w.dropped(DropTooShort, func() []letter { return w.deliver(a.addr, 0, w.seal(a, register)[:i]) })
	}
	for i := range frameSize { // any bit changed
		frame := w.seal(a, register)
		frame[i] ^= 0x10
		want := DropAuth
		switch {
		case i < 4:
			want = DropTooShort // no frame at all
		case i < 12:
			want = DropUnknownTag
		}
		w.dropped(want, func() []letter { return w.deliver(a.addr, 0, frame) })
	}

	// A frame of the other domain, for another relay, and one of the relay's own.
	peer, err := a.id.Pair(disco.DomainPeer, w.relay.Public())
	if err != nil {
		t.Fatal(err)
	}
	other, err := a.id.Pair(disco.DomainRelay, identity(77).Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*disco.Pair{peer, other} {
		frame := p.Seal(nil, disco.Epoch(w.now), register.AppendBody(nil))
		w.dropped(DropUnknownTag, func() []letter { return w.deliver(a.addr, 0, frame) })
	}
	var reflected []byte
	w.table.Control(w.now, a.addr, 0, w.seal(a, register), func(_ netip.AddrPort, _ geneve.VNI, b []byte) {
		reflected = append(reflected, b...)
	})
	w.dropped(DropUnknownTag, func() []letter { return w.deliver(a.addr, 0, reflected) })
	copy(reflected[4:], w.seal(a, register)[4:12]) // with the right tag
	w.dropped(DropAuth, func() []letter { return w.deliver(a.addr, 0, reflected) })

	// Types that are not for a relay.
	for _, body := range [][]byte{
		(&disco.Ping{}).AppendBody(nil), (&disco.Pong{Observed: a.addr}).AppendBody(nil),
		append([]byte{200}, make([]byte, 200)...), make([]byte, 200),
	} {
		frame := a.pair.Seal(nil, disco.Epoch(w.now), body)
		w.dropped(DropMessage, func() []letter { return w.deliver(a.addr, 0, frame) })
	}
	for _, typ := range []disco.MessageType{
		disco.TypeChallenge, disco.TypeRegistered, disco.TypeAllocated,
		disco.TypeBindChallenge, disco.TypeBound, disco.TypeUnknown,
	} {
		for _, v := range []geneve.VNI{0, vni} {
			w.dropped(DropType, func() []letter {
				return w.ask(a, v, disco.RelayMessage{Type: typ, VNI: v.Value(), Addr: a.addr})
			})
		}
	}
	for _, q := range questions(w, b) { // with a header that is not theirs
		swapped := vni
		if q.vni.IsSet() {
			swapped = 0
		}
		w.dropped(DropType, func() []letter { return w.ask(a, swapped, q.RelayMessage) })
		if q.vni.IsSet() {
			q.VNI++
			w.dropped(DropWrongVNI, func() []letter { return w.ask(a, vni, q.RelayMessage) })
		}
	}

	for from, want := range map[string]Drop{
		"0.0.0.0:5": DropBadSource, "224.0.0.1:5": DropBadSource, "255.255.255.255:5": DropBadSource,
		"10.0.0.1:0": DropBadSource, "[::]:5": DropBadSource, "[ff02::1]:5": DropBadSource,
		"192.0.2.1:51821": DropOwnAddress, "[::ffff:192.0.2.1]:51821": DropOwnAddress,
		"127.0.0.9:51822": DropOwnAddress, "[::1]:51822": DropOwnAddress,
	} {
		p := &person{id: a.id, pair: a.pair, addr: netip.MustParseAddrPort(from)}
		w.dropped(want, func() []letter { return w.ask(p, 0, register) })
	}
	a.addr = netip.MustParseAddrPort("192.0.2.1:51820") // another port is another program
	w.register(a)
}
