// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/path"
)

// A Datagram is one that a [Bind] has sent or received, as it is on the wire.
type Datagram struct {
	At   time.Time
	Sent bool
	// Peer is whose it is: to whom it was sent, or who it seems to be from. What was
	// received is not verified yet. Known is false when nobody seems to be.
	Peer  Key
	Known bool
	// Local is where it left from or arrived, Remote the other end, which may be a
	// relay. The address of Local is invalid when the kernel chose it.
	Local, Remote netip.AddrPort
	// VNI is that of the Geneve header that was put in front of Data, if any. What was
	// received has it in Data.
	VNI  geneve.VNI
	Data []byte
}

// A Tap sees datagrams. It is called by the packet path, by several goroutines at once:
// it must neither wait nor keep or change what it is given.
type Tap interface {
	Datagram(d Datagram)
}

// SetTap makes t see every datagram from the next batch on: also those that are no
// WireGuard message, before they are dropped. Nil ends that. A batch that is under way
// may still be shown to the one before.
func (b *Bind) SetTap(t Tap) {
	if t == nil {
		b.tap.Store(nil)
		return
	}
	b.tap.Store(&tapping{t})
}

// A tapping is a Tap as the packet path has it. All methods may be called on nil, and do
// nothing then.
type tapping struct{ Tap }

// now returns the time for sent: of before they left, so that no answer is older.
func (t *tapping) now() (at time.Time) {
	if t != nil {
		at = time.Now()
	}
	return at
}

// sent shows datagrams that have left. e may be nil.
func (t *tapping) sent(at time.Time, e *Endpoint, r *remote, bufs [][]byte, offset int, vni geneve.VNI) {
	if t == nil {
		return
	}
	d := Datagram{At: at, Sent: true, Local: netip.AddrPortFrom(r.dst.Local(), r.bind.Port()), Remote: r.dst.Remote(), VNI: vni}
	if e != nil {
		d.Peer, d.Known = e.key, true
	}
	for _, buf := range bufs {
		d.Data = buf[offset:]
		t.Datagram(d)
	}
}

// received shows datagrams that have arrived.
func (t *tapping) received(rx *receiver, slab []byte, pkts []batching.Packet) {
	if t == nil {
		return
	}
	d := Datagram{At: time.Now()}
	for i := range pkts {
		p := &pkts[i]
		d.Data = slab[p.Offset : p.Offset+p.Size]
		d.Local, d.Remote = netip.AddrPortFrom(p.Local, rx.port), p.Remote
		e := rx.seems.from(rx, p, d.Data, d.At)
		if d.Known = e != nil; d.Known {
			d.Peer = e.key
		} else {
			d.Peer = Key{}
		}
		t.Datagram(d)
	}
}

// refreshPlaces is how long what is known of places is used, while packets come from
// others: going through all peers takes about 0.1 us for each.
const refreshPlaces = time.Second

// places is where peers are, for those that have not been heard from there. It belongs
// to one goroutine, or is guarded, and is filled when datagrams are to be shown.
type places struct {
	made time.Time
	at   map[path.Path]*Endpoint
}

// who returns the peer at a path, nil if none is known there.
func (s *places) who(b *Bind, at path.Path, now time.Time) *Endpoint {
	if e := s.at[at]; e != nil {
		return e
	}
	if now.Sub(s.made) < refreshPlaces {
		return nil
	}
	s.made, s.at = now, make(map[path.Path]*Endpoint)
	for _, e := range b.Endpoints() {
		for _, r := range []*remote{e.cur.Load(), e.also.Load(), e.elsewhere.Load()} {
			if r != nil {
				s.at[r.path()] = e
			}
		}
	}
	return s.at[at]
}

// from returns who a datagram seems to be from, nil if nobody.
func (s *places) from(rx *receiver, p *batching.Packet, data []byte, now time.Time) *Endpoint {
	from := path.Path{Addr: p.Remote}
	msg, _ := classify(data)
	var h geneve.Header
	if msg == messageInvalid && h.Decode(data) == nil && data[0] == 0 {
		from.VNI, data = h.VNI, data[geneve.HeaderLen:]
		msg, _ = classify(data)
	}
	switch msg {
	case messageResponse:
		if e := rx.bind.sender(binary.LittleEndian.Uint32(data[offsetResponseReceiver:])); e != nil {
			return e
		}
	case messageCookieReply:
		if e := rx.bind.sender(binary.LittleEndian.Uint32(data[offsetSender:])); e != nil {
			return e // its receiver index is where the others have that of the sender
		}
	case messageInvalid, messageInitiation, messageTransport:
	}
	if r := rx.remotes.table[remoteKey{p.Remote, p.Local, p.IfIndex, from.VNI}]; r != nil {
		if e := r.last.Load(); e != nil {
			return e
		}
	}
	return s.who(rx.bind, from, now)
}

// sender returns the peer whose last initiation had that sender index, nil if none.
func (b *Bind) sender(index uint32) *Endpoint {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.sent[index]
}
