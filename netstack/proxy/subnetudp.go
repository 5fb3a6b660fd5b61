// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

// newUDP returns the flows of r. Each has a socket connected to the target, so
// that only the target's answers come back, and its refusal is heard.
func (r *SubnetRouter) newUDP(o *SubnetRouterOptions) *hostFlows {
	host := newUDPHost()
	dial := func(ctx context.Context, k hostKey) (*udpSocket, error) {
		return host.dial(ctx, k.destination.String())
	}
	if o.DialUDP != nil {
		dial = func(ctx context.Context, k hostKey) (*udpSocket, error) {
			c, err := o.DialUDP(ctx, k.destination)
			if err != nil {
				return nil, err
			}
			return host.adopt(c)
		}
	}
	return newHostFlows(&hostFlows{
		net: r.net, host: host, count: &r.count, wg: &r.work, dial: dial,
		admit:  func(k hostKey) (any, bool) { return r.admit(k.source.Addr(), k.destination.Addr()) },
		silent: func(to netip.AddrPort) time.Duration { return inactivity(o.InactivityTimeout, to.Port()) },
	}, o.UDP)
}

// takeUDP forwards datagrams of peers. It is called by the goroutine that delivers
// them. Where nobody listens, or nobody may send to, port unreachable is sent.
func (r *SubnetRouter) takeUDP(d *netstack.Datagrams) bool {
	return r.udp.take(d, r.udp.table.now())
}
