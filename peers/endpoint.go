// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/conn"
)

// Key is a WireGuard public key.
type Key = [32]byte

// An Endpoint is one peer as the device sees it: a stable object, made once per
// peer by [Bind.Add], behind which the address of the peer moves. All methods
// may be called concurrently.
type Endpoint struct {
	// immutable after Bind.Add
	bind   *Bind
	key    Key
	socket uint32 // which socket of a family sends to it, modulo their number

	cur        atomic.Pointer[remote] // where packets go; nil: nowhere is known yet
	also       atomic.Pointer[remote] // where they go as well while cur is in doubt
	chosen     atomic.Bool            // cur was chosen among paths: what arrives does not move it
	elsewhere  atomic.Pointer[remote] // where the peer was heard last meanwhile, other than from cur
	watched    atomic.Bool            // paths are told over which path the peer is heard
	wanted     atomic.Bool            // paths were told that packets wait for one
	initiation atomic.Pointer[heldInitiation]
	gone       atomic.Bool   // removed from the Bind
	unanswered atomic.Uint32 // initiations sent since the peer was last heard
	sending    atomic.Int32  // calls that send to the peer now

	again    atomic.Uint64 // packets sent a second time, over the other path
	roams    atomic.Uint64
	released atomic.Uint64 // sticky sources let go
	sendErrs sendErrors
	accounts accounts

	mu          sync.Mutex // guards the fields below
	initiations initiations
	lastSent    uint32 // sender index of the initiation last sent; guarded by the mutex of the Bind
	name        Name   // configured endpoint name; zero: none
	resolving   bool   // a lookup of name is under way or asked for
}

var _ conn.Endpoint = (*Endpoint)(nil)

// Key returns the public key of the peer.
func (e *Endpoint) Key() Key { return e.key }

// Addr returns where packets to the peer go now, or the zero AddrPort when
// nothing is known.
func (e *Endpoint) Addr() netip.AddrPort {
	if r := e.cur.Load(); r != nil {
		return r.dst.Remote()
	}
	return netip.AddrPort{}
}

// Source returns the sticky local address of the peer, or the zero Addr while
// the kernel chooses.
func (e *Endpoint) Source() netip.Addr {
	if r := e.cur.Load(); r != nil {
		return r.dst.Local()
	}
	return netip.Addr{}
}

// SetAddr says where the peer is, as its configuration does. It takes effect
// with the next packet and releases the sticky source, unless the peer is a
// router whose path is chosen: then the address is one that it may be found at.
// An address that is in use already changes nothing.
func (e *Endpoint) SetAddr(addr netip.AddrPort) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	e.bind.paths.setConfigured(e.key, addr)
	if r := e.cur.Load(); e.chosen.Load() || r != nil && !r.vni.IsSet() && r.dst.Remote() == addr {
		return
	}
	e.cur.Store(newRemote(e.bind, addr, netip.Addr{}, 0, 0))
}

// heardFrom records that an authenticated packet came from r.
func (e *Endpoint) heardFrom(r *remote) {
	if e.unanswered.Load() != 0 {
		e.unanswered.Store(0)
	}
	old := e.cur.Load()
	if old == r {
		return
	}
	if e.chosen.Load() && old != nil && old.path() != r.path() {
		if e.elsewhere.Load() != r {
			e.elsewhere.Store(r)
		}
		return
	}
	e.moveTo(old, r)
}

// moveTo makes r the current remote. A lost race against another move is fine:
// both are proven, and packets of one peer are authenticated one after another.
func (e *Endpoint) moveTo(old, r *remote) {
	if !e.cur.CompareAndSwap(old, r) {
		return
	}
	if old == nil || old.path() != r.path() {
		e.roams.Add(1)
		e.bind.log.Debug("peer address learned", "peer", e, "addr", r.path())
	}
}

// dropSource lets the sticky source of r go, if r is still current, and returns
// the remote to use instead.
func (e *Endpoint) dropSource(r *remote, why string) *remote {
	n := r.withoutLocal()
	if e.cur.CompareAndSwap(r, n) {
		e.released.Add(1)
		e.bind.log.Debug("sticky source released", "peer", e, "source", r.dst.Local(), "reason", why)
	}
	return n
}

func (e *Endpoint) noteInitiation(sender uint32, from *remote) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.initiations.note(sender, from)
}

func (e *Endpoint) takeInitiations(sender uint32) []*remote {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.initiations.take(sender)
}

// ClearSrc releases the sticky source. The device calls it when handshakes go
// unanswered, in case the source is the cause.
func (e *Endpoint) ClearSrc() {
	if r := e.cur.Load(); r != nil && r.dst.Local().IsValid() {
		e.dropSource(r, "handshake unanswered")
	}
}

// SrcToString returns the sticky source, or "" when there is none.
func (e *Endpoint) SrcToString() string {
	if s := e.Source(); s.IsValid() {
		return s.String()
	}
	return ""
}

// DstToString returns the address of the peer, or "" when none is known.
func (e *Endpoint) DstToString() string {
	if a := e.Addr(); a.IsValid() {
		return a.String()
	}
	return ""
}

// DstToBytes returns the address of the peer in binary.
func (e *Endpoint) DstToBytes() []byte {
	if r := e.cur.Load(); r != nil {
		return r.text
	}
	return nil
}

// DstIP returns the IP address of the peer; the zero Addr when none is known, and
// one made up for a pair on a relay.
func (e *Endpoint) DstIP() netip.Addr {
	if r := e.cur.Load(); r != nil {
		return r.DstIP()
	}
	return netip.Addr{}
}

// SrcIP returns the sticky source, as [Endpoint.Source].
func (e *Endpoint) SrcIP() netip.Addr { return e.Source() }

// LogValue shows a peer in logs by the start of its public key, as wg-tools'
// users know it.
func (e *Endpoint) LogValue() slog.Value { return slog.StringValue(shortKey(e.key)) }
