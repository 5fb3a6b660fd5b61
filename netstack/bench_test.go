// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// BenchmarkTCP sends between two hosts that are linked back to back, without
// encryption: what the stack, the rings and the joins can do at most. Both
// hosts and the link share the CPUs.
func BenchmarkTCP(b *testing.B) {
	for _, bc := range []struct {
		name    string
		to      netip.Addr
		streams int
		mtu     int
	}{
		{"v4/mtu-1420/streams-1", netstacktest.B4, 1, 1420},
		{"v6/mtu-1420/streams-1", netstacktest.B6, 1, 1420},
		{"v4/mtu-1420/streams-8", netstacktest.B4, 8, 1420},
		{"v4/mtu-8920/streams-1", netstacktest.B4, 1, 8920},
	} {
		b.Run(bc.name, func(b *testing.B) {
			x, y := netstacktest.Pair(b, &netstack.Options{MTU: bc.mtu}, nil)
			benchmarkStreams(b, x, y, bc.to, bc.streams)
		})
	}
}

func benchmarkStreams(b *testing.B, x, y *netstack.Device, to netip.Addr, streams int) {
	const chunk = 256 << 10
	var senders, receivers []net.Conn
	for range streams {
		c, d := connect(b, x.Net(), y.Net(), to)
		defer c.Close()
		defer d.Close()
		senders, receivers = append(senders, c), append(receivers, d)
	}
	b.SetBytes(chunk)
	b.ReportAllocs()
	per := b.N/streams + 1
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range streams {
		wg.Go(func() {
			buf := make([]byte, chunk)
			for range per {
				if _, err := senders[i].Write(buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			buf := make([]byte, chunk)
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(receivers[i], int64(per)*chunk), buf); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	var reads, packets uint64
	for _, q := range x.Stats().Queues {
		reads += q.Reads
		packets += q.Packets
	}
	in := y.Stats().Inbound
	b.ReportMetric(float64(packets)/float64(max(reads, 1)), "packets/read")
	b.ReportMetric(float64(in.Packets)/float64(max(in.Delivered, 1)), "packets/delivery")
	b.ReportMetric(float64(x.Stats().TCP.Retransmits), "retransmits")
}

// BenchmarkUDP sends datagrams as fast as the receiver takes them.
func BenchmarkUDP(b *testing.B) {
	for _, size := range []int{200, 1200} {
		b.Run(fmt.Sprintf("size-%d", size), func(b *testing.B) {
			x, y := netstacktest.Pair(b, nil, nil)
			to, err := y.Net().ListenPacket("udp4", ":7")
			if err != nil {
				b.Fatal(err)
			}
			from, err := x.Net().DialContext(b.Context(), "udp4", netip.AddrPortFrom(netstacktest.B4, 7).String())
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan int)
			go func() {
				n := 0
				buf := make([]byte, 2000)
				for {
					if _, _, err := to.ReadFrom(buf); err != nil {
						done <- n
						return
					}
					n++
				}
			}()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			buf := make([]byte, size)
			for b.Loop() {
				if _, err := from.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			from.Close()
			to.Close()
			b.ReportMetric(100-100*float64(<-done)/float64(b.N), "%lost")
		})
	}
}
