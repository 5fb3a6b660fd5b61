// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"net/netip"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
)

// A remote is an address that datagrams come from or go to, together with the
// local address that they were sent to. It is immutable but for a cache, and
// shared by all that refer to it.
//
// The device sees it as the endpoint of what it receives: it asks for the
// address (cookies, rate limit) and calls FromPeer once it knows which peer the
// packet is from.
type remote struct {
	bind *Bind
	dst  *batching.Destination
	text []byte // DstToBytes: stable, because cookies are made from it

	last atomic.Pointer[Endpoint] // the peer last heard through this remote
}

var (
	_ conn.Endpoint          = (*remote)(nil)
	_ conn.PeerAwareEndpoint = (*remote)(nil)
)

func newRemote(b *Bind, addr netip.AddrPort, local netip.Addr, ifIndex uint32) *remote {
	text, _ := addr.MarshalBinary() // never fails
	return &remote{bind: b, dst: batching.NewDestination(addr, local, ifIndex), text: text}
}

// withoutLocal returns the same remote without a sticky source.
func (r *remote) withoutLocal() *remote {
	return newRemote(r.bind, r.dst.Remote(), netip.Addr{}, 0)
}

// same reports whether both stand for the same addresses.
func (r *remote) same(o *remote) bool {
	return r.dst.Remote() == o.dst.Remote() && r.dst.Local() == o.dst.Local() && r.dst.IfIndex() == o.dst.IfIndex()
}

// FromPeer tells that an authenticated packet of the peer with that key came
// from this remote. It is called for every packet, so the common case is two
// loads and a comparison.
func (r *remote) FromPeer(key Key) {
	e := r.last.Load()
	if e == nil || e.key != key || e.gone.Load() {
		if e = r.bind.Lookup(key); e == nil {
			return
		}
		r.last.Store(e)
	}
	e.heardFrom(r)
}

// ClearSrc does nothing: a remote is immutable, the sticky source of a peer
// belongs to its [Endpoint].
func (r *remote) ClearSrc() {}

func (r *remote) SrcToString() string {
	if l := r.dst.Local(); l.IsValid() {
		return l.String()
	}
	return ""
}
func (r *remote) DstToString() string { return r.dst.Remote().String() }
func (r *remote) DstToBytes() []byte  { return r.text }
func (r *remote) DstIP() netip.Addr   { return r.dst.Remote().Addr() }
func (r *remote) SrcIP() netip.Addr   { return r.dst.Local() }

// An initiation is the endpoint of one received handshake initiation: its
// remote, and the sender index that the response will name.
type initiation struct {
	*remote
	sender uint32
}

var _ conn.InitiationAwareEndpoint = initiation{}

// InitiationMessagePublicKey notes where the initiation came from. Nothing is
// learned: the device calls it before it has verified the message.
func (i initiation) InitiationMessagePublicKey(key Key) {
	if e := i.bind.Lookup(key); e != nil {
		e.noteInitiation(i.sender, i.remote)
	}
}
