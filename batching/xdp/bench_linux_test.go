// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"golang.org/x/sys/unix"
)

// sizes are those of UDP payloads.
var sizes = []int{64, 200, 1400}

// BenchmarkReceive reads what a flood brings: through the kernel's socket, and past
// the kernel. The flood is sent without GSO, as by a peer that encrypts packets one
// by one. A loop is one packet; reader-ns is the CPU time of the reading thread for
// it, cpu-ns that of the whole process, flood included, loss what share was dropped.
func BenchmarkReceive(b *testing.B) {
	for _, gso := range []bool{false, true} {
		for _, size := range sizes {
			for _, way := range []string{"kernel", "native", "generic"} {
				if gso && way == "generic" {
					continue // merged packets are not for it
				}
				b.Run(fmt.Sprintf("gso=%v/%d/%s", gso, size, way), func(b *testing.B) {
					benchReceive(b, size, way, gso)
				})
			}
		}
	}
}

func benchReceive(b *testing.B, size int, way string, gso bool) {
	l := newHosts(b, 1)
	var c reader
	switch way {
	case "kernel":
		l.beside, l.peer = l.listen(b, l.near), l.listen(b, l.far)
		c = l.beside[true]
	case "native":
		l.open(b, &xdp.Options{Attach: redirect.ModeNative, RxFrames: 4096})
		c = l.under.Conns()[0]
	case "generic":
		l.open(b, &xdp.Options{Attach: redirect.ModeGeneric, RxFrames: 4096})
		c = l.under.Conns()[0]
	}
	stop := flood(b, l.peer[true], size, gso)
	defer stop()
	slab, pkts := make([]byte, 131070), make([]batching.Packet, batching.MaxBatch)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n := 0
	read := func() {
		k, err := c.ReadBatch(slab, pkts)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range pkts[:k] {
			if p.Size != size {
				b.Fatalf("packet of %d bytes", p.Size)
			}
		}
		n += k
	}
	for n < 10000 {
		read()
	}
	thread, process := usage(unix.RUSAGE_THREAD), usage(unix.RUSAGE_SELF)
	b.ResetTimer()
	start := time.Now()
	n = 0
	for n < b.N {
		read()
	}
	took := time.Since(start)
	b.StopTimer()
	b.ReportMetric(float64(n)/took.Seconds()/1e6, "Mpps")
	b.ReportMetric(float64(usage(unix.RUSAGE_THREAD)-thread)/float64(n), "reader-ns")
	b.ReportMetric(float64(usage(unix.RUSAGE_SELF)-process)/float64(n), "cpu-ns")
}

// usage returns the CPU time.
func usage(who int) time.Duration {
	var r unix.Rusage
	if unix.Getrusage(who, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// flood sends to near until the returned function is called.
func flood(b *testing.B, from *batching.Conn, size int, gso bool) (stop func()) {
	if err := from.Reconfigure(&batching.Options{DisableGSO: !gso}); err != nil {
		b.Fatal(err)
	}
	bufs := make([][]byte, batching.MaxBatch)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	dst := batching.NewDestination(netip.AddrPortFrom(near4, port), netip.Addr{}, 0)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := from.WriteBatch(bufs, 0, dst, 0); err != nil {
				b.Error(err)
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// BenchmarkSend sends to a socket that nobody reads: through the kernel's socket,
// with GSO and without, and past the kernel. A loop is one packet.
func BenchmarkSend(b *testing.B) {
	for _, size := range sizes {
		for _, way := range []string{"gso", "single", "xdp"} {
			b.Run(fmt.Sprintf("%d/%s", size, way), func(b *testing.B) { benchSend(b, size, way) })
		}
	}
}

func benchSend(b *testing.B, size int, way string) {
	l := newLab(b, 1, &xdp.Options{Attach: redirect.ModeNative})
	var c xdp.Kernel = l.under.Conns()[0]
	if way != "xdp" {
		must(b, l.beside[true].Reconfigure(&batching.Options{DisableGSO: way == "single"}))
		c = l.beside[true]
	}
	bufs := make([][]byte, batching.MaxBatch)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	dst := destination(far4)
	cpu := usage(unix.RUSAGE_SELF)
	before := l.under.Conns()[0].Stats().Tx.Packets
	b.ResetTimer()
	n := 0
	for n < b.N {
		k, err := c.WriteBatch(bufs, 0, dst, 0)
		if err != nil {
			b.Fatal(err)
		}
		n += k
	}
	b.StopTimer()
	b.ReportMetric(float64(usage(unix.RUSAGE_SELF)-cpu)/float64(n), "cpu-ns")
	b.ReportMetric(float64(l.under.Conns()[0].Stats().Tx.Packets-before)/float64(n), "past")
}
