// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/peers"
)

// A driver does with a Bind what the WireGuard device does: a goroutine for each
// receive function until that ends, and Close, wait, Open for an update.
type driver struct {
	t        testing.TB
	bind     *peers.Bind
	readers  sync.WaitGroup
	received atomic.Int64
	// see is called for each message, by the goroutine of its receive function,
	// which is told apart by its number.
	see  func(reader int64, msg []byte)
	next atomic.Int64
}

// newDriver starts the receive functions; see may be nil. The driver ends with
// the test.
func newDriver(t testing.TB, b *peers.Bind, fns []conn.ReceiveFunc, see func(reader int64, msg []byte)) *driver {
	if see == nil {
		see = func(int64, []byte) {}
	}
	d := &driver{t: t, bind: b, see: see}
	d.run(fns)
	t.Cleanup(d.end)
	return d
}

func (d *driver) run(fns []conn.ReceiveFunc) {
	for _, recv := range fns {
		id := d.next.Add(1)
		d.readers.Go(func() {
			slab := make([]byte, 2*65535)
			packets := make([]conn.ReceivedPacket, d.bind.BatchSize())
			for {
				n, err := recv(slab, packets)
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						d.t.Errorf("a receive function returned %v; the device would end it for good", err)
					}
					return
				}
				for _, p := range packets[:n] {
					d.see(id, p.Bytes(slab))
				}
				d.received.Add(int64(n))
			}
		})
	}
}

// stop closes the Bind and waits until all receive functions have ended.
func (d *driver) stop() {
	d.t.Helper()
	if err := d.bind.Close(); err != nil {
		d.t.Error(err)
	}
	d.readers.Wait()
}

// update is Device.BindUpdate. It returns the number of receive functions.
func (d *driver) update(port uint16) int {
	d.t.Helper()
	d.stop()
	fns, got, err := d.bind.Open(port)
	if err != nil {
		d.t.Fatalf("open port %d: %v", port, err)
	}
	if port != 0 && got != port {
		d.t.Errorf("opened port %d, want %d", got, port)
	}
	d.run(fns)
	return len(fns)
}

// wait waits until n messages were received since the start.
func (d *driver) wait(n int64) {
	d.t.Helper()
	eventually(d.t, "all messages are received", func() bool { return d.received.Load() >= n })
	if got := d.received.Load(); got != n {
		d.t.Errorf("%d messages were received, want %d", got, n)
	}
}

// end closes for good.
func (d *driver) end() {
	d.stop()
	d.stop()
}
