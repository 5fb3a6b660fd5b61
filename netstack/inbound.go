// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"os"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Write gives the host packets from the tunnel, each a whole IP packet from
// bufs[i][offset] on, and returns how many it took. Bad packets are dropped and
// counted by reason, not an error; empty ones are skipped. It never waits for
// Read. The buffers are not changed and not kept. The only error is
// os.ErrClosed.
func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	d.closing.RLock()
	defer d.closing.RUnlock()
	if d.down {
		d.in.drops[dropInboundClosed].Add(uint64(len(bufs)))
		return 0, os.ErrClosed
	}
	j := d.joiners.Get().(*joiner)
	defer d.joiners.Put(j)
	var drops [numDropReasons]int
	var n, delivered, size int
	for rest := bufs; len(rest) > 0; {
		batch := rest[:min(len(rest), batchSize)]
		rest = rest[len(batch):]
		j.join(batch, offset, &drops)
		for i := range j.runs[:j.n] {
			r := &j.runs[i]
			d.deliver(j.build(r), j.pkts[r.first].verified)
			n += r.count
			size += r.size
		}
		delivered += j.n
		j.reset()
	}
	d.in.writes.Add(1)
	d.in.delivered.Add(uint64(delivered))
	d.in.packets.Add(uint64(n))
	d.in.bytes.Add(uint64(size))
	if n > 0 {
		d.in.batches[histogramBucket(n)].Add(1)
	}
	for why, k := range drops {
		if k > 0 {
			d.in.drops[why].Add(uint64(k))
		}
	}
	return n, nil
}

// WriteTo is Write: the packets of a flow are found by their addresses, so it
// does not matter which flow the caller took them from. Calls run in parallel.
func (d *Device) WriteTo(_ int, bufs [][]byte, offset int) (int, error) {
	return d.Write(bufs, offset)
}

// deliver gives v, an IP packet, to the stack, which gets the view.
//
// It calls the network endpoint itself: the stack's DeliverNetworkPacket would
// declare all packets verified or none (nic.go, 2026-09), and fragments must be
// verified after reassembly while joined packets have no checksum any more.
func (d *Device) deliver(v *buffer.View, verified bool) {
	version := v.AsSlice()[0] >> 4
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
	pkt.RXChecksumValidated = verified
	if version == 4 {
		pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
		d.ip4.HandlePacket(pkt)
	} else {
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
		d.ip6.HandlePacket(pkt)
	}
	pkt.DecRef()
}
