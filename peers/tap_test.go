// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/conn"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// A watcher is a Tap that keeps what it sees, as it is on the wire.
type watcher struct {
	mu   sync.Mutex
	seen []peers.Datagram
}

func (w *watcher) Datagram(d peers.Datagram) {
	var wire []byte
	if d.VNI.IsSet() {
		wire = make([]byte, geneve.HeaderLen)
		h := geneve.Header{VNI: d.VNI, Protocol: geneve.ProtocolWireGuard}
		h.Put(wire)
	}
	d.Data = append(wire, d.Data...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, d)
}

// take returns what was seen.
func (w *watcher) take() []peers.Datagram {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// saw reports whether a datagram was seen.
func saw(seen []peers.Datagram, sent bool, remote netip.AddrPort, data []byte) (peers.Datagram, bool) {
	for _, d := range seen {
		if d.Sent == sent && d.Remote == remote && bytes.Equal(d.Data, data) {
			return d, true
		}
	}
	return peers.Datagram{}, false
}

// TestTap: every datagram that leaves or arrives is seen as it is on the wire, with the
// peer that it is of: handshakes, data, path discovery.
func TestTap(t *testing.T) {
	n := newFakeNet()
	a, b := newNode(t, n, 1), newNode(t, n, 2)
	a.peer(b, b.outer)
	b.peer(a, a.outer)
	atA, atB := new(watcher), new(watcher)
	a.bind.SetTap(atA)
	b.bind.SetTap(atB)
	a.discover()
	b.discover()
	a.ping(b)
	b.ping(a)
	eventually(t, "a path is chosen", func() bool { return choice(a, b.public).IsSet() })
	sent := n.log()
	kinds := map[string]int{}
	// What was sent is seen after it has left, so perhaps after it has arrived.
	eventually(t, "all are seen", func() bool {
		for _, d := range sent {
			from, to := atA, atB
			if d.from == b.outer {
				from, to = atB, atA
			}
			_, left := saw(from.take(), true, d.to, d.data)
			_, arrived := saw(to.take(), false, d.from, d.data)
			if !left || !arrived {
				return false
			}
		}
		return true
	})
	for _, d := range sent {
		kind := fmt.Sprint("type ", d.data[0])
		if disco.IsFrame(d.data) {
			kind = "disco"
		}
		kinds[kind]++
		from, to, sender, receiver := atA, atB, a, b
		if d.from == b.outer {
			from, to, sender, receiver = atB, atA, b, a
		}
		out, ok := saw(from.take(), true, d.to, d.data)
		if !ok || !out.Known || out.Peer != receiver.public || out.At.IsZero() || out.Local.Port() != d.from.Port() {
			t.Errorf("%s of %d bytes was sent, and seen: %v, %+v", kind, len(d.data), ok, out)
		}
		in, _ := saw(to.take(), false, d.from, d.data)
		if !in.Known || in.Peer != sender.public || in.Local.Port() != d.to.Port() {
			t.Errorf("%s of %d bytes arrived, and was seen as %+v", kind, len(d.data), in)
		}
	}
	for _, kind := range []string{"type 1", "type 2", "type 4", "disco"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s among %v", kind, kinds)
		}
	}

	// What is dropped is seen, and is nobody's.
	stranger := netip.MustParseAddrPort("203.0.113.9:9")
	n.inject(datagram{from: stranger, to: a.outer, data: []byte("no such thing")})
	eventually(t, "junk is seen", func() bool {
		d, ok := saw(atA.take(), false, stranger, []byte("no such thing"))
		return ok && !d.Known
	})

	a.bind.SetTap(nil)
	eventually(t, "nobody sees any more", func() bool { // but what was under way
		before := len(atA.take())
		a.ping(b)
		b.ping(a)
		return len(atA.take()) == before
	})
}

// TestTapRelayed: what goes over a relay is seen with the frame around it.
func TestTapRelayed(t *testing.T) {
	n, a, b, r, _ := relayed(t)
	w := new(watcher)
	a.bind.SetTap(w)
	before := len(n.log())
	a.ping(b)
	b.ping(a)
	a.bind.SetTap(nil)
	sent := n.log()[before:]
	eventually(t, "a frame is seen as it left", func() bool { // perhaps after it has arrived
		for _, d := range sent {
			var h geneve.Header
			if d.from != a.outer || h.Decode(d.data) != nil || h.Protocol != geneve.ProtocolWireGuard {
				continue
			}
			if seen, ok := saw(w.take(), true, r.at, d.data); ok && seen.Peer == b.public {
				return true
			}
		}
		return false
	})
	arrived := 0
	for _, d := range w.take() {
		if !d.Sent && d.Remote == r.at && d.Peer == b.public && len(d.Data) > geneve.HeaderLen && d.Data[0] == 0 {
			arrived++
		}
	}
	if arrived == 0 {
		t.Error("no frames were seen as they arrived")
	}
}

// nobody is a Tap that looks away.
type nobody struct{}

func (nobody) Datagram(peers.Datagram) {}

// Being seen costs no allocation either.
func TestTapNoAllocs(t *testing.T) {
	n, a, b, _, ofB := relayed(t)
	a.bind.SetTap(nobody{})
	in := newFakeSocket(newFakeGroup(n, a.outer, &batching.Options{}))
	recv := peers.ReceiveFrom(a.bind, in)
	n.socket(a.outer).quiet.Store(true)
	bufs := transport(128, 1452)
	slab, packets := make([]byte, 2*65535), make([]conn.ReceivedPacket, a.bind.BatchSize())
	d := datagram{from: b.outer, to: a.outer, data: transport(1, 200)[0][headroom:]}
	// The devices and the relay go on meanwhile, but do little.
	if got := testing.AllocsPerRun(1000, func() {
		if err := a.bind.Send(bufs, ofB, headroom); err != nil {
			t.Fatal(err)
		}
		for range 16 {
			in.in <- d
		}
		if k, err := recv(slab, packets); err != nil || k != 16 {
			t.Fatalf("%d packets, %v", k, err)
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}
