// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// DefaultBuffer is the size of a socket buffer when none is asked for: 7 MiB, as
// wireguard-go and Tailscale use. At 10 Gbit/s it is 6 ms, a scheduling delay.
const DefaultBuffer = 7 << 20

// defaultGSORetry is how long a destination stays unsegmented. Routes and MTUs
// change in minutes; one failed call a minute costs nothing.
const defaultGSORetry = 60 * time.Second

// maxBytes is the largest Options.MaxBytes: the 16-bit length in the headers.
const maxBytes = 1<<16 - 1

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
	// MaxSegments is the most packets that are sent as one message: 0 and more
	// than 64 mean 64, 1 segments nothing.
	MaxSegments int
	// MaxBytes is the most bytes that are sent as one message, Geneve headers
	// included: 0 means what the kernel hands to a device in one piece, 65,489 over
	// IPv4 and 65,469 over IPv6.
	// It never keeps a single packet from being sent. More than 65,535 is taken
	// for that, with a warning in the log.
	MaxBytes int
	// FlushTimeout is how long [Conn.Queue] may hold a packet back for others to
	// the same destination: 0 means not at all. Packets held back are late, and
	// TCP inside a tunnel slows down when its acknowledgements are.
	FlushTimeout time.Duration
	// GROSlot is the size in bytes of the slots that messages are received into,
	// at most 65,528: 0 follows the traffic. Larger messages are received all the
	// same, and copied.
	GROSlot int
	// Sentinel is for kernels and devices that corrupt segmented messages whose
	// packets are all equally long (Linux 7.0 to 7.1.4, some hypervisors): On
	// ends each such message with a packet of one byte, which receivers drop.
	// Auto asks the kernel, by sending to itself over the loopback interface.
	// What only a device does wrong does not show there.
	Sentinel Mode
	// AnyProtocol is for datagrams that are not WireGuard's, and cannot be changed
	// later. Empty ones are received. No sentinel is ever sent: where one would be
	// needed nothing is segmented. Packets that find the send buffer full are
	// dropped (no_buffers) with EAGAIN instead of waited for, so that whoever
	// serves many flows is not held up by one; without batching they are waited
	// for.
	AnyProtocol bool
}

// A Mode is a switch that can be left to the program.
type Mode uint8

// The values of Mode.
const (
	Auto Mode = iota
	On
	Off
)

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
		out.ReceiveBuffer = DefaultBuffer
	}
	if out.SendBuffer == 0 {
		out.SendBuffer = DefaultBuffer
	}
	if out.GSORetry == 0 {
		out.GSORetry = defaultGSORetry
	}
	if out.MaxSegments <= 0 || out.MaxSegments > maxSegments {
		out.MaxSegments = maxSegments
	}
	if out.MaxBytes <= 0 {
		out.MaxBytes = maxBytes
	}
	if out.MaxBytes > maxBytes {
		out.Logger.Warn("udp messages cannot be that long", "bytes", out.MaxBytes, "instead", maxBytes)
		out.MaxBytes = maxBytes
	}
	out.GROSlot = max(0, min(out.GROSlot, largeSlot))
	out.FlushTimeout = max(0, out.FlushTimeout)
	return out
}

// limits returns the bounds of a message of the family.
func (o *Options) limits(is6 bool) limits {
	lim := limits{packets: o.MaxSegments, bytes: min(o.MaxBytes, maxSegmented4)}
	if is6 {
		lim.bytes = min(o.MaxBytes, maxSegmented6)
	}
	if o.DisableGSO {
		lim.packets = 1
	}
	return lim
}

// fixed returns an error for the first setting in which o, the options of an
// open socket, cannot become next.
func (o *Options) fixed(next *Options) error {
	switch {
	case o.DisableBatching != next.DisableBatching:
		return &FixedError{Option: "DisableBatching"}
	case o.GSORetry != next.GSORetry:
		return &FixedError{Option: "GSORetry"}
	case o.AnyProtocol != next.AnyProtocol:
		return &FixedError{Option: "AnyProtocol"}
	}
	return nil
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
