// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// BenchmarkRead measures what it costs to take UDP packets that wait in a TUN
// queue out of it: "plain" with wireguard-go's own device, "batched" with this
// one. One op is one burst; 400 packets are a queue that filled up while the
// reader was busy, 1 is an idle tunnel, where draining has nothing to gain.
func BenchmarkRead(b *testing.B) {
	devices := []struct {
		name   string
		create func() (tun.Device, error)
	}{
		{"plain", func() (tun.Device, error) { return tun.CreateTUN(ifName, tunwrap.DefaultMTU) }},
		{"batched", func() (tun.Device, error) { return tunwrap.Create(ifName, oneQueue(nil)) }},
	}
	for _, shape := range []struct{ size, burst int }{{200, 400}, {1420, 400}, {200, 1}} {
		for _, d := range devices {
			b.Run(fmt.Sprintf("%dB-x%d/%s", shape.size, shape.burst, d.name), func(b *testing.B) {
				benchmarkRead(b, d.create, shape.size, shape.burst)
			})
		}
	}
}

func benchmarkRead(b *testing.B, create func() (tun.Device, error), size, burst int) {
	testutil.NeedNetNS(b)
	l := &lab{NS: testutil.NewNS(b)}
	var dev tun.Device
	l.must(b, func() (err error) {
		dev, err = create()
		return err
	})
	go func() { // the plain device blocks its own goroutines if nobody does
		for range dev.Events() {
		}
	}()
	defer dev.Close()
	l.must(b, func() error { return configure(hostV4) })
	c := l.listen(b, hostV4)
	dst := netip.AddrPortFrom(remoteV4, 9)
	payload := make([]byte, size-28)
	slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, batchSize)
	var spent time.Duration
	reads, total := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		for range burst {
			if _, err := c.WriteToUDPAddrPort(payload, dst); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		for got := 0; got < burst; reads++ {
			n, err := dev.Read(slab, packets)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
		spent += time.Since(start)
		total += burst
	}
	b.ReportMetric(0, "ns/op") // mostly sending
	b.ReportMetric(float64(spent.Nanoseconds())/float64(total), "ns/packet")
	b.ReportMetric(float64(total)/spent.Seconds(), "packets/s")
	b.ReportMetric(float64(total)/float64(reads), "packets/read")
}

// BenchmarkWrite measures what it costs to write batches, per packet, with
// wireguard-go's own device ("plain") and with this one ("merged"): UDP packets of 200
// bytes of one flow, of 16 that interleave and of as many as there are packets, one
// packet alone, as most are on a hub of many peers, and TCP segments. The host takes
// UDP packets to a socket that nobody reads, and drops them there; TCP segments it
// drops on the way, for their source.
func BenchmarkWrite(b *testing.B) {
	for _, shape := range []struct {
		name       string
		tcp        bool
		size       int
		flows, all int
	}{
		{"udp200-x1", false, 172, 1, 1},
		{"udp200-x128", false, 172, 1, 128},
		{"udp200-x128-16flows", false, 172, 16, 128},
		{"udp200-x128-128flows", false, 172, 128, 128},
		{"udp200-x16-16flows", false, 172, 16, 16},
		{"tcp1400-x45", true, 1360, 1, 45},
		{"tcp1400-x128-16flows", true, 1360, 16, 128},
	} {
		for _, d := range []struct {
			name   string
			create func() (tun.Device, error)
		}{
			{"plain", func() (tun.Device, error) { return tun.CreateTUN(ifName, tunwrap.DefaultMTU) }},
			{"merged", func() (tun.Device, error) { return tunwrap.Create(ifName, oneQueue(nil)) }},
		} {
			b.Run(shape.name+"/"+d.name, func(b *testing.B) {
				testutil.NeedNetNS(b)
				l := &lab{NS: testutil.NewNS(b)}
				var dev tun.Device
				l.must(b, func() (err error) {
					dev, err = d.create()
					return err
				})
				go func() {
					for range dev.Events() {
					}
				}()
				defer dev.Close()
				l.must(b, func() error { return configure(hostV4) })
				host := netip.MustParseAddrPort(l.listen(b, hostV4).LocalAddr().String())
				var fresh, bufs [][]byte
				for i := range shape.all {
					port := uint16(1000 + i%shape.flows)
					var p []byte
					if shape.tcp {
						p = (&testutil.TCP{
							Src: netip.AddrPortFrom(netip.MustParseAddr("224.0.0.1"), port), Dst: host,
							Seq: uint32(i / shape.flows * shape.size), Flags: testutil.ACK, Payload: make([]byte, shape.size),
						}).Packet()
					} else {
						p = testutil.UDP(netip.AddrPortFrom(remoteV4, port), host, make([]byte, shape.size))
						p[6] = 0x40
						repair(p)
					}
					fresh = append(fresh, append(make([]byte, 16), p...))
					bufs = append(bufs, append(make([]byte, 16), p...))
				}
				b.ReportAllocs()
				for b.Loop() {
					for i := range bufs { // merging changes headers
						copy(bufs[i], fresh[i][:80])
					}
					if _, err := dev.Write(bufs, 16); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*shape.all), "ns/packet")
			})
		}
	}
}
