// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// The remote address that waits longest makes room for a new one.
func TestCoalescerEviction(t *testing.T) {
	var (
		w   recorder
		src source
		q   = batching.NewCoalescer(w.WriteBatch, 64, 1000, time.Hour)
	)
	closing(t, q)
	dsts := make([]*batching.Destination, batching.MaxLanes+3)
	for i := range dsts {
		dsts[i] = destination(i, "")
	}
	for _, dst := range dsts[:batching.MaxLanes] {
		src.queue(t, q, dst, 0, 5)
	}
	// The first is sent and waits again: now the second waits longest. The third
	// is sent and does not wait: it is taken before all.
	src.queue(t, q, dsts[0], 0, 4, 6)
	src.queue(t, q, dsts[2], 0, 4)
	if diff := cmp.Diff([][]int{{5, 4}, {5, 4}}, w.sizes()); diff != "" {
		t.Fatalf("sent (-want +got):\n%s", diff)
	}
	src.queue(t, q, dsts[batching.MaxLanes], 0, 7)
	if got := w.take(); len(got) != 0 {
		t.Errorf("got %v sent, want an idle lane taken", got)
	}
	for i, want := range []*batching.Destination{dsts[1], dsts[3]} {
		src.queue(t, q, dsts[batching.MaxLanes+1+i], 0, 8)
		if got := w.take(); len(got) != 1 || got[0].dst != want || len(got[0].packets) != 1 {
			t.Errorf("got %v sent, want the packet to %v", got, want.Remote())
		}
	}
	if n := q.Lanes(); n != batching.MaxLanes {
		t.Errorf("got %d lanes, want %d", n, batching.MaxLanes)
	}
	if diff := cmp.Diff(map[string]uint64{"size": 2, "evicted": 2}, reasons(q)); diff != "" {
		t.Errorf("flushes (-want +got):\n%s", diff)
	}
	if s := q.Stats(); s.Waiting != batching.MaxLanes {
		t.Errorf("waiting: got %d, want %d", s.Waiting, batching.MaxLanes)
	}
}

// While packets to one remote are being sent, others are queued and sent, those
// to the same remote wait, and a new remote passes over the busy lane.
func TestCoalescerBlockedFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			w       recorder
			src     source
			order   []int
			release = make(chan struct{})
			slow    = destination(0, "")
		)
		flush := func(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
			if len(bufs[0]) == headroom+20 {
				<-release
			}
			return w.WriteBatch(bufs, offset, dst, vni)
		}
		q := batching.NewCoalescer(flush, 64, 1000, time.Hour)
		done := make(chan struct{})
		bufs, _ := src.packets(headroom, 20, 19)
		later, _ := src.packets(headroom, 5, 4)
		go func() {
			defer close(done)
			if n, err := q.Queue(bufs, headroom, slow, 0); n != 2 || err != nil {
				t.Errorf("got %d, %v, want 2", n, err)
			}
		}()
		synctest.Wait()
		for i := 1; i < batching.MaxLanes+2; i++ {
			src.queue(t, q, destination(i, ""), 0, 9)
			src.queue(t, q, destination(i, ""), 0, 8)
		}
		for _, s := range w.take() {
			order = append(order, len(s.packets))
		}
		if want := slices.Repeat([]int{2}, batching.MaxLanes+1); !slices.Equal(order, want) {
			t.Errorf("got runs of %v, want %v", order, want)
		}
		second := make(chan struct{})
		go func() {
			defer close(second)
			if n, err := q.Queue(later, headroom, slow, 0); n != 2 || err != nil {
				t.Errorf("got %d, %v, want 2", n, err)
			}
		}()
		close(release)
		<-done
		<-second
		if diff := cmp.Diff([][]int{{20, 19}, {5, 4}}, w.sizes()); diff != "" {
			t.Errorf("sent (-want +got):\n%s", diff)
		}
		if err := q.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// When all lanes are busy, a new remote address waits for one of them.
