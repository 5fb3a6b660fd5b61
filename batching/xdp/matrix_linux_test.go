// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// packetsVariable is the environment variable with the number of packets of
// TestStream, each way in each case.
const packetsVariable = "ROUTER_XDP_PACKETS"

// streamPackets returns that number, which is small if nobody says otherwise, and how
// long they may take.
func streamPackets(t *testing.T) (n uint64, timeout time.Duration) {
	t.Helper()
	n = 3000
	if text := os.Getenv(packetsVariable); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 40)
		must(t, err)
	}
	return n, 60*time.Second + time.Duration(n)*100*time.Microsecond
}

// underWay is how many packets of one direction are under way at most. A queue of a
// veth device with a native program holds 256 (VETH_RING_SIZE in
// drivers/net/veth.c), and drops what is more.
const underWay = 192

// TestStream has packets of all sizes go both ways at the same time, and misses none:
// none twice, each as it was sent. All are received past the kernel; a few are sent
// through it when the routes are asked for again. Order is logged, not asserted: a veth
// pair has a backlog for each CPU, so what a thread sends from two may change places.
func TestStream(t *testing.T) {
	testutil.LeakCheck(t)
	t.Run("cases", func(t *testing.T) { // so that LeakCheck waits for all
		for _, mode := range []redirect.Mode{redirect.ModeNative, redirect.ModeGeneric} {
			for _, queues := range []int{1, 4} {
				for _, offloads := range []bool{true, false} {
					t.Run(fmt.Sprintf("%v/%dqueues/offloads=%v", mode, queues, offloads), func(t *testing.T) {
						t.Parallel()
						testStream(t, mode, queues, offloads)
					})
				}
				t.Run(fmt.Sprintf("%v/%dqueues/vlan", mode, queues), func(t *testing.T) {
					t.Parallel()
					testStreamVLAN(t, mode, queues)
				})
			}
		}
	})
}

