// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
)

// batchOf is n packets from one peer to another, as wireguard-go has them.
func batchOf(n, payload int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = append(make([]byte, offset), udp(aliceAddr, bobAddr, payload)...)
	}
	return bufs
}

func TestCutThroughNoAllocs(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 128)
	for _, n := range []int{1, 64} {
		bufs := batchOf(n, 1000)
		for i := range bufs {
			bufs[i][offset+8] = 255
			sum4(bufs[i][offset:])
		}
		write := func() {
			if _, err := l.WriteTo(0, bufs, offset); err != nil {
				t.Fatal(err)
			}
			for _, b := range bufs {
				b[offset+8] = 255
				sum4(b[offset:])
			}
			for got := 0; got < n; {
				m, err := l.queue.Read(slab, packets)
				if err != nil {
					t.Fatal(err)
				}
				got += m
			}
		}
		write()
		if allocs := testing.AllocsPerRun(100, write); allocs > 0 && !raceEnabled {
			t.Errorf("%d packets: %v allocations", n, allocs)
		}
	}
}

func BenchmarkCutThrough(b *testing.B) {
	for _, shape := range []struct {
		name       string
		n, payload int
		rules      int
	}{
		{"1x200", 1, 200, 0}, {"128x200", 128, 200, 0}, {"44x1400", 44, 1392, 0}, {"128x200-100rules", 128, 200, 100},
	} {
		b.Run(shape.name, func(b *testing.B) {
			o := &hub.Options{Forwarding: hub.On}
			if shape.rules > 0 {
				rules := make([]filter.Rule, shape.rules)
				for i := range rules {
					rules[i] = filter.Rule{Action: filter.Deny, Protocol: 17, Ports: []filter.PortRange{{First: uint16(i + 1), Last: uint16(i + 1)}}}
				}
				rules[len(rules)-1] = filter.Rule{Action: filter.Allow}
				f, err := filter.New(rules, nil)
				if err != nil {
					b.Fatal(err)
				}
				o.Filter = f
			}
			l := newLab(b, o)
			bufs := batchOf(shape.n, shape.payload)
			slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 128)
			b.ReportAllocs()
			b.SetBytes(int64(shape.n * (shape.payload + 28)))
			for range b.N {
				for _, buf := range bufs {
					buf[offset+8] = 64
					buf[offset+10], buf[offset+11] = 0, 0
				}
				sum4(bufs[0][offset:])
				for _, buf := range bufs[1:] {
					copy(buf[offset+10:offset+12], bufs[0][offset+10:])
				}
				if _, err := l.WriteTo(0, bufs, offset); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < len(bufs); {
					n, err := l.queue.Read(slab, packets)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*shape.n), "ns/packet")
		})
	}
}
