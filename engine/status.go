// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"fmt"
	"strings"

	"github.com/tunrouter/tunrouter/uapi"
)

// Status returns the state of the router as WireGuard's configuration protocol
// describes it: keys, port, and per peer the address it is at, its last
// handshake and what was transferred. Secret keys are included. [SocketGroups],
// [XDPOf], [QueuesOf], [ForwardingOf], [FilterOf], [ServicesOf], [DiscoveryOf],
// [RelayOf], [DropsOf] and [PathOf] read what WireGuard does not know from it.
func (e *Engine) Status() (*uapi.Device, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.statusLocked()
	if err != nil {
		return nil, err
	}
	stats := e.bind.Stats()
	lines, err := socketLines(&stats)
	if err != nil {
		return nil, fmt.Errorf("describe the sockets: %w", err)
	}
	d.Extra = append(d.Extra, lines...)
	if lines, err = e.xdpLines(); err != nil {
		return nil, fmt.Errorf("describe XDP: %w", err)
	}
	d.Extra = append(d.Extra, lines...)
	if e.netdev == nil { // a netstack has no queues of the kernel
		queues := e.tun.Stats()
		line, err := jsonLine(queuesKey, queuesInfo(&queues))
		if err != nil {
			return nil, fmt.Errorf("describe the queues: %w", err)
		}
		d.Extra = append(d.Extra, line)
	}
	between, allowed := e.hub.Stats(), e.filter.Stats()
	if lines, err = forwardingLines(&between, &allowed); err != nil {
		return nil, fmt.Errorf("describe forwarding and filter: %w", err)
	}
	d.Extra = append(d.Extra, lines...)
	if lines, err = e.services.serviceLines(); err != nil {
		return nil, fmt.Errorf("describe proxies and forwards: %w", err)
	}
	d.Extra = append(d.Extra, lines...)
	if lines, err = e.adviceLines(); err != nil {
		return nil, fmt.Errorf("describe the host: %w", err)
	}
	d.Extra = append(d.Extra, lines...)
	if lines, err = e.relayLines(); err != nil {
		return nil, fmt.Errorf("describe relays: %w", err)
	}
	d.Extra = append(d.Extra, lines...)
	if lines, err = dropLines(e.partsSnapshot(nil)); err != nil {
		return nil, fmt.Errorf("describe drops: %w", err)
	}
	d.Extra = append(d.Extra, lines...)
	if err := e.addPathLines(d); err != nil {
		return nil, fmt.Errorf("describe paths: %w", err)
	}
	return d, nil
}

func (e *Engine) statusLocked() (*uapi.Device, error) {
	text, err := e.dev.IpcGet()
	if err != nil {
		return nil, fmt.Errorf("read the state of the device: %w", err)
	}
	// The device prints an empty endpoint for a peer that is nowhere yet.
	d, err := uapi.ParseDevice(strings.NewReader(strings.ReplaceAll(text, "\nendpoint=\n", "\n")))
	if err != nil {
		return nil, fmt.Errorf("read the state of the device: %w", err)
	}
	for i := range d.Peers {
		p := &d.Peers[i]
		if ep := e.bind.Lookup(p.PublicKey); ep != nil {
			p.Endpoint = ep.Addr()
			// The device counts the headroom of each message and messages that
			// never left; the Bind counts what left, as the kernel does.
			p.TxBytes = ep.Stats().TxBytes
		}
		if err := e.addNameLocked(p); err != nil {
			return nil, fmt.Errorf("describe a peer: %w", err)
		}
	}
	return d, nil
}
