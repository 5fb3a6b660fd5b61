// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/tunwrap/tuntest"
)

// TestConformance holds the device to what is asked of every device of the
// project, with one UDP socket as the host.
func TestConformance(t *testing.T) {
	for _, queues := range []int{1, 4} {
		for name, ends := range map[string][2]netip.Addr{"v4": {hostV4, farV4}, "v6": {hostV6, farV6}} {
			t.Run(fmt.Sprintf("%s/queues-%d", name, queues), func(t *testing.T) {
				testutil.LeakCheck(t)
				host, far := netip.AddrPortFrom(ends[0], 1000), netip.AddrPortFrom(ends[1], 2000)
				tuntest.TestDevice(t, func(t *testing.T) *tuntest.Fixture {
					d := newDevice(t, &netstack.Options{Queues: queues})
					pc, err := d.Net().ListenPacket("udp", host.String())
					if err != nil {
						t.Fatal(err)
					}
					socket := pc.(interface {
						ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
						WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
					})
					// Datagrams take turns on the queues, which the suite tells
					// apart: one destination for each.
					to := onePerQueue(d, host, far)
					turn := 0
					return &tuntest.Fixture{
						Device: d,
						Outbound: func(payload []byte) error {
							turn++
							_, err := socket.WriteToUDPAddrPort(payload, to[turn%queues])
							return err
						},
						Inbound: func(payload []byte) []byte { return testutil.UDP(far, host, payload) },
						Received: func() ([]byte, error) {
							b := make([]byte, 2000)
							n, from, err := socket.ReadFromUDPAddrPort(b)
							if err == nil && from != far {
								err = fmt.Errorf("from %v, want %v", from, far)
							}
							return b[:n], err
						},
						Queues: queues,
					}
				})
			})
		}
	}
}

// onePerQueue returns addresses near far, the i-th of which is reached through
// queue i.
func onePerQueue(d *netstack.Device, host, far netip.AddrPort) []netip.AddrPort {
	to := make([]netip.AddrPort, len(d.Queues()))
	for found, a := 0, far.Addr(); found < len(to); a = a.Next() {
		ap := netip.AddrPortFrom(a, far.Port())
		pkt := netstack.Outgoing(testutil.UDP(host, ap, []byte{1}), 0, 0)
		if q := d.QueueOf(pkt); !to[q].IsValid() {
			to[q] = ap
			found++
		}
		pkt.DecRef()
	}
	return to
}
