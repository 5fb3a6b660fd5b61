// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestQueues runs two routers with four queues each, and traffic to eight
// addresses, which spreads over them: every byte of 32 TCP streams is right, and
// UDP stays in order.
//
//	a eth0 ── veth ── eth0 b, in the tunnel 10.78.1.1 … 8 and 10.78.2.1 … 8
func TestQueues(t *testing.T) {
	bin := router(t)
	testutil.NeedTool(t, "iperf3")
	n := lab.TwoHosts(1500).Build(t)
	ends := [2]*lab.Host{n.Host("a"), n.Host("b")}
	im := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true, Sections: "[Router]\nQueues = 4\n"}
	addr := func(end, i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 78, byte(end + 1), byte(i + 1)}) }
	keys := [2]lab.Key{lab.NewKey(), lab.NewKey()}
	outer := [2]netip.Addr{lab.A4, lab.B4}
	const addresses, streams = 8, 32
	for end, h := range ends {
		o := lab.DeviceOptions{
			PrivateKey: keys[end],
			Peers:      []lab.Peer{{PublicKey: keys[1-end].Public(), Endpoint: outerPort(outer[1-end]), AllowedIPs: []string{fmt.Sprintf("10.78.%d.0/24", 2-end)}}},
		}
		for i := range addresses {
			o.Addresses = append(o.Addresses, addr(end, i).String()+"/32")
		}
		lab.StartDevice(h, im, o)
		if queues := strings.Count(h.Output("ls", "/sys/class/net/wg0/queues"), "rx-"); queues != 4 {
			t.Errorf("%d queues at host %s, want 4", queues, h.Name)
		}
	}
	a, b := ends[0], ends[1]
	traffic.WaitPing(t, a, addr(1, 0))

	// UDP alone first, so that nothing but the router reorders.
	var flows []*traffic.Flow
	for i := range addresses {
		from, to, end := a, b, 1
		if i%2 == 1 {
			from, to, end = b, a, 0
		}
		flows = append(flows, must(traffic.StartFlow(from, to, addr(end, i), 200, 4000))(t))
	}
	const packets = 120_000
	lab.Wait(t, lab.Patience, fmt.Sprintf("%d packets sent", packets), func() error {
		sent := int64(0)
		for _, f := range flows {
			sent += f.Sent()
		}
		if sent < packets {
			return fmt.Errorf("%d", sent)
		}
		return nil
	})
	var received, reordered int64
	for _, f := range flows {
		r := must(f.Stop())(t)
		received, reordered = received+r.Received, reordered+r.Reordered
		// A sender that was kept from running makes up for it, and may overrun the
		// interface's queue.
		if r.Duplicated+r.Corrupt != 0 || r.Lost > r.Sent/10 {
			t.Errorf("UDP: %s", r)
		}
	}
	if reordered*100_000 >= received {
		t.Errorf("%d of %d packets were reordered, want fewer than 1 in 100,000", reordered, received)
	}

	var wg sync.WaitGroup
	for i := range streams {
		from, to, end := a, b, 1
		if i%2 == 1 {
			from, to, end = b, a, 0
		}
		wg.Go(func() {
			if r, err := traffic.TCP(from, to, addr(end, i%addresses), 1<<20); err != nil || r.Received < 2<<20 {
				t.Errorf("stream %d: %d bytes, %v", i, r.Received, err)
			}
		})
	}
	wg.Wait()

	traffic.Iperf3Server(t, b, addr(1, 0))
	for _, reverse := range []bool{false, true} {
		if r := must(traffic.Iperf3Streams(a, addr(1, 0), time.Second, streams, reverse))(t); r.Bytes == 0 {
			t.Errorf("iperf3 with %d streams, reverse %t, carried nothing", streams, reverse)
		}
	}
}
