// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	chantun "github.com/tailscale/wireguard-go/tun/tuntest"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/tunwrap/tuntest"
)

// The addresses of the host behind a device under test and of a host beyond it.
var (
	hostV4   = netip.MustParseAddr("10.9.0.1")
	remoteV4 = netip.MustParseAddr("10.9.0.2")
	hostV6   = netip.MustParseAddr("fd99::1")
	remoteV6 = netip.MustParseAddr("fd99::2")
)

// A notifier closes a channel when the device is closed: a channel TUN does not
// tell the other side.
type notifier struct {
	*tunwrap.Device
	once   sync.Once
	closed chan struct{}
}

func (n *notifier) Close() error {
	n.once.Do(func() { close(n.closed) })
	return n.Device.Close()
}

// channelFixture is a Device over a channel TUN with the given queues.
func channelFixture(t *testing.T, queues int) *tuntest.Fixture {
	c := chantun.NewMultiQueueChannelTUN(queues)
	dev, err := tunwrap.Wrap(c.TUN(), &tunwrap.Options{Logger: testutil.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	n := &notifier{Device: dev, closed: make(chan struct{})}
	host, remote := netip.AddrPortFrom(hostV4, 1), netip.AddrPortFrom(remoteV4, 2)
	return &tuntest.Fixture{
		Device: n,
		Outbound: func(payload []byte) error {
			select {
			case c.Outbound <- testutil.UDP(host, remote, payload):
				return nil
			case <-n.closed:
				return os.ErrClosed
			}
		},
		Inbound: func(payload []byte) []byte { return testutil.UDP(remote, host, payload) },
		Received: func() ([]byte, error) {
			select {
			case pkt := <-c.Inbound:
				return pkt[28:], nil
			case <-n.closed:
				return nil, os.ErrClosed
			}
		},
		Unbuffered: true,
		Queues:     queues,
	}
}

func TestDevice_channel(t *testing.T) {
	for _, queues := range []int{1, 4} {
		t.Run(fmt.Sprint(queues), func(t *testing.T) {
			testutil.LeakCheck(t)
			tuntest.TestDevice(t, func(t *testing.T) *tuntest.Fixture { return channelFixture(t, queues) })
		})
	}
}

// socketFixture is a device whose host has the UDP socket c, which is closed
// with the test, at one of the host addresses.
func socketFixture(t *testing.T, dev *tunwrap.Device, c *net.UDPConn, queues int) *tuntest.Fixture {
	host := c.LocalAddr().(*net.UDPAddr).AddrPort()
	host = netip.AddrPortFrom(host.Addr().Unmap(), host.Port())
	remote := netip.AddrPortFrom(remoteV4, 9)
	if host.Addr().Is6() {
		remote = netip.AddrPortFrom(remoteV6, 9)
	}
	return &tuntest.Fixture{
		Device: dev,
		Outbound: func(payload []byte) error {
			_, err := c.WriteToUDPAddrPort(payload, remote)
			return err
		},
		Inbound: func(payload []byte) []byte { return testutil.UDP(remote, host, payload) },
		Received: func() ([]byte, error) {
			b := make([]byte, 1<<16)
			n, err := c.Read(b)
			return b[:n], err
		},
		Queues: queues,
	}
}
