// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

// An enduranceFlow makes the sizes and contents of the packets to one destination,
// for the sender and for the receiver: runs of equal sizes from 1 to 9,000 bytes,
// as a tunnel sends them, with contents that are different for neighbours.
type enduranceFlow struct {
	rnd     *rand.Rand
	pattern []byte
	left    int // packets of the present run
	size    int
	num     int
}

func newEnduranceFlow(seed uint64) *enduranceFlow {
	f := &enduranceFlow{rnd: rand.New(rand.NewPCG(seed, 1)), pattern: make([]byte, 9_000+251)}
	fill := rand.New(rand.NewPCG(seed, 2))
	for i := range f.pattern {
		f.pattern[i] = byte(fill.Uint32())
	}
	return f
}

// next returns the next packet, which is not to be changed.
func (f *enduranceFlow) next() []byte {
	if f.left == 0 {
		f.left = 1 + f.rnd.IntN(90)
		// Small ones as often as large ones.
		f.size = 1 + f.rnd.IntN([]int{16, 256, 1500, 9000}[f.rnd.IntN(4)])
	}
	f.left--
	f.num++
	return f.pattern[f.num%251:][:f.size]
}

// TestEndurance sends packets of 1 to 9,000 bytes to four destinations in turns,
// over both families, and compares every one that arrives with the one that was
// sent: all, whole, in order, none twice.
func TestEndurance(t *testing.T) {
	const destinations = 4
	each := endurancePackets / destinations
	// What a socket buffer holds in any case: 14 MB with FORCE and without.
	const window, windowBytes = 1_000, 1 << 20
	type flow struct {
		*enduranceFlow
		dst             *batching.Destination
		from            *batching.Conn
		packets, bytes  int64 // sent
		arrived, amount atomic.Int64
	}
	var flows [destinations]*flow
	var receivers sync.WaitGroup
	deadline := time.Now().Add(time.Minute + time.Duration(endurancePackets)*50*time.Microsecond)
	senders := map[string]*batching.Conn{"udp4": listen(t, "udp4", nil), "udp6": listen(t, "udp6", nil)}
	for i := range flows {
		network := []string{"udp4", "udp6"}[i%2]
		to := listen(t, network, nil)
		if err := to.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		f := &flow{enduranceFlow: newEnduranceFlow(uint64(i)), from: senders[network],
			dst: batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)}
		flows[i] = f
		receivers.Go(func() {
			want := newEnduranceFlow(uint64(i))
			slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
			for num := 0; num < each; {
				n, err := to.ReadBatch(slab, pkts)
				if err != nil {
					t.Errorf("destination %d: after %d packets: %v; %+v", i, num, err, to.Stats().Rx)
					return
				}
				total := 0
				for _, p := range pkts[:n] {
					num++
					total += p.Size
					if w := want.next(); !bytes.Equal(slab[p.Offset:][:p.Size], w) {
						t.Errorf("destination %d: packet %d: got %d bytes, want %d; or they differ", i, num, p.Size, len(w))
						return
					}
				}
				f.arrived.Add(int64(n))
				f.amount.Add(int64(total))
			}
			if rx := to.Stats().Rx; rx.Packets != uint64(each) || rx.Overflow != 0 {
				t.Errorf("destination %d: %+v, want %d packets", i, rx, each)
			}
		})
	}
	bufs := make([][]byte, 0, batching.MaxBatch)
	batchLen := rand.New(rand.NewPCG(9, 9))
	for sent := true; sent && !t.Failed(); {
		sent = false
		for _, f := range flows {
			n := min(1+batchLen.IntN(batching.MaxBatch), each-int(f.packets))
			if n == 0 {
				continue
			}
			sent = true
			for f.packets-f.arrived.Load() > window || f.bytes-f.amount.Load() > windowBytes {
				if time.Now().After(deadline) {
					break
				}
				time.Sleep(20 * time.Microsecond)
			}
			bufs = bufs[:0]
			for range n {
				p := f.next()
				bufs = append(bufs, p)
				f.bytes += int64(len(p))
			}
			f.packets += int64(n)
			if took, err := f.from.WriteBatch(bufs, 0, f.dst, 0); took != n || err != nil {
				t.Fatalf("sent %d of %d: %v", took, n, err)
			}
		}
	}
	receivers.Wait()
}
