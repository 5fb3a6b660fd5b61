// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
)

// wireguardSlab is the length of wireguard-go's slabs: device/packetbuf.go.
const wireguardSlab = 2 * 65535

// headroom is what wireguard-go leaves in front of each packet:
// device.MessageEncapsulatingTransportSize.
const headroom = 8

// A party sends and receives on one socket of 127.0.0.1.
type party interface {
	port() uint16
	// to prepares sending to a port of 127.0.0.1.
	to(port uint16) (send func(bufs [][]byte) error)
	// receive returns the number of packets of one call.
	receive(slab []byte) (int, error)
}

type connParty struct {
	*batching.Conn
	pkts []batching.Packet
}

func newConnParty(b *testing.B, o *batching.Options) party {
	c, err := batching.Listen("udp4", netip.MustParseAddrPort("127.0.0.1:0"), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &connParty{Conn: c, pkts: make([]batching.Packet, batching.MaxBatch)}
}

func (p *connParty) port() uint16 { return p.LocalAddr().Port() }

func (p *connParty) to(port uint16) func([][]byte) error {
	dst := batching.NewDestination(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.Addr{}, 0)
	return func(bufs [][]byte) error {
		_, err := p.WriteBatch(bufs, headroom, dst, 0)
		return err
	}
}

func (p *connParty) receive(slab []byte) (int, error) { return p.ReadBatch(slab, p.pkts) }

// bindParty is wireguard-go's own socket, the pinned fork's conn.StdNetBind.
type bindParty struct {
	bind conn.Bind
	recv conn.ReceiveFunc
	own  uint16
	pkts []conn.ReceivedPacket
}

func newBindParty(b *testing.B) party {
	p := &bindParty{bind: conn.NewStdNetBind(), pkts: make([]conn.ReceivedPacket, conn.IdealBatchSize)}
	fns, port, err := p.bind.Open(0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.bind.Close() })
	p.recv, p.own = fns[0], port
	return p
}

func (p *bindParty) port() uint16 { return p.own }

func (p *bindParty) to(port uint16) func([][]byte) error {
	ep, err := p.bind.ParseEndpoint(fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		panic(err)
	}
	return func(bufs [][]byte) error { return p.bind.Send(bufs, ep, headroom) }
}

func (p *bindParty) receive(slab []byte) (int, error) { return p.recv(slab, p.pkts) }

// The two that are compared; benchstat -col /impl puts them side by side.
func eachImpl(b *testing.B, f func(b *testing.B, newParty func() party)) {
	b.Run("impl=conn", func(b *testing.B) {
		f(b, func() party { return newConnParty(b, nil) })
	})
	b.Run("impl=stdnetbind", func(b *testing.B) {
		f(b, func() party { return newBindParty(b) })
	})
}

func makePackets(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, headroom+size)
	}
	return bufs
}

// receiveAll receives n packets.
func receiveAll(b *testing.B, p party, slab []byte, n int) {
	for n > 0 {
		k, err := p.receive(slab)
		if err != nil {
			b.Fatal(err)
		}
		n -= k
	}
	if n < 0 {
		b.Fatal(errors.New("more packets than were sent"))
	}
}

// shapes are batches to one destination. bulk is a fast TCP connection inside the
// tunnel, small its acknowledgements or a call, single a ping.
var shapes = []struct {
	name          string
	packets, size int
}{
	{"bulk-1400x128", 128, 1400},
	{"bulk-1420x45", 45, 1420},
	{"small-200x128", 128, 200},
	{"small-200x8", 8, 200},
	{"single-1400", 1, 1400},
	{"single-200", 1, 200},
}

// BenchmarkTransfer sends a batch over loopback and receives it, in one
// goroutine: the loopback delivers within the send, so nothing is lost and no
// scheduling is measured.
func BenchmarkTransfer(b *testing.B) {
	for _, shape := range shapes {
		b.Run(shape.name, func(b *testing.B) {
			eachImpl(b, func(b *testing.B, newParty func() party) {
				from, to := newParty(), newParty()
				send := from.to(to.port())
				bufs, slab := makePackets(shape.packets, shape.size), make([]byte, wireguardSlab)
				b.SetBytes(int64(shape.packets * shape.size))
				b.ReportAllocs()
				for b.Loop() {
					if err := send(bufs); err != nil {
						b.Fatal(err)
					}
					receiveAll(b, to, slab, shape.packets)
				}
				b.ReportMetric(float64(b.N*shape.packets)/b.Elapsed().Seconds(), "packets/s")
			})
		})
	}
}

