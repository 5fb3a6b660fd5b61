// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Close wakes every reader, whatever number of them, and ends everything called
// afterwards.
func TestCloseWhileReading(t *testing.T) {
	each(t, func(t *testing.T, network string, o *batching.Options) {
		testutil.LeakCheck(t)
		c := listen(t, network, o)
		from := listen(t, network, o)
		dst := batching.NewDestination(c.LocalAddr(), netip.Addr{}, 0)
		bufs, want := batch(100)
		const readers = 4
		got, errs := make(chan int, readers), make(chan error, readers)
		for range readers {
			go func() {
				slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
				for {
					n, err := c.ReadBatch(slab, pkts)
					if err != nil {
						errs <- err
						return
					}
					got <- n
				}
			}()
		}
		// Readers are at work once one of them has read something.
		if _, err := from.WriteBatch(bufs, headroom, dst, 0); err != nil {
			t.Fatal(err)
		}
		if n := <-got; n != len(want) {
			t.Errorf("got %d packets, want %d", n, len(want))
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		for range readers {
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Errorf("reader: got %v, want %v", err, net.ErrClosed)
			}
		}
		if err := c.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
		if n, err := c.ReadBatch(make([]byte, 2000), make([]batching.Packet, 1)); n != 0 || err != net.ErrClosed {
			t.Errorf("read after close: got %d, %v, want %v", n, err, net.ErrClosed)
		}
		if n, err := c.WriteBatch(bufs, headroom, dst, 0); n != 0 || err != net.ErrClosed {
			t.Errorf("write after close: got %d, %v, want %v", n, err, net.ErrClosed)
		}
		if n := c.Stats().Tx.Dropped["closed"]; n != 1 {
			t.Errorf("dropped as closed: got %d, want 1", n)
		}
		if err := c.SetMark(1); !errors.Is(err, net.ErrClosed) {
			t.Errorf("mark after close: got %v, want %v", err, net.ErrClosed)
		}
		if c.LocalAddr().Port() == 0 {
			t.Error("no address after close")
		}
	})
}

// Packets that wait in the Conn for the next call end with it.
func TestCloseWithPacketsWaiting(t *testing.T) {
	from, to := listen(t, "udp4", nil), listen(t, "udp4", nil)
	bufs, _ := batch(slices.Repeat([]int{100}, 20)...)
	if _, err := from.WriteBatch(bufs, headroom, batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0), 0); err != nil {
		t.Fatal(err)
	}
	slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, 1)
	if n, err := to.ReadBatch(slab, pkts); n != 1 || err != nil {
		t.Fatalf("got %d, %v, want 1", n, err)
	}
	to.Close()
	if n, err := to.ReadBatch(slab, pkts); n != 0 || err != net.ErrClosed {
		t.Errorf("got %d, %v, want %v", n, err, net.ErrClosed)
	}
}