func testStream(t *testing.T, mode redirect.Mode, queues int, offloads bool) {
	if !offloads {
		testutil.NeedTool(t, "ethtool")
	}
	l := newHosts(t, queues)
	if !offloads {
		l.near.Run(func() { noOffloads(t, "eth0") })
		l.far.Run(func() { noOffloads(t, "far0") })
	}
	l.openActive(t, &xdp.Options{Attach: mode})
	for _, addrs := range [][2]netip.Addr{{near4, far4}, {near6, far6}} {
		t.Run(family(addrs[0]), func(t *testing.T) {
			// Merged packets are not cut for a generic program on a veth device.
			flows := l.flows(t, arrival(mode, queues-1)+1, addrs[0], addrs[1], &batching.Options{DisableGSO: mode == redirect.ModeGeneric && offloads})
			testFlows(t, l, flows, addrs[0], addrs[1])
		})
	}
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// noOffloads has the interface of the calling thread's namespace compute checksums
// and send and receive nothing that is merged.
func noOffloads(t testing.TB, name string) {
	t.Helper()
	out, err := exec.Command("ethtool", "-K", name, "tx", "off", "gso", "off", "gro", "off", "tso", "off").CombinedOutput()
	if err != nil {
		t.Fatalf("ethtool: %v: %s", err, out)
	}
}

// arrival returns the queue on which a veth device has what its peer sent on a queue.
// For a generic program the kernel takes the number of the sender's queue for one that
// the driver has recorded, which is higher by one, and 0 for none (netif_get_rxqueue
// in net/core/dev.c): nothing ever arrives on the last one.
func arrival(mode redirect.Mode, queue int) int {
	if mode == redirect.ModeGeneric {
		return max(0, queue-1)
	}
	return queue
}

// flowsPerQueue is how many flows come on each queue of near.
const flowsPerQueue = 2

// flows opens sockets of far, such that the kernel has given each of the first queues
// of near as many of them.
func (l *lab) flows(t *testing.T, queues int, near, far netip.Addr, o *batching.Options) (out []*batching.Conn) {
	t.Helper()
	have := make([]int, queues)
	network := map[bool]string{true: "udp4", false: "udp6"}[far.Is4()]
	to := destination(near)
	for len(out) < flowsPerQueue*len(have) {
		var c *batching.Conn
		l.far.Run(func() {
			var err error
			c, err = batching.Listen(network, netip.AddrPortFrom(far, 0), o)
			must(t, err)
		})
		t.Cleanup(func() { must(t, c.Close()) })
		before := l.under.Status().Queues
		if _, err := c.WriteBatch([][]byte{[]byte("which queue?")}, 0, to, 0); err != nil {
			t.Fatal(err)
		}
		var queue int
		testutil.Eventually(t, 20*time.Second, "packet of a new flow", func() error {
			for i, q := range l.under.Status().Queues {
				if q.Socket.Kernel.RxDropped != 0 {
					t.Fatalf("dropped: %+v", q.Socket)
				}
				if q.Socket.RxPackets != before[i].Socket.RxPackets {
					queue = i
					return nil
				}
			}
			// Nobody reads: a received frame is counted when it is.
			for i, c := range l.under.Conns() {
				if l.drain(t, c) > 0 {
					queue = i
					return nil
				}
			}
			return fmt.Errorf("no queue had it: %v", l.under.Status().Program)
		})
		if have[queue] < flowsPerQueue {
			have[queue]++
			out = append(out, c)
		}
	}
	return out
}

// testFlows runs one stream each way for each flow.
func testFlows(t *testing.T, l *lab, flows []*batching.Conn, near, far netip.Addr) {
	packets, timeout := streamPackets(t)
	conns := l.under.Conns()
	pattern := newPattern()
	byPort := make(map[uint16]*stream)
	var streams []*stream
	var sinks []*sink
	add := func(name string, i int, send func(bufs [][]byte) (int, error)) *stream {
		s := &stream{
			name: name, id: uint64(len(streams)), shortest: 1, pattern: pattern, send: send, credit: make(chan struct{}, 1),
			total:  (packets + uint64(len(flows)-1-i)) / uint64(len(flows)),
			window: uint64(underWay / len(flows)),
		}
		streams = append(streams, s)
		return s
	}
	for i, peer := range flows {
		port := peer.LocalAddr().Port()
		toFar := batching.NewDestination(netip.AddrPortFrom(far, port), netip.Addr{}, 0)
		toNear := destination(near)
		conn := conns[i%len(conns)]
		out := add(fmt.Sprintf("to port %d", port), i, func(b [][]byte) (int, error) { return conn.WriteBatch(b, 0, toFar, 0) })
		byPort[port] = add(fmt.Sprintf("from port %d", port), i, func(b [][]byte) (int, error) { return peer.WriteBatch(b, 0, toNear, 0) })
		sinks = append(sinks, &sink{peer, func(*batching.Packet) *stream { return out }})
	}
	for _, c := range conns {
		sinks = append(sinks, &sink{c, func(p *batching.Packet) *stream { return byPort[p.Remote.Port()] }})
	}
	before := l.under.Status()
	start := time.Now()
	run(t, timeout, streams, sinks, func() error { return allSeen(streams) })
	t.Logf("%d packets each way in %v", packets, time.Since(start).Round(time.Millisecond))
	l.checkPast(t, before, packets, true)
}

// checkPast checks that that many packets were received past the kernel since before,
// and sent either past it or, if it is there, through it for a known reason.
func (l *lab) checkPast(t *testing.T, before xdp.Status, packets uint64, kernel bool) {
	t.Helper()
	after := l.under.Status()
	var sent, received, through uint64
	for i := range after.Queues {
		a, b := &after.Queues[i].Socket, &before.Queues[i].Socket
		sent += a.TxPackets - b.TxPackets
		received += a.RxPackets - b.RxPackets
		if a.TxDropped != b.TxDropped || a.Kernel.RxDropped != b.Kernel.RxDropped || a.Kernel.RxRingFull != b.Kernel.RxRingFull {
			t.Errorf("queue %d lost something: %+v, before %+v", i, *a, *b)
		}
	}
	for reason, n := range after.Kernel {
		through += n - before.Kernel[reason]
	}
	t.Logf("%d sent through the kernel", through)
	if !kernel {
		through = 0 // each was sent again
	}
	if sent == 0 || sent+through != packets || received != packets {
		t.Errorf("of %d packets, %d sent past the kernel, %d through it, %d received; through it: %v, before %v; program: %v, before %v",
			packets, sent, through, received, after.Kernel, before.Kernel, after.Program, before.Program)
	}
}
