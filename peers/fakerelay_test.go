// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/disco"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/peers/relay"
)

// A fakeRelay is a relay on the fake network: the table of package relay, with
// channels in place of sockets.
type fakeRelay struct {
	net   *fakeNet
	at    netip.AddrPort
	key   peers.Key
	table *relay.Table
	sock  *fakeSocket
	ended chan struct{}
}

// newFakeRelay returns a relay for the keys of nodes. It ends with the test.
func newFakeRelay(t *testing.T, n *fakeNet, clients ...*node) *fakeRelay {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host := netip.AddrFrom4([4]byte{198, 51, 100, 1})
	r := &fakeRelay{net: n, at: netip.AddrPortFrom(host, 3479), key: peers.Key(private.PublicKey().Bytes()), ended: make(chan struct{})}
	g := newFakeGroup(n, r.at, &batching.Options{})
	n.mu.Lock()
	r.sock = g.grow(1)[0]
	n.groups[r.at] = g
	n.mu.Unlock()
	o := relay.TableOptions{Identity: disco.NewIdentity(peers.Key(private.Bytes()))}
	for _, c := range clients {
		o.Allowed = append(o.Allowed, c.public)
	}
	r.table = relay.NewTable(&o)
	go r.run()
	t.Cleanup(func() {
		_ = r.sock.Close() // never fails
		<-r.ended
	})
	return r
}

func (r *fakeRelay) run() {
	defer close(r.ended)
	for {
		select {
		case <-r.sock.closed:
			return
		case d := <-r.sock.in:
			r.take(d)
		}
	}
}

func (r *fakeRelay) take(d datagram) {
	answer := func(to netip.AddrPort, vni geneve.VNI, frame []byte) {
		b := make([]byte, 0, geneve.HeaderLen+len(frame))
		if vni.IsSet() {
			b = b[:geneve.HeaderLen]
			h := geneve.Header{VNI: vni, Protocol: geneve.ProtocolDisco, Control: true}
			h.Put(b)
		}
		r.net.inject(datagram{from: r.at, to: to, data: append(b, frame...)})
	}
	now := time.Now()
	if disco.IsFrame(d.data) {
		r.table.Control(now, d.from, 0, d.data, answer)
		return
	}
	var h geneve.Header
	if h.Decode(d.data) != nil {
		return
	}
	if h.Control {
		r.table.Control(now, d.from, h.VNI, d.data[geneve.HeaderLen:], answer)
		return
	}
	if to, drop := r.table.Route(now, h.VNI, d.from); drop == relay.DropNone {
		r.net.inject(datagram{from: r.at, to: to.Addr(), data: d.data})
	}
}

// discover turns path discovery of a node on, and runs it until the test ends.
func (x *node) discover(relays ...*fakeRelay) {
	x.t.Helper()
	x.bind.SetLocalAddrs([]netip.Addr{x.outer.Addr()})
	var list []path.Relay
	for _, r := range relays {
		list = append(list, path.Relay{Key: r.key, Addrs: []netip.AddrPort{r.at}, Name: "relay"})
	}
	x.bind.SetRelays(list)
	x.bind.SetIdentity(peers.Key(x.private.Bytes()))
	runUntilEnd(x.t, x.bind.RunPaths)
}
