// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import "github.com/tailscale/wireguard-go/tun"

// A Tap sees the packets that pass between the crypto side and the rest, each as it
// enters or leaves a [Device]. Its methods are called by the packet path, by several
// goroutines at once: they must neither wait nor keep or change what they are given.
type Tap interface {
	// FromPeers sees the packets bufs[i][offset:] that peers sent, before anything is
	// decided about them.
	FromPeers(bufs [][]byte, offset int)
	// ToPeers sees the packets that go to peers, after all that was decided.
	ToPeers(slab []byte, packets []tun.ReadPacket)
}

// SetTap makes t see the packets from the next batch on; nil ends that. A batch that is
// under way may still be shown to the one before.
func (d *Device) SetTap(t Tap) {
	if t == nil {
		d.tap.Store(nil)
		return
	}
	d.tap.Store(&t)
}

// fromPeers shows what was written to who wants to see it.
func (d *Device) fromPeers(bufs [][]byte, offset int) {
	if t := d.tap.Load(); t != nil {
		(*t).FromPeers(bufs, offset)
	}
}

// toPeers shows what was read to who wants to see it.
func (d *Device) toPeers(slab []byte, packets []tun.ReadPacket) {
	if t := d.tap.Load(); t != nil && len(packets) > 0 {
		(*t).ToPeers(slab, packets)
	}
}
