// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"syscall"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// Queue sizes of the device, in containers of up to one batch. The device's own
// defaults would let one peer hold 1024 slabs of 128 KiB in each direction.
const (
	queuePerCPU = 4
	maxQueue    = 1024
)

func deviceOptions(counted *handshakeCounters) []device.Option {
	n := min(maxQueue, queuePerCPU*max(2, runtime.NumCPU()))
	return []device.Option{
		device.WithQueueInboundSize(n),
		device.WithQueueOutboundSize(n),
		device.WithMetrics(counted.metrics()),
	}
}

// openDevice makes the host side: the device that was passed in, a kernel TUN,
// or a netstack.
func (e *Engine) openDevice() error {
	o := &tunwrap.Options{Logger: e.logOf(roomlog.Tun), Queues: e.cfg.Router.Queues, TxQueueLen: e.cfg.Router.TxQueueLength, MTU: tunMTU(e.cfg)}
	var err error
	given, wrapped := e.opts.Device.(*tunwrap.Device)
	switch {
	case wrapped:
		e.tun = given
	case e.opts.Device != nil:
		e.tun, err = tunwrap.Wrap(e.opts.Device, o)
	case e.cfg.Router.Mode == config.ModeNetstack:
		if err = e.openNetstack(); err == nil {
			e.tun, err = tunwrap.Wrap(e.netdev, o)
		}
	default:
		e.tun, err = tunwrap.Create(e.cfg.Name, o)
	}
	if err != nil {
		return fmt.Errorf("open tunnel device: %w", err)
	}
	if e.name, err = e.tun.Name(); err != nil {
		return fmt.Errorf("open tunnel device: %w", err)
	}
	if e.cfg.Router.Mode == config.ModeNetstack && e.cfg.Name != "" {
		e.name = e.cfg.Name // a netstack has no interface name of its own
	}
	return nil
}

func (e *Engine) openNetstack() error {
	if ignored := e.cfg.Interface.HostKeys(); len(ignored) > 0 {
		e.log.Warn("keys that configure the host mean nothing in netstack mode", "ignored", strings.Join(ignored, ", "))
	}
	dev, err := netstack.New(&netstack.Options{
		Addresses: addrsOf(e.cfg.Interface.Addresses),
		MTU:       tunMTU(e.cfg),
		Logger:    e.logOf(roomlog.Netstack),

		DNS:    dnsServers(&e.cfg.Interface),
		Search: e.cfg.Interface.DNSSearch,
		Prefer: preference(e.cfg.Proxy.Resolve.Strategy),

		CongestionControl: e.cfg.Router.TCPCongestion.String(),
		RACK:              e.cfg.Router.TCPRecovery == config.RecoveryRACK,
	})
	if err != nil {
		return err
	}
	// The device must not come up before it is configured: it would open its
	// sockets on another port first.
	<-dev.Events()
	e.netdev = dev
	return nil
}

// tunMTU returns the configured MTU, or WireGuard's default.
func tunMTU(cfg *config.Config) int {
	if cfg.Interface.MTU != 0 {
		return cfg.Interface.MTU
	}
	return device.DefaultMTU
}

func addrsOf(prefixes []netip.Prefix) []netip.Addr {
	out := make([]netip.Addr, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.Addr()
	}
	return out
}

// portError says what to do about a port that is taken.
func portError(port uint16, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("ListenPort %d is in use by another program: choose another ListenPort, or end the other one (ss -lunp 'sport = :%d' shows it): %w", port, port, err)
	}
	return fmt.Errorf("open UDP sockets: %w", err)
}
