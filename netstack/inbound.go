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
	transit := d.transit.Load()
	j.udp = transit != nil || d.ports.count.Load() > 0
	var drops [numDropReasons]int
	var n, delivered, size int
	for rest := bufs; len(rest) > 0; {
		batch := rest[:min(len(rest), batchSize)]
		rest = rest[len(batch):]
		j.join(batch, offset, &drops)
		for i := range j.runs[:j.n] {
			r := &j.runs[i]
			delivered += d.dispatch(j, r, transit)
			n += r.count
			size += r.bytes
		}
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

// dispatch gives a run to whom it is for, and returns how many packets and
// superpackets a stack was given for it.
func (d *Device) dispatch(j *joiner, r *run, t *Transit) int {
	f := &j.pkts[r.first]
	if j.udp && f.udp != 0 && d.takeRun(j, r, t) {
		return 0
	}
	s := d.ipStack
	if t != nil {
		src, dst := f.addresses()
		if t.takes(dst) && !d.owns(dst) {
			if !d.comesFromOutside(src) {
				d.in.drops[dropSource].Add(uint64(r.count))
				return 0
			}
			if f.echo != 0 {
				d.takeEcho(&j.echo, f, t)
				return 0
			}
			s = d.foreign.Load()
			if reopens(&d.transitTCP, f) {
				return 1
			}
		}
	}
	if s == d.ipStack && d.tcpPorts.count.Load() > 0 && f.connects() {
		if src, _ := f.addresses(); d.comesFromOutside(src) && reopens(&d.portTCP, f) {
			return 1
		}
	}
	if f.udp == 0 {
		s.deliver(j.build(r), f.b[0]>>4, f.verified)
		return 1
	}
	for i := r.first; i >= 0; i = j.pkts[i].next {
		p := &j.pkts[i]
		s.deliver(buffer.MakeWithData(p.b), p.b[0]>>4, p.verified)
	}
	return r.count
}

// deliver gives b, an IP packet of version 4 or 6, to the stack, which gets the
// buffer.
//
// It calls the network endpoint itself: the stack's DeliverNetworkPacket would
// declare all packets verified or none (nic.go, 2026-09), and fragments must be
// verified after reassembly while joined packets have no checksum any more.
func (s *ipStack) deliver(b buffer.Buffer, version byte, verified bool) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: b})
	pkt.RXChecksumValidated = verified
	if version == 4 {
		pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
		s.ip4.HandlePacket(pkt)
	} else {
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
		s.ip6.HandlePacket(pkt)
	}
	pkt.DecRef()
}
