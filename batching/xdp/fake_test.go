// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// frameBytes is the size of a fake's frame.
const frameBytes = 2048

// A pool is the frames of one direction of a fake. A frame is known by its first
// byte, which the borrower must not cut off.
type pool struct {
	frames [][]byte
	index  map[*byte]int
	lent   []bool
	free   []int
}

func newPool(n int) *pool {
	p := &pool{index: make(map[*byte]int), lent: make([]bool, n), free: make([]int, 0, n)}
	for i := range n {
		b := make([]byte, frameBytes)
		p.frames, p.index[&b[0]], p.free = append(p.frames, b), i, append(p.free, i)
	}
	return p
}

func (p *pool) take() (i int, ok bool) {
	if len(p.free) == 0 {
		return 0, false
	}
	i = p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return i, true
}

// back takes a lent frame back; ok is false for one that is not lent.
func (p *pool) back(f *xsk.Frame) (i int, ok bool) {
	if cap(f.Data) == 0 {
		return 0, false
	}
	i, ok = p.index[&f.Data[:1][0]]
	ok = ok && p.lent[i]
	if ok {
		p.lent[i] = false
	}
	return i, ok
}

func (p *pool) borrowed() (n int) {
	for _, lent := range p.lent {
		if lent {
			n++
		}
	}
	return n
}

// A fake is a socket of plain memory. It fails the test when it is given a frame
// that it has not lent.
type fake struct {
	tb testing.TB

	mu              sync.Mutex
	changed         chan struct{} // closed with each change
	waiting         int
	closed          bool
	readBy, writeBy time.Time
	readErr         error // of BatchRead, when nothing is there

	rx   *pool
	ring []received

	tx       *pool
	sending  []int
	keep     bool                     // frames stay with the kernel until complete
	quiet    bool                     // sent is not filled in
	transmit func(n int) (int, error) // how many of n frames are taken; nil: all
	sent     [][]byte                 // every frame, a copy
	stats    xsk.Stats
}

type received struct{ frame, size int }

func newFake(tb testing.TB, frames int) *fake {
	f := &fake{tb: tb, changed: make(chan struct{}), rx: newPool(frames), tx: newPool(frames)}
	tb.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := f.tx.borrowed(); n != 0 {
			tb.Errorf("%d frames to send were neither sent nor given back", n)
		}
	})
	return f
}

// notify wakes who waits, and allocates only then. mu is held.
func (f *fake) notify() {
	if f.waiting > 0 {
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

// deliver puts frames into the receive ring and returns how many fit.
func (f *fake) deliver(frames ...[]byte) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range frames {
		i, ok := f.rx.take()
		if !ok {
			f.stats.Kernel.RxRingFull++
			continue
		}
		f.ring = append(f.ring, received{i, copy(f.rx.frames[i], b)})
		n++
	}
	f.stats.RxPackets += uint64(n)
	f.notify()
	return n
}

func (f *fake) Receive(frames []xsk.Frame) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, net.ErrClosed
	}
	n = min(len(frames), len(f.ring))
	for i, r := range f.ring[:n] {
		f.rx.lent[r.frame] = true
		frames[i] = xsk.Frame{Data: f.rx.frames[r.frame][:r.size]}
	}
	f.ring = f.ring[:copy(f.ring, f.ring[n:])]
	return n, nil
}

func (f *fake) BatchRead(frames []xsk.Frame) (n int, err error) {
	for {
		if n, err = f.Receive(frames); n > 0 || err != nil {
			return n, err
		}
		if err := f.wait(func() (bool, time.Time, error) { return len(f.ring) > 0, f.readBy, f.readErr }); err != nil {
			return 0, err
		}
	}
}

// wait waits until ready says so.
func (f *fake) wait(ready func() (ok bool, by time.Time, err error)) error {
	for {
		f.mu.Lock()
		ok, by, err := ready()
		changed, closed := f.changed, f.closed
		f.waiting++
		f.mu.Unlock()
		wait := time.Duration(0)
		if !by.IsZero() {
			wait = time.Until(by)
		}
		over := true
		switch {
		case closed:
			err = net.ErrClosed
		case ok || err != nil:
		case !by.IsZero() && wait <= 0:
			err = os.ErrDeadlineExceeded
		default:
			over = false
			pause(changed, wait)
		}
		f.mu.Lock()
		f.waiting--
		f.mu.Unlock()
		if over {
			return err
		}
	}
}

func (f *fake) Release(frames []xsk.Frame) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range frames {
		n, ok := f.rx.back(&frames[i])
		if !ok {
			f.tb.Errorf("released frame %d, which is not borrowed", n)
			return xsk.ErrFrame
		}
		f.rx.free = append(f.rx.free, n)
	}
	return nil
}

func (f *fake) SetReadDeadline(t time.Time) error { return f.setDeadline(&f.readBy, t) }

func (f *fake) SetWriteDeadline(t time.Time) error { return f.setDeadline(&f.writeBy, t) }

func (f *fake) setDeadline(at *time.Time, t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return net.ErrClosed
	}
	*at = t
	f.notify()
	return nil
}

func (f *fake) Stats() xsk.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

func (f *fake) ZeroCopy() bool { return false }

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		f.notify()
	}
	return nil
}

func (f *fake) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// lent returns how many received frames are borrowed.
func (f *fake) lent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rx.borrowed()
}