func TestCoalescerAllBusy(t *testing.T) {
	var (
		w       recorder
		wg      sync.WaitGroup
		busy    = make(chan struct{}, batching.MaxLanes)
		release = make(chan struct{})
	)
	flush := func(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
		busy <- struct{}{}
		<-release
		return w.WriteBatch(bufs, offset, dst, vni)
	}
	q := batching.NewCoalescer(flush, 64, 1000, time.Hour)
	queue := func(i, size int) {
		wg.Go(func() {
			bufs := makePackets(2, size)
			bufs[1] = bufs[1][:len(bufs[1])-1] // ends the run
			if n, err := q.Queue(bufs, headroom, destination(i, ""), 0); n != 2 || err != nil {
				t.Errorf("got %d, %v, want 2", n, err)
			}
		})
	}
	for i := range batching.MaxLanes {
		queue(i, 5)
	}
	for range batching.MaxLanes {
		<-busy
	}
	queue(batching.MaxLanes, 5)
	for range 100 {
		runtime.Gosched() // it most likely waits now
	}
	close(release)
	wg.Wait()
	if n := len(w.take()); n != batching.MaxLanes+1 || q.Lanes() != batching.MaxLanes {
		t.Errorf("got %d runs, %d lanes, want %d, %d", n, q.Lanes(), batching.MaxLanes+1, batching.MaxLanes)
	}
	if err := q.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// Nothing is lost, changed or reordered while everything happens at once. Each
// goroutine has sources of its own to remotes that all share.
func TestCoalescerConcurrent(t *testing.T) {
	testutil.LeakCheck(t)
	const (
		senders = 8
		remotes = batching.MaxLanes + 20
		calls   = 3000
	)
	var w recorder
	q := batching.NewCoalescer(w.WriteBatch, 64, 3000, 50*time.Microsecond)
	type flow struct {
		remote netip.AddrPort
		local  netip.Addr
	}
	var (
		mu    sync.Mutex
		want  = make(map[flow][]string)
		wg    sync.WaitGroup
		stop  = make(chan struct{})
		other sync.WaitGroup
	)
	other.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-stop:
				return
			default:
			}
			timeout := []time.Duration{0, time.Microsecond, 50 * time.Microsecond, time.Hour}[rnd.IntN(4)]
			if err := q.Set(1+rnd.IntN(64), 200+rnd.IntN(3000), timeout); err != nil {
				t.Errorf("set: %v", err)
			}
			time.Sleep(100 * time.Microsecond)
			if err := q.FlushAll(); err != nil {
				t.Errorf("flush: %v", err)
			}
		}
	})
	for s := range senders {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(3, uint64(s)))
			src := source{next: s * 1_000_000}
			local := netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + s)})
			queued := make(map[flow][]string)
			for range calls {
				// Half of the packets go to a few remotes, so that runs get long.
				remote := rnd.IntN(4)
				if rnd.IntN(2) == 0 {
					remote = rnd.IntN(remotes)
				}
				dst := destination(remote, local.String())
				sizes := make([]int, 1+rnd.IntN(3))
				for i := range sizes {
					sizes[i] = 20 + 10*rnd.IntN(3)
				}
				bufs, packets := src.packets(headroom, sizes...)
				if n, err := q.Queue(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
					t.Errorf("queue: got %d, %v, want %d", n, err, len(bufs))
				}
				for _, buf := range bufs {
					scribble(buf)
				}
				f := flow{dst.Remote(), local}
				queued[f] = append(queued[f], packets...)
			}
			mu.Lock()
			defer mu.Unlock()
			for f, packets := range queued {
				want[f] = packets
			}
		})
	}
	wg.Wait()
	close(stop)
	other.Wait()
	if err := q.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	got := make(map[flow][]string)
	for _, s := range w.take() {
		f := flow{s.dst.Remote(), s.dst.Local()}
		got[f] = append(got[f], s.packets...)
	}
	for f, packets := range want {
		if !slices.Equal(packets, got[f]) {
			t.Errorf("%v: got %d packets, want %d, or not the same in order", f, len(got[f]), len(packets))
		}
		delete(got, f)
	}
	if len(got) > 0 {
		t.Errorf("packets of %d flows that were not queued", len(got))
	}
	if s := q.Stats(); s.Waiting != 0 || s.Lost != 0 {
		t.Errorf("got %+v, want none waiting or lost", s)
	}
}

// Calls that race with close are told what was taken, and that was sent.
func TestCoalescerCloseWhileQueueing(t *testing.T) {
	testutil.LeakCheck(t)
	for range 50 {
		var (
			w     recorder
			wg    sync.WaitGroup
			taken [4]int
			begun = make(chan struct{}, len(taken))
		)
		q := batching.NewCoalescer(w.WriteBatch, 64, 1000, 20*time.Microsecond)
		for i := range taken {
			wg.Go(func() {
				src := source{next: i * 1_000_000}
				for first := true; ; first = false {
					bufs, _ := src.packets(headroom, 50, 50)
					n, err := q.Queue(bufs, headroom, destination(i%2, ""), 0)
					taken[i] += n
					if err == net.ErrClosed {
						return
					}
					if err != nil {
						t.Errorf("queue: %v", err)
						return
					}
					if first {
						begun <- struct{}{}
					}
				}
			})
		}
		for range taken {
			<-begun
		}
		if err := q.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		sent := 0
		for _, s := range w.take() {
			sent += len(s.packets)
		}
		wg.Wait()
		want := 0
		for _, n := range taken {
			want += n
		}
		if late := len(w.take()); sent != want || late != 0 {
			t.Errorf("got %d packets sent, %d calls after close, want %d, 0", sent, late, want)
		}
	}
}
