// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

// BenchmarkHubVersusStdNetBind receives what 64 senders sent in turns, packets of
// 200 bytes: nothing of it can be merged. Each round every implementation gets the
// same packets, which wait in its sockets when the clock starts; the figures are
// the medians of the rounds. conn is one Conn, group the members of a Group with a
// reader each, as package peers has them by default, stdnetbind wireguard-go's.
// ratio is stdnetbind's time to theirs: above 1 it is slower than they.
func BenchmarkHubVersusStdNetBind(b *testing.B) {
	const senders, each, size = 64, 32, 200
	type side struct {
		name    string
		readers []func(slab []byte) (int, error)
		send    []func([][]byte) error
		took    []time.Duration
	}
	connReader := func(c *batching.Conn) func([]byte) (int, error) {
		pkts := make([]batching.Packet, batching.MaxBatch)
		return func(slab []byte) (int, error) { return c.ReadBatch(slab, pkts) }
	}
	var from []party
	for range senders {
		from = append(from, newConnParty(b, nil))
	}
	listen := func(name string, port uint16, readers ...func([]byte) (int, error)) *side {
		s := &side{name: name, readers: readers}
		for _, p := range from {
			s.send = append(s.send, p.to(port))
		}
		return s
	}
	any4 := netip.MustParseAddrPort("0.0.0.0:0") // as wireguard-go's
	conn, err := batching.Listen("udp4", any4, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	group, err := batching.ListenGroup("udp4", any4, min(4, runtime.NumCPU()), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer group.Close()
	var members []func([]byte) (int, error)
	for _, c := range group.Conns() {
		members = append(members, connReader(c))
	}
	bind := newBindParty(b)
	sides := []*side{
		listen("conn", conn.LocalAddr().Port(), connReader(conn)),
		listen("group", group.LocalAddr().Port(), members...),
		listen("stdnetbind", bind.port(), bind.receive),
	}
	// Readers that have found everything received wait in their sockets until the
	// next round; round is what they wait for the start of.
	type round struct {
		start chan struct{}
		left  atomic.Int64
		done  chan time.Time
	}
	var current [3]atomic.Pointer[round]
	var wg sync.WaitGroup
	for i, s := range sides {
		for _, read := range s.readers {
			wg.Go(func() {
				slab := make([]byte, wireguardSlab)
				for {
					n, err := read(slab)
					if err != nil {
						return
					}
					r := current[i].Load()
					<-r.start // the first of a round waits here, with what it has
					if r.left.Add(-int64(n)) == 0 {
						r.done <- time.Now()
					}
				}
			})
		}
	}
	packet := makePackets(1, size)
	for b.Loop() {
		for i, s := range sides {
			r := &round{start: make(chan struct{}), done: make(chan time.Time, 1)}
			r.left.Store(senders * each)
			current[i].Store(r)
			for range each {
				for _, send := range s.send {
					if err := send(packet); err != nil {
						b.Fatal(err)
					}
				}
			}
			begin := time.Now()
			close(r.start)
			s.took = append(s.took, (<-r.done).Sub(begin))
		}
	}
	conn.Close()
	group.Close()
	bind.(*bindParty).bind.Close()
	wg.Wait()
	median := func(s *side) float64 {
		slices.Sort(s.took)
		return float64(s.took[len(s.took)/2].Nanoseconds()) / (senders * each)
	}
	theirs := median(sides[2])
	for _, s := range sides {
		b.ReportMetric(median(s), s.name+"-ns/packet")
		b.ReportMetric(theirs/median(s), s.name+"-times")
	}
	b.ReportMetric(0, "ns/op") // of all together: says nothing
}
