// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"

	chantun "github.com/tailscale/wireguard-go/tun/tuntest"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/tunwrap/tuntest"
)

// A notifier closes a channel when the device is closed: a channel TUN does not
// tell the other side.
type notifier struct {
	*hub.Device
	once   sync.Once
	closed chan struct{}
}

func (n *notifier) Close() error {
	n.once.Do(func() { close(n.closed) })
	return n.Device.Close()
}

// fixture is a Device over a channel TUN with the given queues.
func fixture(t *testing.T, queues int, o *hub.Options) *tuntest.Fixture {
	c := chantun.NewMultiQueueChannelTUN(queues)
	inside, err := tunwrap.Wrap(c.TUN(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := hub.New(inside, o)
	if err != nil {
		t.Fatal(err)
	}
	dev.SetRoutes(routes())
	n := &notifier{Device: dev, closed: make(chan struct{})}
	host, remote := netip.AddrPortFrom(hostAddr, 1), netip.AddrPortFrom(aliceAddr, 2)
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
		Queues:     queues + 1,
	}
}

// To wireguard-go the Device is what the device inside is, whatever it does with
// packets that are for others.
func TestDeviceConforms(t *testing.T) {
	for _, queues := range []int{1, 4} {
		for _, forwarding := range []hub.Forwarding{hub.Off, hub.On, hub.Isolated} {
			for _, rules := range [][]filter.Rule{nil, {{Action: filter.Allow}}} {
				t.Run(fmt.Sprintf("%d queues, %v, %d rules", queues, forwarding, len(rules)), func(t *testing.T) {
					testutil.LeakCheck(t)
					tuntest.TestDevice(t, func(t *testing.T) *tuntest.Fixture {
						f, err := filter.New(rules, nil)
						if err != nil {
							t.Fatal(err)
						}
						return fixture(t, queues, &hub.Options{Forwarding: forwarding, Filter: f})
					})
				})
			}
		}
	}
}
