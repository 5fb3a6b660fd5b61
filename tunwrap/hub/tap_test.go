// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"bytes"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
)

// A watcher is a Tap that keeps copies.
type watcher struct{ from, to [][]byte }

func (w *watcher) FromPeers(bufs [][]byte, offset int) {
	for _, b := range bufs {
		w.from = append(w.from, bytes.Clone(b[offset:]))
	}
}

func (w *watcher) ToPeers(slab []byte, packets []tun.ReadPacket) {
	for _, p := range packets {
		w.to = append(w.to, bytes.Clone(slab[p.Offset:p.Offset+p.Size]))
	}
}

// TestTap: what peers send is seen as it came, what goes to them as it leaves, on all
// ways, and nothing once nobody looks.
func TestTap(t *testing.T) {
	f, err := filter.New([]filter.Rule{{Action: filter.Deny, To: filter.End{Parties: []filter.Party{carol}}}, {Action: filter.Allow}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, &hub.Options{Forwarding: hub.On, Filter: f})
	w := new(watcher)
	l.SetTap(w)
	toHost, toBob, denied := udp(aliceAddr, hostAddr, 10), udp(aliceAddr, bobAddr, 20), udp(aliceAddr, carolAddr, 30)
	l.write(toHost, toBob, denied)
	same(t, "from peers", w.from, toHost, toBob, denied)
	l.cut()
	same(t, "to peers", w.to, less(toBob))

	// From the host: what may pass.
	slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 128)
	answer := udp(hostAddr, aliceAddr, 40)
	l.host.send <- [][]byte{answer, udp(hostAddr, carolAddr, 50)}
	if _, err := l.Read(slab, packets); err != nil {
		t.Fatal(err)
	}
	same(t, "to peers", w.to, less(toBob), answer)

	l.SetTap(nil)
	l.write(toHost, toBob)
	l.cut()
	if len(w.from) != 3 || len(w.to) != 2 {
		t.Errorf("%d and %d packets were seen by nobody", len(w.from), len(w.to))
	}
}

// TestTapPassive: likewise with forwarding off and no filter, when everything goes
// straight through.
func TestTapPassive(t *testing.T) {
	l := newLab(t, nil)
	w := new(watcher)
	l.SetTap(w)
	in, out := udp(aliceAddr, bobAddr, 10), udp(bobAddr, aliceAddr, 20)
	l.write(in)
	l.host.send <- [][]byte{out}
	if _, err := l.Read(make([]byte, 131070), make([]tun.ReadPacket, 128)); err != nil {
		t.Fatal(err)
	}
	same(t, "from peers", w.from, in)
	same(t, "to peers", w.to, out)
}
