// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/conn"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/path"
)

// A remote is a path that datagrams come from or go to, together with the local
// address that they were sent to: an address, or a pair on the relay at that
// address. It is immutable but for a cache and a mark, and shared by all that
// refer to it.
//
// The device sees it as the endpoint of what it receives: it asks for the
// address (cookies, rate limit) and calls FromPeer once it knows which peer the
// packet is from.
type remote struct {
	bind *Bind
	dst  *batching.Destination
	vni  geneve.VNI // of the pair on a relay; none: direct
	text []byte     // DstToBytes: stable, because cookies are made from it

	count *pathCount
	class class

	last  atomic.Pointer[Endpoint] // the peer last heard through this remote
	heard atomic.Uint32            // the beat of the Bind in which that was
}

var (
	_ conn.Endpoint          = (*remote)(nil)
	_ conn.PeerAwareEndpoint = (*remote)(nil)
)

func newRemote(b *Bind, addr netip.AddrPort, local netip.Addr, ifIndex uint32, vni geneve.VNI) *remote {
	text, _ := addr.MarshalBinary() // never fails
	if vni.IsSet() {
		text = binary.BigEndian.AppendUint32(text, vni.Value())
	}
	r := &remote{bind: b, dst: batching.NewDestination(addr, local, ifIndex), vni: vni, text: text}
	r.count, r.class = b.counts.of(r.path()), classOf(r.path())
	return r
}

// withoutLocal returns the same remote without a sticky source.
func (r *remote) withoutLocal() *remote {
	return newRemote(r.bind, r.dst.Remote(), netip.Addr{}, 0, r.vni)
}

// path returns the path that the remote is an end of.
func (r *remote) path() path.Path { return path.Path{Addr: r.dst.Remote(), VNI: r.vni} }

// same reports whether both stand for the same addresses.
func (r *remote) same(o *remote) bool {
	return r.dst.Remote() == o.dst.Remote() && r.vni == o.vni &&
		r.dst.Local() == o.dst.Local() && r.dst.IfIndex() == o.dst.IfIndex()
}

// FromPeer tells that an authenticated packet of the peer with that key came
// from this remote. It is called for every packet, so the common case is a few
// loads and comparisons.
func (r *remote) FromPeer(key Key) {
	e := r.last.Load()
	if e == nil || e.key != key || e.gone.Load() {
		if e = r.bind.Lookup(key); e == nil {
			return
		}
		r.last.Store(e)
	}
	e.accounts.authentic.Add(1)
	if beat := r.bind.paths.beat.Load(); r.heard.Load() != beat {
		r.bind.paths.noteHeard(e, r, beat)
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
func (r *remote) DstToString() string { return r.path().String() }
func (r *remote) DstToBytes() []byte  { return r.text }
func (r *remote) SrcIP() netip.Addr   { return r.dst.Local() }

// DstIP returns the address that the device limits handshakes by. The pairs on a
// relay have different ones, made up of address and VNI: otherwise one of them
// would use up what all may.
func (r *remote) DstIP() netip.Addr {
	a := r.dst.Remote().Addr()
	if !r.vni.IsSet() {
		return a
	}
	// Of a prefix that is only for documentation (RFC 9637), not that of a host.
	b := [16]byte{0: 0x3f, 1: 0xff, 2: 0x0f}
	for i, c := range a.AsSlice() {
		b[4+i%8] ^= c
	}
	binary.BigEndian.PutUint32(b[12:], r.vni.Value())
	return netip.AddrFrom16(b)
}

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
