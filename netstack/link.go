// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"hash/maphash"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

var (
	_ stack.LinkEndpoint = (*link)(nil)
	_ stack.GSOEndpoint  = (*link)(nil)
)

// link is the network card of the stack: what it sends goes to the queues.
// Inbound packets do not pass through it, see Device.deliver.
type link struct {
	queues   []*queue
	seed     maphash.Seed
	mtu      *atomic.Uint32 // the device's
	attached atomic.Bool
}

// WritePackets puts each packet into the ring of its flow, with a reference of
// the ring's own. It may wait, with the locks of the sending endpoint held; the
// end of the device ends the wait. The stack calls it with one packet.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range list.AsSlice() {
		e := entry{pkt: pkt, size: pkt.Size()}
		e.hdr = e.size - pkt.Data().Size()
		if o := &pkt.GSOOptions; o.Type != stack.GSONone {
			// MSS is 0 until the handshake is over: nothing to split yet.
			e.mss, e.csum = int(o.MSS), o.NeedsCsum
		}
		hash, wait := l.classify(pkt)
		q := l.queueOf(hash)
		pkt.IncRef()
		switch q.ring.put(e, wait) {
		case putDone:
		case putFull:
			pkt.DecRef()
			q.stats.dropFull.Add(1)
			return i, &tcpip.ErrNoBufferSpace{}
		case putClosed:
			pkt.DecRef()
			q.stats.dropClosed.Add(1)
			return i, &tcpip.ErrClosedForSend{}
		}
	}
	return list.Len(), nil
}

// classify returns a hash that is the same for all packets of a flow, and
// whether the sender may be made to wait.
//
// Established TCP and UDP are sent by whoever wrote, by timers and by the TCP
// workers, all of which may wait. ICMP and the TCP packets without an endpoint
// behind them (resets) are sent by the goroutine that delivers an inbound
// packet: if it waited, receiving would depend on sending, and two devices
// connected to each other could wait for each other forever. What rawIP sends
// goes by the same rules.
func (l *link) classify(pkt *stack.PacketBuffer) (hash uint32, wait bool) {
	h := pkt.NetworkHeader().Slice()
	proto, addrs := byte(0), h[:0]
	switch {
	case len(h) >= ip6HeaderLen && h[0]>>4 == 6:
		proto, addrs = h[6], h[8:40]
		if proto == ip6Fragment && len(h) > ip6HeaderLen {
			proto = h[ip6HeaderLen]
		}
	case len(h) >= ip4HeaderLen:
		proto, addrs = h[9], h[12:20]
	}
	switch proto {
	case protoTCP:
		wait = pkt.GSOOptions.Type != stack.GSONone
	case protoUDP:
		wait = true
	}
	if pkt.Hash != 0 {
		return pkt.Hash, wait // of the TCP endpoint
	}
	return l.hash(addrs, proto), wait
}

// hash returns the hash of all flows but those of TCP connections. addrs is
// source and destination; ports do not count, because the second fragment of a
// datagram has none.
func (l *link) hash(addrs []byte, proto byte) uint32 {
	sum := maphash.Bytes(l.seed, addrs)
	return uint32(sum^sum>>32) + uint32(proto)
}

// queueOf returns the queue for a hash.
func (l *link) queueOf(hash uint32) *queue { return l.queues[hash%uint32(len(l.queues))] }

// gsoMaxSize returns the longest superpacket for an MTU: as many full packets
// as make two superpackets fill one Read.
//
// The stack fills a superpacket with this minus 161 bytes (gVisor
// transport/tcp/snd.go, sendData, 2026-09: TCPTotalHeaderMaximumSize + 1), and
// gives each packet MTU - 80 bytes of payload over IPv4: 20 IP, 20 TCP and the
// 40 of options it keeps free. So for 1420: (131070-64) / (2 × (1420+64)) = 44
// packets, 44 × 1340 + 161 = 59,121. Over IPv6 the payload is 20 less and the
// last packet short, which still fits: 45 × (72+64) + 58,960 = 65,080 each.
//
// Against 65,535, of which only one fits a Read whole: 76 instead of 56 packets
// per Read, as fast with one stream and 11 % faster with eight (BenchmarkTCP,
// medians of 5 interleaved runs, 2 CPUs, 2026-11).
func gsoMaxSize(mtu int) uint32 {
	const (
		stackMargin = header.TCPTotalHeaderMaximumSize + 1
		maxHeaders  = header.IPv4MinimumSize + header.TCPHeaderMaximumSize
	)
	packets := min((slabSize-spacing)/(2*(mtu+spacing)), batchSize/2)
	return uint32(min(max(packets, 1)*(mtu-maxHeaders)+stackMargin, maxMTU))
}

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return gsoMaxSize(int(l.mtu.Load())) }

// SupportedGSO implements stack.GSOEndpoint: we split, not the stack.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// MTU implements stack.LinkEndpoint.
func (l *link) MTU() uint32 { return l.mtu.Load() }

// SetMTU implements stack.LinkEndpoint.
func (l *link) SetMTU(mtu uint32) { l.mtu.Store(mtu) }

// Capabilities implements stack.LinkEndpoint. The stack computes the checksums
// of all but established TCP, and is told per packet which inbound ones have
// been verified.
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityNone }

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(d stack.NetworkDispatcher) { l.attached.Store(d != nil) }

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool { return l.attached.Load() }

// The rest of stack.LinkEndpoint is for links with headers, addresses or
// goroutines of their own.
func (l *link) MaxHeaderLength() uint16                 { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress          { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) SetOnCloseAction(func())                 {}
func (l *link) Wait()                                   {}
func (l *link) Close()                                  {}
