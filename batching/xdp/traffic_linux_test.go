// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// The rate of traffic, and its payloads.
const (
	trafficPause = 2 * time.Millisecond
	trafficBatch = 4
	trafficLoad  = 100
)

// A direction is numbered packets one way.
type direction struct {
	name string
	sent atomic.Uint64 // taken by the sender's socket; the number of the next packet

	mu   sync.Mutex
	seen []uint8 // by number, how often
	got  uint64
}

// note notes a payload that arrived.
func (d *direction) note(data []byte) error {
	if len(data) != trafficLoad {
		return nil // of somebody else
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := binary.BigEndian.Uint64(data)
	if n > 1<<24 {
		return fmt.Errorf("%s: number %d", d.name, n)
	}
	for uint64(len(d.seen)) <= n {
		d.seen = append(d.seen, 0)
	}
	if d.seen[n]++; d.seen[n] > 1 {
		return fmt.Errorf("%s: number %d came %d times", d.name, n, d.seen[n])
	}
	d.got++
	return nil
}

func (d *direction) received() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.got
}

// A traffic is packets both ways between near and far, at a rate that loses none, while a
// test breaks things.
type traffic struct {
	l             *lab
	near, far     netip.Addr
	toFar, toNear direction
	frames        *watch

	stopped          chan struct{}
	senders, readers sync.WaitGroup
	problems         chan error
}

// traffic starts it; it ends with the test, and must not have had problems.
func (l *lab) traffic(t *testing.T, near, far netip.Addr) *traffic {
	t.Helper()
	tr := &traffic{l: l, near: near, far: far, frames: l.watch(t, near), stopped: make(chan struct{}), problems: make(chan error, 100)}
	tr.toFar.name, tr.toNear.name = "to far", "to near"
	is4 := near.Is4()
	readers := []reader{l.beside[is4]}
	for _, c := range l.under.Conns() {
		readers = append(readers, c)
	}
	for _, r := range readers {
		tr.readers.Go(func() { tr.read(r, &tr.toNear) })
	}
	peer := l.peer[is4]
	tr.readers.Go(func() { tr.read(peer, &tr.toFar) })
	tr.senders.Go(func() { tr.write(l.under.Conns()[0], &tr.toFar, destination(far)) })
	tr.senders.Go(func() { tr.write(peer, &tr.toNear, destination(near)) })
	t.Cleanup(func() {
		tr.stop()
		for _, r := range append(readers, peer) {
			_ = r.SetReadDeadline(time.Unix(1, 0)) // a Conn may be closed
		}
		tr.readers.Wait()
		close(tr.problems)
		for p := range tr.problems {
			t.Error(p)
		}
		t.Logf("to far: %d of %d; to near: %d of %d; through the kernel: %v",
			tr.toFar.got, tr.toFar.sent.Load(), tr.toNear.got, tr.toNear.sent.Load(), l.under.Status().Kernel)
	})
	tr.flows(t)
	tr.past(t)
	return tr
}

// problem notes one; the first hundred are enough.
func (tr *traffic) problem(err error) {
	select {
	case tr.problems <- err:
	default:
	}
}

// stop stops the senders.
func (tr *traffic) stop() {
	select {
	case <-tr.stopped:
	default:
		close(tr.stopped)
	}
	tr.senders.Wait()
}

// write sends. What the kernel refuses, as it may for want of a route, is sent again.
func (tr *traffic) write(c interface {
	WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error)
}, d *direction, dst *batching.Destination) {
	bufs := make([][]byte, trafficBatch)
	for i := range bufs {
		bufs[i] = make([]byte, trafficLoad)
	}
	tick := time.NewTicker(trafficPause)
	defer tick.Stop()
	for {
		select {
		case <-tr.stopped:
			return
		case <-tick.C:
		}
		next := d.sent.Load()
		for i, b := range bufs {
			binary.BigEndian.PutUint64(b, next+uint64(i))
		}
		n, _ := c.WriteBatch(bufs, 0, dst, 0)
		d.sent.Add(uint64(n))
	}
}

func (tr *traffic) read(r reader, d *direction) {
	slab, pkts := make([]byte, 1<<17), make([]batching.Packet, batching.MaxBatch)
	for {
		n, err := r.ReadBatch(slab, pkts)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			tr.problem(fmt.Errorf("%s: %w", d.name, err))
			return
		}
		for _, p := range pkts[:n] {
			if err := d.note(slab[p.Offset : p.Offset+p.Size]); err != nil {
				tr.problem(err)
			}
		}
	}
}

// some is how many packets are enough to say that traffic flows.
const some = 40

// flows waits until packets that are sent from now on have arrived both ways.
func (tr *traffic) flows(t *testing.T) {
	t.Helper()
	for _, d := range []*direction{&tr.toFar, &tr.toNear} {
		from := d.sent.Load()
		testutil.Eventually(t, 30*time.Second, "traffic "+d.name, func() error {
			d.mu.Lock()
			defer d.mu.Unlock()
			n := 0
			for i := int(from); i < len(d.seen); i++ {
				n += int(d.seen[i])
			}
			if n < some {
				return fmt.Errorf("%d packets since number %d; status: %+v", n, from, tr.l.under.Status())
			}
			return nil
		})
	}
}

// past waits until the underlay is active and packets go past the kernel both ways.
func (tr *traffic) past(t *testing.T) {
	t.Helper()
	count := func() (rx, tx uint64) {
		for _, c := range tr.l.under.Conns() {
			st := c.Stats()
			rx, tx = rx+st.Rx.Packets, tx+st.Tx.Packets
		}
		return rx, tx
	}
	rx, tx := count()
	testutil.Eventually(t, 40*time.Second, "traffic past the kernel", func() error {
		nowRx, nowTx := count()
		if st := tr.l.under.Status(); !st.Active || nowRx < rx+some || nowTx < tx+some {
			return fmt.Errorf("%d received, %d sent, %+v", nowRx-rx, nowTx-tx, st)
		}
		return nil
	})
}

// complete stops and waits until all that was sent has arrived.
func (tr *traffic) complete(t *testing.T) {
	t.Helper()
	tr.stop()
	for _, d := range []*direction{&tr.toFar, &tr.toNear} {
		testutil.Eventually(t, 20*time.Second, "all packets "+d.name, func() error {
			if sent, got := d.sent.Load(), d.received(); sent != got {
				return fmt.Errorf("%d sent, %d received: %s", sent, got, d.missing())
			}
			return nil
		})
	}
}

// missing describes the first numbers that did not come.
func (d *direction) missing() (text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, n := range d.seen {
		if n == 0 && len(text) < 100 {
			text += fmt.Sprintf(" %d", i)
		}
	}
	return fmt.Sprintf("without%s, and those from %d on", text, len(d.seen))
}
