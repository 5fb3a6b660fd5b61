// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// defaultBuffer is the size of a socket buffer when none is asked for: 7 MiB, as
// wireguard-go and Tailscale use. At 10 Gbit/s it is 6 ms, a scheduling delay.
const defaultBuffer = 7 << 20

// defaultGSORetry is how long a destination stays unsegmented. Routes and MTUs
// change in minutes; one failed call a minute costs nothing.
const defaultGSORetry = 60 * time.Second

// Options are the settings of a [Conn]. The zero value is the default.
type Options struct {
	// Logger gets one line when the socket opens and one for each feature that
	// is not there. Nil discards.
	Logger *slog.Logger
	// DisableGSO sends one packet per message.
	DisableGSO bool
	// DisableGRO receives one packet per message.
	DisableGRO bool
	// DisableBatching makes one system call per packet through the net
	// package, which has neither GSO nor GRO.
	DisableBatching bool
	// ReceiveBuffer and SendBuffer are the sizes of the socket buffers in bytes:
	// 0 means 7 MiB, negative leaves the system's default. More than
	// net.core.rmem_max and wmem_max needs CAP_NET_ADMIN; without it the
	// kernel's limit applies.
	ReceiveBuffer, SendBuffer int
	// Mark is the firewall mark (SO_MARK) of all packets sent; 0 is none. It
	// needs CAP_NET_ADMIN, on Linux 5.17 and later CAP_NET_RAW will do.
	Mark uint32
	// GSORetry is how long a destination is sent single packets after a segmented
	// message to it failed; 0 means 60 s.
	GSORetry time.Duration
}

// withDefaults returns a copy of o, which may be nil, with every field set.
func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.ReceiveBuffer == 0 {
		out.ReceiveBuffer = defaultBuffer
	}
	if out.SendBuffer == 0 {
		out.SendBuffer = defaultBuffer
	}
	if out.GSORetry == 0 {
		out.GSORetry = defaultGSORetry
	}
	return out
}

// localAddr checks network and address of a socket and fills in the wildcard of
// the family for an invalid address.
func localAddr(network string, addr netip.AddrPort) (netip.AddrPort, error) {
	ip := addr.Addr().Unmap()
	switch network {
	case "udp4":
		if !ip.IsValid() {
			ip = netip.IPv4Unspecified()
		}
		if !ip.Is4() {
			return netip.AddrPort{}, fmt.Errorf("listen %s %s: not an IPv4 address", network, addr)
		}
	case "udp6":
		if !ip.IsValid() {
			ip = netip.IPv6Unspecified()
		}
		if !ip.Is6() {
			return netip.AddrPort{}, fmt.Errorf("listen %s %s: not an IPv6 address", network, addr)
		}
	default:
		return netip.AddrPort{}, fmt.Errorf("listen %s %s: unknown network, want udp4 or udp6", network, addr)
	}
	return netip.AddrPortFrom(ip, addr.Port()), nil
}
