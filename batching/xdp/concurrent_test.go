// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// The counters of the sockets never fall, whatever ends and begins meanwhile.
func TestRetireCounters(t *testing.T) {
	r := newRig(t, 8)
	var done atomic.Bool
	var watching sync.WaitGroup
	watching.Go(func() {
		for last := uint64(0); !done.Load(); {
			now := r.c.socketStats().RxPackets
			if now < last {
				t.Errorf("%d packets after %d", now, last)
				return
			}
			last = now
		}
	})
	r.listen(0)
	for range 200 {
		r.c.use(r.lane, r.lane)
		r.sock.deliver(plain("x"), plain("y"))
		r.c.retire()
		r.renew(t, 8)
	}
	done.Store(true)
	watching.Wait()
	if n := r.c.socketStats().RxPackets; n != 400 {
		t.Errorf("%d packets, want 400", n)
	}
}

// Everything at once: nothing is lost but what is counted, nothing comes twice, no
// frame is missing, and everybody ends.
func TestConcurrent(t *testing.T) {
	testutil.LeakCheck(t)
	r := newRig(t, 64)
	var (
		all, readers  sync.WaitGroup
		done          atomic.Bool
		delivered     int
		received      atomic.Uint64
		writeAccepted atomic.Uint64
	)
	for range 2 {
		readers.Go(func() {
			slab, pkts := make([]byte, 64), make([]batching.Packet, 8)
			for {
				n, err := r.c.ReadBatch(slab, pkts)
				received.Add(uint64(n))
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
					return
				}
			}
		})
		all.Go(func() {
			bufs := bufsOf(8, numbered(10))
			for !done.Load() {
				n, err := r.c.WriteBatch(bufs, 8, dest(far4), 0)
				if n != len(bufs) || err != nil {
					t.Error(n, err)
					return
				}
				writeAccepted.Add(uint64(n))
			}
		})
	}
	all.Go(func() {
		for i := 0; !done.Load(); i++ {
			at := time.Time{}
			if i%2 == 0 {
				at = time.Now().Add(time.Duration(i%5) * time.Millisecond)
			}
			if err := r.c.SetReadDeadline(at); err != nil {
				t.Error(err)
			}
			_ = r.c.Stats()
			time.Sleep(100 * time.Microsecond)
		}
		_ = r.c.SetReadDeadline(time.Time{})
	})
	var socks []*fake
	for i := range 5 {
		r.c.use(r.lane, r.lane)
		socks = append(socks, r.sock)
		for range 50 {
			delivered += r.sock.deliver(plain("12345"), plain("123"))
			if i%2 == 1 {
				time.Sleep(10 * time.Microsecond)
			}
		}
		r.c.retire()
		r.renew(t, 64)
	}
	done.Store(true)
	all.Wait()
	if err := r.c.Close(); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	sent := len(r.v4.took)
	for _, s := range socks {
		sent += len(s.sent)
		if n := s.lent(); n != 0 || !s.isClosed() {
			t.Errorf("%d frames not given back; closed: %v", n, s.isClosed())
		}
	}
	if unread := dropCounts(r.c)["unread"]; received.Load()+unread != uint64(delivered) {
		t.Errorf("%d read and %d unread of %d", received.Load(), unread, delivered)
	}
	if uint64(sent) != writeAccepted.Load() {
		t.Errorf("%d packets accepted, %d sent", writeAccepted.Load(), sent)
	}
}
