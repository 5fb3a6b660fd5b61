// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"io"
	"log/slog"
	"net/netip"

	"github.com/tailscale/wireguard-go/tun"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/uapi"
)

// DefaultControlDir is where WireGuard's tools look for control sockets.
const DefaultControlDir = "/var/run/wireguard"

// Options are what an [Engine] takes from its surroundings rather than from the
// configuration file. The zero value is ready to use.
type Options struct {
	// Logger gets state changes, never packets. Nil discards them.
	Logger *slog.Logger

	// Device is the host side to use in place of one made by the configured
	// mode. Ownership passes to the Engine, also when New fails.
	Device tun.Device
	// Elsewhere says that the interface behind Device is in another network
	// namespace, where somebody else has configured it. New brings the router up
	// without an event of the Device, without the firewall mark if that takes a
	// privilege that there is not, and looks nothing up under the interface's name.
	Elsewhere bool

	// Control is the control socket to serve in place of one opened by the
	// configuration. Ownership passes to the Engine, also when New fails.
	Control *uapi.Server
	// NoControl leaves the control socket out.
	NoControl bool
	// ControlDir is the folder of the control socket; "" means
	// [DefaultControlDir].
	ControlDir string

	// HostNetwork configures the host around a kernel TUN, as wg-quick does:
	// addresses, MTU, routes, rules, DNS, hooks. It needs CAP_NET_ADMIN and is
	// ignored in netstack mode.
	HostNetwork bool
	// HookOutput gets what the hooks (PreUp …) print. Nil discards it.
	HookOutput io.Writer

	// Stdin and Stdout are what a [STDIOTunnel] section connects. Without them that
	// section is an error.
	Stdin  io.Reader
	Stdout io.Writer

	// ListenOn are the local addresses of the UDP sockets, at most one per
	// family. Empty means all addresses of both families.
	ListenOn []netip.Addr
	// Lookup resolves endpoint names; nil means the host's resolver.
	Lookup peers.Lookup

	// Version is that of the program, for metrics and the status page.
	Version string
	// Describe returns what /api/v1/status shows of the device, without secrets, as
	// JSON. Nil leaves it out.
	Describe func(name string, d *uapi.Device) any

	// Load reads the configuration again, for a reload asked for over the
	// control socket. Nil means such a reload is refused.
	Load func() (*config.Config, error)
}

// withDefaults returns a copy with every unset field filled in.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.ControlDir == "" {
		c.ControlDir = DefaultControlDir
	}
	return c
}
