// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// A Destination is a remote address, optionally with the local address to send
// from, and what is known about segmented messages on the path to it. The
// addresses never change; the rest is atomic. It is safe for concurrent use and
// belongs to no [Conn]: groups of sockets share it.
type Destination struct {
	// immutable after NewDestination
	remote  netip.AddrPort
	local   netip.Addr
	ifIndex uint32
	raw     rawDestination
	epoch   time.Time // what retryAt counts from

	// retryAt is when segmented messages are tried again, in nanoseconds after
	// epoch; 0 while they are in use.
	retryAt atomic.Int64
}

// NewDestination returns the destination remote. Packets leave from the address
// local; the zero Addr lets the kernel choose. A local address that cannot be a
// source (multicast, unspecified, the other family) counts as none.
//
// ifIndex is the interface that link-local IPv6 addresses belong to; it is used
// for those only. The zone of remote, a name or a number, comes first. The
// interface is looked up now: when it is created anew, so must the Destination
// be.
func NewDestination(remote netip.AddrPort, local netip.Addr, ifIndex uint32) *Destination {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	local = local.Unmap().WithZone("")
	if !local.IsValid() || local.IsUnspecified() || local.IsMulticast() || local.Is4() != remote.Addr().Is4() {
		local = netip.Addr{}
	}
	d := &Destination{remote: remote, local: local, ifIndex: ifIndex, epoch: time.Now()}
	d.raw = encode(remote, local, ifIndex)
	return d
}

// Remote returns the remote address. An IPv4 address is never in its IPv6 form.
func (d *Destination) Remote() netip.AddrPort { return d.remote }

// Local returns the address that packets are sent from, without a zone; the
// zero Addr when the kernel chooses.
func (d *Destination) Local() netip.Addr { return d.local }

// IfIndex returns the interface given to [NewDestination].
func (d *Destination) IfIndex() uint32 { return d.ifIndex }

// segmented reports whether segmented messages may be tried. After the pause
// that [Destination.pause] set, the first call that finds it over ends it.
func (d *Destination) segmented(now func() time.Time) bool {
	at := d.retryAt.Load()
	if at == 0 {
		return true
	}
	if int64(now().Sub(d.epoch)) < at {
		return false
	}
	d.retryAt.CompareAndSwap(at, 0)
	return true
}

// pause keeps segmented messages away until the time until.
func (d *Destination) pause(until time.Time) {
	d.retryAt.Store(max(1, int64(until.Sub(d.epoch))))
}
