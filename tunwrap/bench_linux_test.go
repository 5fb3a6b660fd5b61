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
		{"batched", func() (tun.Device, error) { return tunwrap.Create(ifName, nil) }},
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

// BenchmarkWrite measures what it costs to write a packet that is alone in its
// batch, as most are on a hub of many peers, with wireguard-go's own device and
// with this one. The host drops it: nobody listens.
func BenchmarkWrite(b *testing.B) {
	for _, d := range []struct {
		name   string
		create func() (tun.Device, error)
	}{
		{"plain", func() (tun.Device, error) { return tun.CreateTUN(ifName, tunwrap.DefaultMTU) }},
		{"single", func() (tun.Device, error) { return tunwrap.Create(ifName, nil) }},
	} {
		b.Run("200B-x1/"+d.name, func(b *testing.B) {
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
			// To nobody, and no answer: a source that cannot be answered.
			packet := testutil.UDP(netip.MustParseAddrPort("224.0.0.1:1"), netip.AddrPortFrom(hostV4, 9), make([]byte, 172))
			bufs := [][]byte{append(make([]byte, 16), packet...)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := dev.Write(bufs, 16); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
