// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/netstack"
)

// FuzzDatagrams sends datagrams of sizes and flows that data says, reads them
// with a slab it says, writes them to another device, and checks that each flow
// arrives as it was sent. Each two bytes are a datagram: flow and size.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{0, 10, 0, 10, 1, 0, 2, 250, 2, 250, 2, 249, 3, 255}, uint16(0), uint8(128))
	f.Add(bytes.Repeat([]byte{5, 100}, 200), uint16(3000), uint8(3))
	f.Add(bytes.Repeat([]byte{4, 200, 4, 200, 4, 201}, 50), uint16(20000), uint8(50))
	f.Fuzz(func(t *testing.T, data []byte, slabLen uint16, slots uint8) {
		// The smallest slab holds any packet.
		slab, pkts := make([]byte, 1420+2*netstack.Spacing+int(slabLen)), make([]tun.ReadPacket, max(1, slots))
		a := newDevice(t, &netstack.Options{Queues: 1})
		b := newDevice(t, &netstack.Options{Addresses: []netip.Addr{farV4, farV6}})
		got := make(map[netip.AddrPort][]byte)
		_, err := b.Net().OpenUDPPort(netip.AddrPortFrom(netip.Addr{}, 2000), func(g *netstack.Datagrams) {
			for _, p := range g.Payloads {
				got[g.Source] = appendDatagram(got[g.Source], p)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		carry := func() {
			for a.Stats().Queues[0].Depth > 0 || a.RawOut() > 0 {
				n, err := a.Read(slab, pkts)
				if err != nil {
					t.Fatal(err)
				}
				var bufs [][]byte
				for _, p := range pkts[:n] {
					bufs = append(bufs, slab[p.Offset:p.Offset+p.Size])
				}
				if k, err := b.Write(bufs, 0); k != n || err != nil {
					t.Fatalf("wrote %d of %d: %v", k, n, err)
				}
			}
		}

		want := make(map[netip.AddrPort][]byte)
		send := func(which byte, payloads [][]byte) {
			src, dst := flow(which&1 != 0)
			src = netip.AddrPortFrom(src.Addr(), uint16(which)+1)
			for _, p := range payloads {
				want[src] = appendDatagram(want[src], p)
			}
			g := &netstack.Datagrams{Source: src, Destination: dst, Payloads: payloads}
			if n, err := a.Net().SendDatagrams(g); n != len(payloads) || err != nil {
				t.Fatalf("sent %d of %d: %v", n, len(payloads), err)
			}
		}
		var together [][]byte
		for i := 0; i+1 < len(data) && i < 600; i += 2 {
			p := pattern(int(data[i+1]) * int(data[i+1]) / 8) // up to 8128
			if len(p) > 0 {
				p[len(p)-1] = byte(i)
			}
			together = append(together, p)
			if i+3 >= len(data) || data[i+2]&7 != data[i]&7 || len(together) == 40 {
				send(data[i]&7, together)
				together = nil
				// Before the ring is full: nobody else reads.
				if q := a.Stats().Queues[0]; i%3 == 0 || q.DepthBytes > netstack.RingBytes/2 || q.Depth > netstack.RingPackets/2 {
					carry()
				}
			}
		}
		if together != nil {
			send(data[min(len(data)-1, 600)&^1-2]&7, together)
		}
		carry()
		if len(got) != len(want) {
			t.Fatalf("%d flows, want %d", len(got), len(want))
		}
		for src := range want {
			// Fragments of different datagrams of a flow do not overtake.
			if !bytes.Equal(got[src], want[src]) {
				t.Errorf("flow %v: %d bytes, want %d", src, len(got[src]), len(want[src]))
			}
		}
		if s := b.Stats(); s.UDP.DropsMalformed+s.UDP.DropsSource+s.Inbound.DropsChecksum != 0 {
			t.Errorf("stats %+v", s.UDP)
		}
	})
}

// appendDatagram appends p so that its length counts.
func appendDatagram(to, p []byte) []byte {
	return append(append(to, byte(len(p)>>8), byte(len(p))), p...)
}