func TestCloseWhileWriting(t *testing.T) {
	each(t, func(t *testing.T, network string, o *batching.Options) {
		testutil.LeakCheck(t)
		c, to := listen(t, network, o), listen(t, network, o)
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		var (
			wg      sync.WaitGroup
			started = make(chan struct{}, 4)
		)
		for range cap(started) {
			wg.Go(func() {
				bufs, _ := batch(slices.Repeat([]int{300}, 32)...)
				for first := true; ; first = false {
					n, err := c.WriteBatch(bufs, headroom, dst, 0)
					if errors.Is(err, net.ErrClosed) {
						return
					}
					if n != len(bufs) || err != nil {
						t.Errorf("got %d, %v", n, err)
						return
					}
					if first {
						started <- struct{}{}
					}
				}
			})
		}
		for range cap(started) {
			<-started
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		wg.Wait()
	})
}

func TestOpenCloseLeaksNothing(t *testing.T) {
	testutil.LeakCheck(t)
	for i := range 200 {
		v := variants[i%len(variants)]
		c, err := batching.Listen("udp4", netip.MustParseAddrPort("127.0.0.1:0"), &v.opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := batching.Listen("udp4", c.LocalAddr(), &v.opts); err == nil {
			t.Fatal("listened twice on one port")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Many writers share a socket; each one's packets arrive whole, once and in
// order.
func TestConcurrentWriters(t *testing.T) {
	const (
		writers = 8
		batches = 60
	)
	each(t, func(t *testing.T, network string, o *batching.Options) {
		testutil.LeakCheck(t)
		from := listen(t, network, o)
		var wg sync.WaitGroup
		for w := range writers {
			to := listen(t, network, o)
			wg.Go(func() {
				vni, err := geneve.MakeVNI(uint32(w))
				if err != nil || w%2 == 0 {
					vni = 0
				}
				dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
				next := uint64(0)
				for b := range batches {
					bufs := sized(headroom, slices.Repeat([]int{40 + 100*((w+b)%12)}, 1+(w*b)%80)...)
					for i, buf := range bufs {
						binary.BigEndian.PutUint64(buf[headroom:], next+uint64(i))
						buf[len(buf)-1] = byte(w)
					}
					if n, err := from.WriteBatch(bufs, headroom, dst, vni); n != len(bufs) || err != nil {
						t.Errorf("write: got %d, %v, want %d", n, err, len(bufs))
						return
					}
					got, err := readN(to, len(bufs))
					if err != nil {
						t.Error(err)
						return
					}
					for _, r := range got {
						data := r.data
						if vni.IsSet() {
							data = data[geneve.HeaderLen:]
						}
						if got := binary.BigEndian.Uint64([]byte(data)); got != next || data[len(data)-1] != byte(w) || len(data) != len(bufs[0])-headroom {
							t.Errorf("writer %d: got packet %d of writer %d, want %d", w, got, data[len(data)-1], next)
							return
						}
						next++
					}
				}
			})
		}
		wg.Wait()
	})
}

// One reader, many senders, sizes up to 9,000: nothing is lost, changed or out of
// order within a sender while the layout of the slab changes all the time.
func TestManySenders(t *testing.T) {
	each(t, func(t *testing.T, network string, o *batching.Options) {
		to := listen(t, network, o)
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		type sender struct {
			*batching.Conn
			sent, seen uint32
		}
		senders := make(map[netip.AddrPort]*sender)
		var order []*sender
		for range 4 {
			s := &sender{Conn: listen(t, network, o)}
			senders[s.LocalAddr()] = s
			order = append(order, s)
		}
		kinds := [][2]int{{40, 80}, {1400, 1400}, {1, 9000}, {1000, 1500}, {200, 200}}
		for round := range 300 {
			total := 0
			for i, s := range order {
				kind := kinds[(round/30+i)%len(kinds)]
				var bufs [][]byte
				// Few enough for the receive buffer of an unprivileged user.
				for j := range 1 + (round*7+i*3)%(8+1600/kind[1]*16) {
					size := kind[0] + (round*31+j*17)%(kind[1]-kind[0]+1)
					p := make([]byte, max(size, 8))
					binary.BigEndian.PutUint32(p, s.sent)
					for k := 8; k < len(p); k++ {
						p[k] = byte(s.sent) + byte(k)
					}
					binary.BigEndian.PutUint32(p[4:], uint32(len(p)))
					s.sent++
					bufs = append(bufs, p)
				}
				if n, err := s.WriteBatch(bufs, 0, dst, 0); n != len(bufs) || err != nil {
					t.Fatalf("write: got %d, %v, want %d", n, err, len(bufs))
				}
				total += len(bufs)
			}
			for _, r := range read(t, to, total) {
				s, p := senders[r.Remote], []byte(r.data)
				if s == nil || len(p) < 8 || int(binary.BigEndian.Uint32(p[4:])) != len(p) || binary.BigEndian.Uint32(p) != s.seen {
					t.Fatalf("round %d: packet of %d bytes from %v: % x…", round, len(p), r.Remote, p[:min(len(p), 8)])
				}
				for k := 8; k < len(p); k++ {
					if p[k] != byte(s.seen)+byte(k) {
						t.Fatalf("round %d: byte %d of packet %d differs", round, k, s.seen)
					}
				}
				s.seen++
			}
		}
		if rx := to.Stats().Rx; rx.Overflow != 0 {
			t.Errorf("stats: %+v", rx)
		}
	})
}

// Neither packets nor slabs are kept after a call.
func TestMemoryIsNotKept(t *testing.T) {
	each(t, func(t *testing.T, network string, o *batching.Options) {
		from, to := listen(t, network, o), listen(t, network, o)
		freed := make(chan struct{}, 3)
		free := func(struct{}) { freed <- struct{}{} }
		func() {
			bufs := sized(headroom, 5000, 5000)
			slab := make([]byte, wireguardSlab)
			dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
			if _, err := from.WriteBatch(bufs, headroom, dst, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := to.ReadBatch(slab, make([]batching.Packet, 1)); err != nil {
				t.Fatal(err)
			}
			runtime.AddCleanup(&bufs[0][0], free, struct{}{})
			runtime.AddCleanup(&slab[0], free, struct{}{})
			runtime.AddCleanup(dst, free, struct{}{})
		}()
		n := 0
		testutil.Eventually(t, 10*time.Second, "memory freed", func() error {
			runtime.GC()
			for {
				select {
				case <-freed:
					n++
					continue
				default:
				}
				break
			}
			if n < cap(freed) {
				return fmt.Errorf("%d of %d", n, cap(freed))
			}
			return nil
		})
		runtime.KeepAlive(from)
		runtime.KeepAlive(to)
	})
}

// Covered: single and batched, segmented or not, with and without Geneve and
// source address; received in place and through the ring.
func TestNoAllocs(t *testing.T) {
	vni, err := geneve.MakeVNI(5)
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, network string, o *batching.Options) {
		from, to := listen(t, network, o), listen(t, network, o)
		slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
		for _, shape := range []struct {
			name  string
			sizes []int
			local netip.Addr
			vni   geneve.VNI
		}{
			{"single", []int{100}, netip.Addr{}, 0},
			{"bulk", slices.Repeat([]int{1400}, batching.MaxBatch), netip.Addr{}, 0},
			{"small", slices.Repeat([]int{100}, batching.MaxBatch), netip.Addr{}, vni},
			{"source", []int{500, 500, 500, 400, 600}, from.LocalAddr().Addr(), vni},
			{"mixed", []int{9000, 50, 60_000, 50, 1400}, netip.Addr{}, 0},
		} {
			t.Run(shape.name, func(t *testing.T) {
				dst := batching.NewDestination(to.LocalAddr(), shape.local, 0)
				bufs := sized(headroom, shape.sizes...)
				n := testing.AllocsPerRun(200, func() {
					if n, err := from.WriteBatch(bufs, headroom, dst, shape.vni); n != len(bufs) || err != nil {
						t.Errorf("write: got %d, %v", n, err)
					}
					for left := len(bufs); left > 0; {
						n, err := to.ReadBatch(slab, pkts)
						if err != nil {
							t.Errorf("read: %v", err)
							return
						}
						left -= n
					}
				})
				if n > poolAllocs {
					t.Errorf("got %v allocations, want at most %d", n, poolAllocs)
				}
			})
		}
	})
}
