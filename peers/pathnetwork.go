// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/path"
)

// pathNetwork is what the agent sees of a Bind. Its methods are called with the
// mutex of paths held.
type pathNetwork paths

var _ path.Network = (*pathNetwork)(nil)

// SendFrame implements [path.Network].
func (n *pathNetwork) SendFrame(to path.Path, control bool, frame []byte) {
	if n.inside != nil && n.inside(to.Addr.Addr()) {
		n.refused++
		return
	}
	if s := n.bind.socks.Load(); s == nil || len(s.to(to.Addr.Addr())) == 0 {
		return
	}
	n.out = n.out[:0]
	if to.VNI.IsSet() {
		n.out = append(n.out, make([]byte, geneve.HeaderLen)...)
		h := geneve.Header{VNI: to.VNI, Protocol: geneve.ProtocolDisco, Control: control}
		h.Put(n.out) // neither too short nor without a VNI
	}
	n.out = append(n.out, frame...)
	r := n.remoteOf(to)
	bufs := [1][]byte{n.out}
	tap := n.bind.tap.Load()
	at := tap.now()
	_, err := n.bind.give(bufs[:], 0, r.dst, 0, 0, socket.WriteBatch)
	if err != nil && r.dst.Local().IsValid() && sourceRefused(err) {
		r = r.withoutLocal()
		(*paths)(n).remember(to, r)
		_, err = n.bind.give(bufs[:], 0, r.dst, 0, 0, socket.WriteBatch)
	}
	if err != nil {
		n.bind.tx.refuse(1, err)
		return
	}
	if tap != nil {
		e := r.last.Load()
		if e == nil {
			e = n.seems.who(n.bind, to, at)
		}
		tap.sent(at, e, r, bufs[:], 0, 0)
	}
}

// remoteOf returns the remote at the other end of a path. What the agent answers, or
// chooses because of it, was authentic: packets leave from the address that it was
// sent to from then on.
func (n *pathNetwork) remoteOf(at path.Path) *remote {
	if r := n.arriving; r != nil && r.path() == at {
		(*paths)(n).remember(at, r)
		return r
	}
	if r := n.known[at]; r != nil {
		return r
	}
	r := newRemote(n.bind, at.Addr, netip.Addr{}, 0, at.VNI)
	(*paths)(n).remember(at, r)
	return r
}

// Use implements [path.Network].
func (n *pathNetwork) Use(peer Key, c path.Choice) {
	e := n.bind.Lookup(peer)
	if e == nil {
		return
	}
	if !c.Primary.IsSet() {
		e.chosen.Store(false)
		delete(n.lent, e)
		e.also.Store(nil)
		// Where was it heard last?
		if r, cur := e.elsewhere.Swap(nil), e.cur.Load(); r != nil && int32(r.heard.Load()-cur.heard.Load()) > 0 {
			e.moveTo(cur, r)
			return
		}
		// A peer that was only silent is where it was; one over a relay that failed
		// may be found where the configuration says.
		if c.Why == "idle" {
			return
		}
		if r, addr := e.cur.Load(), n.configured[peer]; r != nil && r.vni.IsSet() && addr.IsValid() {
			e.cur.CompareAndSwap(r, newRemote(n.bind, addr, netip.Addr{}, 0, 0))
		}
		return
	}
	e.chosen.Store(true)
	if old := e.cur.Load(); old == nil || old.path() != c.Primary {
		e.elsewhere.Store(nil)
		e.cur.Store(n.remoteOf(c.Primary))
		e.roams.Add(1)
	}
	if _, lent := n.lent[e]; !lent {
		n.useAlso(e, c.Also)
	}
}

func (n *pathNetwork) useAlso(e *Endpoint, at path.Path) {
	if !at.IsSet() {
		e.also.Store(nil)
		return
	}
	e.also.Store(n.remoteOf(at))
}

// Watch implements [path.Network].
func (n *pathNetwork) Watch(peer Key, on bool) {
	if e := n.bind.Lookup(peer); e != nil {
		e.watched.Store(on)
	}
}

// Traffic implements [path.Network].
func (n *pathNetwork) Traffic(peer Key) path.Traffic {
	e := n.bind.Lookup(peer)
	if e == nil {
		return path.Traffic{}
	}
	left, _ := e.accounts.tx.totals()
	t := path.Traffic{Sent: left + e.sendErrs.noAddress.Load() + e.sendErrs.refused.Load()}
	if r := e.cur.Load(); r != nil {
		t.Current = r.path()
	}
	return t
}

// resendFor is how long an initiation is worth sending again: the device makes
// a new one after 5 s (WireGuard whitepaper, REKEY_TIMEOUT).
const resendFor = 5 * time.Second

// A heldInitiation is a copy of the last handshake initiation to a peer.
type heldInitiation struct {
	at  time.Time
	msg []byte // behind the headroom
}

// hold keeps the initiation in buf, which begins at offset.
func (e *Endpoint) hold(buf []byte, offset int) {
	e.initiation.Store(&heldInitiation{time.Now(), append(make([]byte, geneve.HeaderLen), buf[offset:]...)})
}

// Resend implements [path.Network].
func (n *pathNetwork) Resend(peer Key) {
	e := n.bind.Lookup(peer)
	if e == nil || e.unanswered.Load() == 0 {
		return
	}
	if h := e.initiation.Load(); h != nil && time.Since(h.at) < resendFor {
		bufs := [1][]byte{bytes.Clone(h.msg)}
		n.bind.sendTo(bufs[:], e, e.cur.Load(), geneve.HeaderLen)
	}
}
