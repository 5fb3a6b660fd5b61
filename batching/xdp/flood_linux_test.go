// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// floodPackets is how many packets are sent each way at once, into few frames.
const floodPackets = 20_000

// TestFlood sends more than there is room for: what is lost is counted, exactly, and the
// rest comes in order.
func TestFlood(t *testing.T) {
	for _, mode := range []redirect.Mode{redirect.ModeNative, redirect.ModeGeneric} {
		for _, addrs := range [][2]netip.Addr{{near4, far4}, {near6, far6}} {
			t.Run(fmt.Sprintf("%v/%v", mode, family(addrs[0])), func(t *testing.T) {
				testutil.LeakCheck(t)
				testFlood(t, mode, addrs[0], addrs[1])
			})
		}
	}
}

func testFlood(t *testing.T, mode redirect.Mode, near, far netip.Addr) {
	l := newLab(t, 1, &xdp.Options{Attach: mode, RxFrames: 32, TxFrames: 32})
	conn := l.under.Conns()[0]
	// Merged packets are not cut for a generic program on a veth device.
	peer := l.flows(t, 1, near, far, &batching.Options{DisableGSO: mode == redirect.ModeGeneric})[0]
	toFar := batching.NewDestination(netip.AddrPortFrom(far, peer.LocalAddr().Port()), netip.Addr{}, 0)
	toNear := destination(near)
	pattern := newPattern()
	flood := func(id uint64, name string, send func(bufs [][]byte) (int, error)) *stream {
		return &stream{name: name, id: id, shortest: 64, total: floodPackets, pattern: pattern, send: send, credit: make(chan struct{}, 1)}
	}
	out := flood(1, "to far", func(b [][]byte) (int, error) { return conn.WriteBatch(b, 0, toFar, 0) })
	in := flood(2, "to near", func(b [][]byte) (int, error) { return peer.WriteBatch(b, 0, toNear, 0) })
	sinks := []*sink{
		{peer, func(*batching.Packet) *stream { return out }},
		{conn, func(*batching.Packet) *stream { return in }},
	}
	near0, far0, link0 := conn.Stats(), peer.Stats(), l.txDropped(t)
	run(t, time.Minute, []*stream{out, in}, sinks, func() error {
		near1, far1, link1 := conn.Stats(), peer.Stats(), l.txDropped(t)
		device := near1.Tx.Dropped["device"] - near0.Tx.Dropped["device"]
		far := drops(&far1) - drops(&far0)
		if n := out.seen.Load() + device + far; n != floodPackets {
			return fmt.Errorf("to far: %d received, %d dropped by the device, %d by the socket: %d in all, %d sent",
				out.seen.Load(), device, far, n, out.sent.Load())
		}
		ring := near1.Rx.Overflow - near0.Rx.Overflow
		if n := in.seen.Load() + ring + link1 - link0; n != floodPackets {
			return fmt.Errorf("to near: %d received, %d found no frame, %d dropped by far's device: %d in all, %d sent",
				in.seen.Load(), ring, link1-link0, n, in.sent.Load())
		}
		return nil
	})
	st := conn.Stats()
	t.Logf("to far %d; to near %d, %d found no frame; through the kernel: %v",
		out.seen.Load(), in.seen.Load(), st.Rx.Overflow-near0.Rx.Overflow, l.under.Status().Kernel)
	if k := l.beside[near.Is4()].Stats().Rx.Packets; k != 0 {
		t.Errorf("%d packets reached the kernel's socket", k)
	}
}

// drops returns what a socket of the kernel had no room for.
func drops(s *batching.Stats) uint64 {
	if s.Memory != nil {
		return uint64(s.Memory.Drops)
	}
	return s.Rx.Overflow
}

// txDropped returns what far's device has dropped of what it was to send.
func (l *lab) txDropped(t *testing.T) (n uint64) {
	l.far.Run(func() {
		link, err := netlink.LinkByName("far0")
		must(t, err)
		n = link.Attrs().Statistics.TxDropped
	})
	return n
}
