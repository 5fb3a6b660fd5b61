// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package netstacktest connects devices of package netstack back to back, for
// tests: no tunnel, no encryption, no root. Only tests import it.
//
// The packets of a batch are valid during the call they are passed to. All
// functions may be used by parallel tests.
package netstacktest

import (
	"errors"
	"net/netip"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/netstack"
)

// slabSize is what wireguard-go reads into.
const slabSize = 2 * 65535

// Addresses of the two hosts of [Pair].
var (
	A4 = netip.MustParseAddr("10.99.0.1")
	B4 = netip.MustParseAddr("10.99.0.2")
	A6 = netip.MustParseAddr("fd99::1")
	B6 = netip.MustParseAddr("fd99::2")
)

// LinkOptions are for tests that need a worse path than a perfect one. nil, or
// the zero value, is perfect.
type LinkOptions struct {
	// Mangle is called with each batch of packets on its way and returns the
	// batch to deliver: fewer packets, more, in another order, changed. It
	// is called by one goroutine per queue of each device.
	Mangle func(to tun.Device, batch [][]byte) [][]byte
}

// Link carries what a sends to b and what b sends to a until the end of the
// test, which closes both devices.
func Link(tb testing.TB, a, b tun.Device, o *LinkOptions) {
	tb.Helper()
	var readers sync.WaitGroup
	for _, end := range []struct{ from, to tun.Device }{{a, b}, {b, a}} {
		for i, q := range tun.QueuesOf(end.from) {
			readers.Go(func() { carry(q, i, end.from.BatchSize(), end.to, o) })
		}
	}
	tb.Cleanup(func() {
		a.Close()
		b.Close()
		readers.Wait()
	})
}

// carry reads q until it is closed and writes what it reads to device to.
func carry(q tun.Queue, flow, batch int, to tun.Device, o *LinkOptions) {
	slab := make([]byte, slabSize)
	pkts := make([]tun.ReadPacket, batch)
	bufs := make([][]byte, 0, batch)
	write := tun.WriteToOf(to)
	for {
		n, err := q.Read(slab, pkts)
		bufs = bufs[:0]
		for _, p := range pkts[:n] {
			bufs = append(bufs, slab[p.Offset:p.Offset+p.Size])
		}
		out := bufs
		if o != nil && o.Mangle != nil && len(out) > 0 {
			out = o.Mangle(to, out)
		}
		if len(out) > 0 {
			if _, werr := write(flow, out, 0); werr != nil {
				return // to is closed
			}
		}
		if err != nil && !errors.Is(err, tun.ErrTooManySegments) {
			return // from is closed
		}
	}
}

// Pair returns two linked devices with one IPv4 and one IPv6 address each, A4
// and A6, B4 and B6. o is for both; its addresses are ignored.
func Pair(tb testing.TB, o *netstack.Options, lo *LinkOptions) (a, b *netstack.Device) {
	tb.Helper()
	device := func(addrs ...netip.Addr) *netstack.Device {
		var opts netstack.Options
		if o != nil {
			opts = *o
		}
		opts.Addresses = addrs
		d, err := netstack.New(&opts)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { d.Close() })
		return d
	}
	a, b = device(A4, A6), device(B4, B6)
	Link(tb, a, b, lo)
	return a, b
}
