// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// FuzzControl sends bodies that authenticate, and frames that do not.
func FuzzControl(f *testing.F) {
	for typ := byte(0); typ <= byte(disco.TypeUnknown)+1; typ++ {
		m := disco.RelayMessage{Type: disco.MessageType(typ), VNI: 7, Addr: address(1)}
		f.Add(m.AppendBody(nil), uint32(7), true, false, false)
		f.Add(m.AppendBody(nil), uint32(0), false, true, true)
	}
	f.Fuzz(func(t *testing.T, body []byte, vni uint32, control, right, forged bool) {
		w := newWorld(t, 3, TableOptions{MaxSessions: 4})
		a, b := w.people[0], w.people[1]
		s := w.session(a, b)
		if len(body) < disco.MinBody || len(body) > disco.MaxBody {
			return
		}
		if right && len(body) >= disco.RelayBody { // so that it gets far
			var m disco.RelayMessage
			if m.Decode(body) != nil {
				return
			}
			m.VNI, m.Generation, vni = s.VNI, s.Generation, s.VNI
			m.Key, m.Cookie = w.people[2].key(), w.register(a).Cookie
			body = m.AppendBody(nil)
		}
		v, _ := geneve.MakeVNI(vni & geneve.MaxVNI)
		if !control {
			v = 0
		}
		frame := a.pair.Seal(nil, disco.Epoch(w.now), body)
		if forged {
			frame[len(frame)-1-int(vni)%disco.MinBody] ^= 1
		}
		if l := w.deliver(a.addr, v, frame); forged && len(l) > 0 {
			t.Errorf("%d answers to a frame that does not authenticate", len(l))
		}
		w.routes(vniOf(s), a.addr, b.addr)
	})
}

// A post is a writer that keeps what it is given.
type post struct {
	calls  []int // packets of each call
	frames [][]byte
	to     []netip.AddrPort
}

func (p *post) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, _ geneve.VNI) (int, error) {
	p.calls = append(p.calls, len(bufs))
	for _, b := range bufs {
		p.frames = append(p.frames, bytes.Clone(b[offset:]))
		p.to = append(p.to, dst.Remote())
	}
	return len(bufs), nil
}

// postOffice hands every group the same writer.
type postOffice struct{ writer }

func (o postOffice) to(int) writer { return o.writer }

// FuzzDatagram lets datagrams of any content arrive, from a leg and from elsewhere.
func FuzzDatagram(f *testing.F) {
	vni, _ := geneve.MakeVNI(7)
	f.Add(withHeader(f, vni, geneve.ProtocolWireGuard, false, []byte("frame")), true, true)
	f.Add(withHeader(f, vni, geneve.ProtocolDisco, true, make([]byte, 200)), true, false)
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0}, false, false)
	f.Add([]byte{0xf3, 0x74, 0x72, 0x64}, false, false)
	f.Add([]byte{}, false, false)
	f.Fuzz(func(t *testing.T, b []byte, leg, right bool) {
		w := newWorld(t, 2, TableOptions{})
		a, c := w.people[0], w.people[1]
		s := w.session(a, c)
		if right && len(b) >= geneve.HeaderLen {
			b[4], b[5], b[6] = byte(s.VNI>>16), byte(s.VNI>>8), byte(s.VNI)
		}
		from := address(99)
		if leg {
			from = a.addr
		}
		var p post
		wk := &worker{server: &Server{table: w.table}, slab: append([]byte(nil), b...)}
		wk.out.prepare(w.table, postOffice{&p})
		wk.reply = func(*place, geneve.VNI, []byte) { t.Error("an answer to what does not authenticate") }
		before := total(w.table.drops.snapshot())
		wk.batch(w.now, []batching.Packet{{Size: len(b), Remote: from}})
		dropped := total(w.table.drops.snapshot()) - before
		if uint64(len(p.frames))+dropped != 1 {
			t.Errorf("%d forwarded and %d dropped, want one", len(p.frames), dropped)
		}
		if len(p.frames) == 1 && (!leg || !bytes.Equal(p.frames[0], b) || p.to[0] != c.addr) {
			t.Errorf("forwarded %x to %v, came %x (leg %v)", p.frames[0], p.to[0], b, leg)
		}
	})
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}
