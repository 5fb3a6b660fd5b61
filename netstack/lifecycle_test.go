// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
	"gvisor.dev/gvisor/pkg/refs"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// churn makes a pair of devices, lets all kinds of calls run on them, and
// closes the devices in their midst.
func churn(tb testing.TB) {
	open := func(addrs ...netip.Addr) *netstack.Device {
		d, err := netstack.New(&netstack.Options{Addresses: addrs, Queues: 2})
		if err != nil {
			tb.Fatal(err)
		}
		return d
	}
	a := open(netstacktest.A4, netstacktest.A6)
	b := open(netstacktest.B4, netstacktest.B6)
	var wg sync.WaitGroup
	carry := func(q tun.Queue, to *netstack.Device) {
		slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
		var bufs [netstack.BatchSize][]byte
		for {
			n, err := q.Read(slab, pkts)
			if err != nil {
				if !errors.Is(err, os.ErrClosed) {
					tb.Error(err)
				}
				return
			}
			for i, p := range pkts[:n] {
				bufs[i] = slab[p.Offset : p.Offset+p.Size]
			}
			to.Write(bufs[:n], 0)
		}
	}
	for _, q := range a.Queues() {
		wg.Go(func() { carry(q, b) })
	}
	for _, q := range b.Queues() {
		wg.Go(func() { carry(q, a) })
	}
	l, err := b.Net().Listen("tcp", ":80")
	if err != nil {
		tb.Fatal(err)
	}
	busy := make(chan struct{}, 1)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					select {
					case busy <- struct{}{}:
					default:
					}
				}
			})
		}
	})
	for _, to := range []netip.Addr{netstacktest.B4, netstacktest.B6} {
		wg.Go(func() {
			for {
				c, err := a.Net().DialContext(tb.Context(), "tcp", netip.AddrPortFrom(to, 80).String())
				if err != nil {
					return
				}
				c.Write(make([]byte, 100000))
				if to.Is4() {
					c.Close() // the other ones are left to the device
				}
			}
		})
		wg.Go(func() {
			for {
				if _, err := b.Net().Ping(tb.Context(), to); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			c, err := a.Net().DialContext(tb.Context(), "udp", netip.AddrPortFrom(to, 81).String())
			if err != nil {
				return // closed already
			}
			for !errors.Is(err, net.ErrClosed) {
				_, err = c.Write(make([]byte, 1000))
			}
		})
	}
	<-busy
	wg.Go(func() { a.SetMTU(1300) })
	wg.Go(func() { b.SetAddresses([]netip.Addr{netstacktest.B4}) })
	for range 2 {
		wg.Go(func() { a.Close() })
		wg.Go(func() { b.Close() })
	}
	wg.Wait()
	a.Stats()
}

// TestNewClose opens and closes devices a thousand times, some of them in the
// middle of traffic, and checks that goroutines and memory come back.
func TestNewClose(t *testing.T) {
	testutil.LeakCheck(t)
	n, busy := 1000, 40
	if testing.Short() {
		n, busy = 100, 5
	}
	cycle := func(i int) {
		d, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{hostV4, hostV6}})
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if _, err := d.Net().Listen("tcp", ":80"); err != nil {
				t.Fatal(err)
			}
		}
		d.Write([][]byte{testutil.Echo(farV4, hostV4, 1, 1, nil)}, 0) // an answer nobody reads
		d.Close()
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // pools are emptied by the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range 50 {
		cycle(i)
	}
	before := heap()
	for i := range n {
		cycle(i)
	}
	// One device that stays is 150 KiB: its rings alone are 2 × 60 KiB.
	if after := heap(); after > before+uint64(n)*4<<10 {
		t.Errorf("heap %d KiB, was %d KiB before %d devices", after>>10, before>>10, n)
	}
	for range busy {
		churn(t)
	}
}

// TestReferences fails when any reference to a packet buffer is left after the
// devices are closed, with packets in rings and connections at every stage. The
// stack's accounting of references is for all stacks of a process and must be on
// from its start, so the test runs itself in a process of its own.
func TestReferences(t *testing.T) {
	if os.Getenv(refCheckEnv) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestReferences$", "-test.count=1")
		cmd.Env = append(os.Environ(), refCheckEnv+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	for range 5 {
		churn(t)
	}
	// A superpacket of which a part has been read, and more behind it.
	d := newDevice(t, &netstack.Options{Queues: 1})
	for range 3 {
		pkt := netstack.Outgoing(superpacket(false, 1, pattern(50000)), 1340, 1)
		d.Send(pkt)
		pkt.DecRef()
	}
	if _, err := d.Read(make([]byte, 9000), make([]tun.ReadPacket, 8)); err != nil {
		t.Fatal(err)
	}
	d.Close()
	// Data that nobody read, inbound, and half a datagram.
	a, b := netstacktest.Pair(t, nil, nil)
	c, e := connect(t, a.Net(), b.Net(), netstacktest.B4)
	wrote := make(chan struct{})
	go func() {
		c.Write(make([]byte, 4<<20))
		close(wrote)
	}()
	if _, err := io.ReadFull(e, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	frag := testutil.UDP(netip.AddrPortFrom(netstacktest.A4, 1), netip.AddrPortFrom(netstacktest.B4, 2), pattern(64))
	frag[6] = 0x20
	b.Write([][]byte{frag}, 0)
	a.Close()
	b.Close()
	<-wrote
	refs.DoRepeatedLeakCheck() // panics
}