// BenchmarkVersusStdNetBind runs both in turns, a few transfers each, and reports
// the median of each and their ratio, also of sending and receiving by themselves:
// below 1 the Conn is faster. On a machine with
// other work this is the figure to trust, because both have met the same work.
func BenchmarkVersusStdNetBind(b *testing.B) {
	const burst = 20
	for _, shape := range shapes {
		b.Run(shape.name, func(b *testing.B) {
			type side struct {
				send           func([][]byte) error
				to             party
				took           []time.Duration
				sent, received []time.Duration
			}
			var sides [2]side
			for i, newParty := range []func() party{
				func() party { return newConnParty(b, nil) }, func() party { return newBindParty(b) },
			} {
				from, to := newParty(), newParty()
				sides[i] = side{send: from.to(to.port()), to: to}
			}
			bufs, slab := makePackets(shape.packets, shape.size), make([]byte, wireguardSlab)
			for b.Loop() {
				for i := range sides {
					s := &sides[i]
					start := time.Now()
					for range burst {
						if err := s.send(bufs); err != nil {
							b.Fatal(err)
						}
						receiveAll(b, s.to, slab, shape.packets)
					}
					s.took = append(s.took, time.Since(start)/burst)
					// Each direction by itself: four batches there, then read.
					start = time.Now()
					for range 4 {
						if err := s.send(bufs); err != nil {
							b.Fatal(err)
						}
					}
					between := time.Now()
					receiveAll(b, s.to, slab, 4*shape.packets)
					s.sent = append(s.sent, between.Sub(start))
					s.received = append(s.received, time.Since(between))
				}
			}
			median := func(took []time.Duration) float64 {
				slices.Sort(took)
				return float64(took[len(took)/2].Nanoseconds())
			}
			ours, theirs := median(sides[0].took), median(sides[1].took)
			b.ReportMetric(ours, "conn-ns")
			b.ReportMetric(theirs, "stdnetbind-ns")
			b.ReportMetric(ours/theirs, "ratio")
			b.ReportMetric(median(sides[0].sent)/median(sides[1].sent), "send-ratio")
			b.ReportMetric(median(sides[0].received)/median(sides[1].received), "receive-ratio")
			b.ReportMetric(0, "ns/op") // of both together: says nothing
		})
	}
}

// BenchmarkReadBatch measures the receiving alone: as read-ns/packet, because
// sending is part of the loop.
//
// hub is 64 senders with one packet of 200 bytes each per round, twice: what a
// router of many small flows receives. bulk is whole messages of 64 KiB.
func BenchmarkReadBatch(b *testing.B) {
	for _, shape := range []struct {
		name                   string
		senders, packets, size int
	}{
		{"hub-64x200", 64, 2, 200},
		{"hub-64x1400", 64, 2, 1400},
		{"bulk-1400x128", 1, 128, 1400},
	} {
		b.Run(shape.name, func(b *testing.B) {
			eachImpl(b, func(b *testing.B, newParty func() party) {
				to := newParty()
				sends := make([]func([][]byte) error, shape.senders)
				for i := range sends {
					sends[i] = newConnParty(b, nil).to(to.port())
				}
				packet, all := makePackets(1, shape.size), makePackets(shape.packets, shape.size)
				slab := make([]byte, wireguardSlab)
				total := shape.senders * shape.packets
				var reading time.Duration
				b.ReportAllocs()
				for b.Loop() {
					if shape.senders == 1 {
						if err := sends[0](all); err != nil {
							b.Fatal(err)
						}
					} else {
						for range shape.packets {
							for _, send := range sends {
								if err := send(packet); err != nil {
									b.Fatal(err)
								}
							}
						}
					}
					start := time.Now()
					receiveAll(b, to, slab, total)
					reading += time.Since(start)
				}
				b.ReportMetric(float64(reading.Nanoseconds())/float64(b.N*total), "read-ns/packet")
			})
		})
	}
}

// BenchmarkWriteBatchParallel is many peers' senders on one socket, each with a
// batch of its own to a destination of its own. Nobody reads: the kernel drops
// what the receivers have no room for, at the end of the whole way down.
func BenchmarkWriteBatchParallel(b *testing.B) {
	for _, shape := range []struct {
		name          string
		packets, size int
	}{
		{"bulk-1400x45", 45, 1400},
		{"single-200", 1, 200},
	} {
		b.Run(shape.name, func(b *testing.B) {
			eachImpl(b, func(b *testing.B, newParty func() party) {
				from := newParty()
				b.SetBytes(int64(shape.packets * shape.size))
				b.ReportAllocs()
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					send := from.to(newParty().port())
					bufs := makePackets(shape.packets, shape.size)
					for pb.Next() {
						if err := send(bufs); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		})
	}
}
