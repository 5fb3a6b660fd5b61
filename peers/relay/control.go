// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// frameSize is the length of every frame that the relay sends; no question is
// shorter.
const frameSize = disco.Overhead + disco.RelayBody

// scratch is the memory that a call of Control works in.
type scratch struct {
	question disco.RelayMessage
	body     []byte // of the question, then of the answer
	frame    []byte
}

// A turn is one question and what it leads to.
type turn struct {
	now    int64
	src    *source
	client *client // who asks
	epoch  uint64  // in which it asks
	msg    *disco.RelayMessage
	vni    geneve.VNI // of the header

	answers [2]answer
	n       int
}

// An answer is a message that the relay sends when it has let go of the lock.
type answer struct {
	client *client
	epoch  uint64
	to     *place
	vni    geneve.VNI // with a Geneve header, if set
	msg    disco.RelayMessage
}

// Control handles one disco frame that came from an address: with a Geneve header
// with the control bit before it, vni is that of the header; without one it is
// none. What is to be answered goes through send, during the call: a frame, with
// such a header if vni is set. At most two frames are sent, none longer than the
// one that came. Everything is borrowed.
func (t *Table) Control(now time.Time, from netip.AddrPort, vni geneve.VNI, frame []byte, send func(to netip.AddrPort, vni geneve.VNI, frame []byte)) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	t.handle(now, &source{remote: from}, vni, frame, func(to *place, vni geneve.VNI, frame []byte) {
		send(to.addr, vni, frame)
	})
}

// handle is Control with all that a server knows. It counts what it drops.
func (t *Table) handle(now time.Time, src *source, vni geneve.VNI, frame []byte, send func(to *place, vni geneve.VNI, frame []byte)) Drop {
	sc := t.scratch.Get().(*scratch)
	defer t.scratch.Put(sc)
	from, drop := t.open(now, frame, sc)
	if drop != DropNone {
		t.drops.add(drop, 1)
		return drop
	}
	tn := turn{src: src, client: from.client, epoch: from.epoch, msg: &sc.question, vni: vni}
	drop = t.decide(now, &tn)
	t.drops.add(drop, 1)
	for i := range tn.answers[:tn.n] {
		a := &tn.answers[i]
		sc.body = a.msg.AppendBody(sc.body[:0])
		sc.frame = a.client.pair.Seal(sc.frame[:0], a.epoch, sc.body)
		t.counted.sent(a.msg.Type)
		send(a.to, a.vni, sc.frame)
	}
	return drop
}

// open finds out whom a frame is from and what it says. It takes no lock.
func (t *Table) open(now time.Time, frame []byte, sc *scratch) (tagged, Drop) {
	if !disco.IsFrame(frame) {
		return tagged{}, DropTooShort
	}
	from, ok := t.find(now, disco.FrameTag(frame))
	if !ok {
		return tagged{}, DropUnknownTag
	}
	body, err := from.client.pair.Open(sc.body[:0], frame)
	if err != nil {
		return tagged{}, DropAuth
	}
	sc.body = body
	if sc.question.Decode(body) != nil {
		return tagged{}, DropMessage
	}
	return from, DropNone
}

// decide does what the question of tn asks for, and writes the answers into tn.
func (t *Table) decide(now time.Time, tn *turn) Drop {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tn.client.gone {
		return DropUnknownTag
	}
	if !isHost(tn.src.remote) {
		return DropBadSource
	}
	if t.own.has(tn.src.remote) {
		return DropOwnAddress
	}
	tn.now = t.beginLocked(now)

	var handle func(*Table, *turn) Drop
	control := true
	switch tn.msg.Type {
	case disco.TypeRegister:
		handle, control = (*Table).registerLocked, false
	case disco.TypeAllocate:
		handle, control = (*Table).allocateLocked, false
	case disco.TypeBind:
		handle = (*Table).bindLocked
	case disco.TypeBindAnswer:
		handle = (*Table).bindAnswerLocked
	default:
		return DropType
	}
	if control != tn.vni.IsSet() {
		return DropType
	}
	if control && tn.vni.Value() != tn.msg.VNI {
		return DropWrongVNI
	}
	t.counted.received(tn.msg.Type)
	return handle(t, tn)
}

// admitLocked says whether a question may be answered. proven means that a cookie
// says that it comes from where it seems to.
func (t *Table) admitLocked(tn *turn, proven bool) Drop {
	if !tn.client.limit.take(tn.now, proven, answersClient, answersBurst) {
		return DropClientLimit
	}
	if !t.limit.take(tn.now, proven, answersTotal, answersTotal) {
		return DropTotalLimit
	}
	return DropNone
}

// answer adds the answer to the question of tn, which goes to p.
func (tn *turn) answer(p *place, m disco.RelayMessage) {
	m.TxID = tn.msg.TxID
	tn.add(answer{client: tn.client, epoch: tn.epoch, to: p, vni: tn.vni, msg: m})
}

func (tn *turn) add(a answer) {
	tn.answers[tn.n] = a
	tn.n++
}
