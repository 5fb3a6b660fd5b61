// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sizes are those of UDP payloads.
var sizes = []int{64, 200, 1400}

// BenchmarkReceive reads what a flood brings: through the kernel's socket and past
// the kernel. How it is sent:
//
//	single  one system call for 128 packets, each goes through the sender's stack
//	cut     segmented messages, cut into packets in front of the device: the
//	        quickest sender of packets as they come from a wire
//	whole   segmented messages, which a veth pair hands over as they are
//
// A loop is one packet; reader-ns is the CPU time of the reading thread for it, cpu-ns
// that of the whole process, sending included. As sending costs more than receiving,
// and the kernel's part of receiving is done by the sender's CPU, rates tell of the
// sender: what receiving costs is cpu-ns less that of "nobody", which sends to an
// Ethernet address that nobody has.
func BenchmarkReceive(b *testing.B) {
	for _, sent := range []string{"single", "cut", "whole"} {
		for _, size := range sizes {
			for _, way := range []string{"nobody", "kernel", "native", "generic"} {
				if sent == "whole" && way == "generic" {
					continue // merged packets are not for it
				}
				b.Run(fmt.Sprintf("%s/%d/%s", sent, size, way), func(b *testing.B) { benchReceive(b, size, way, sent) })
			}
		}
	}
}

func benchReceive(b *testing.B, size int, way, sent string) {
	l := newHosts(b, 1)
	var c reader
	switch way {
	case "native", "generic":
		mode := map[string]redirect.Mode{"native": redirect.ModeNative, "generic": redirect.ModeGeneric}[way]
		l.open(b, &xdp.Options{Attach: mode, RxFrames: 4096})
		c = l.under.Conns()[0]
	default:
		l.beside, l.peer = l.listen(b, l.near), l.listen(b, l.far)
		c = l.beside[true]
	}
	if sent == "cut" {
		l.far.Run(func() { offload(b, "far0", "tx-udp-segmentation", "off") })
	}
	if way == "nobody" {
		l.far.Run(func() { nobody(b, l.farLink) })
		c = nil
	}
	stop := flood(b, l.peer[true], size, sent != "single")
	defer stop()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slab, pkts := make([]byte, 131070), make([]batching.Packet, batching.MaxBatch)
	n := 0
	read := func() { n += readSome(b, c, slab, pkts, size) }
	if c == nil {
		start := l.peer[true].Stats().Tx.Packets
		read = func() {
			time.Sleep(time.Millisecond)
			n = int(l.peer[true].Stats().Tx.Packets - start)
		}
	}
	for n < 10000 {
		read()
	}
	thread, process, first := usage(unix.RUSAGE_THREAD), usage(unix.RUSAGE_SELF), n
	b.ResetTimer()
	start := time.Now()
	for n-first < b.N {
		read()
	}
	took := time.Since(start)
	b.StopTimer()
	got := float64(n - first)
	b.ReportMetric(got/took.Seconds()/1e6, "Mpps")
	b.ReportMetric(float64(usage(unix.RUSAGE_THREAD)-thread)/got, "reader-ns")
	b.ReportMetric(float64(usage(unix.RUSAGE_SELF)-process)/got, "cpu-ns")
}

// readSome reads once and returns how many packets came.
func readSome(b *testing.B, c reader, slab []byte, pkts []batching.Packet, size int) int {
	n, err := c.ReadBatch(slab, pkts)
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range pkts[:n] {
		if p.Size != size {
			b.Fatalf("packet of %d bytes", p.Size)
		}
	}
	return n
}

// nobody makes far send to an Ethernet address that nobody has.
func nobody(b *testing.B, l netlink.Link) {
	must(b, netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, IP: near4.AsSlice(), State: netlink.NUD_PERMANENT,
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
	}))
}

// offload sets features of an interface in the calling thread's namespace.
func offload(b *testing.B, name string, features ...string) {
	testutil.NeedTool(b, "ethtool")
	if out, err := exec.Command("ethtool", append([]string{"-K", name}, features...)...).CombinedOutput(); err != nil {
		b.Fatalf("ethtool: %v: %s", err, out)
	}
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
	must(b, from.Reconfigure(&batching.Options{DisableGSO: !gso}))
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
