// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/netstack/resolver"
)

const (
	// defaultMTU leaves room for WireGuard over IPv6 on an Ethernet of 1500:
	// 40 (IPv6) + 8 (UDP) + 32 (WireGuard) = 80.
	defaultMTU = 1420
	// minMTU is what every IPv4 host must be able to receive (RFC 791, 3.1).
	minMTU = 576
	// minMTU6 is the smallest MTU of an IPv6 link (RFC 8200, section 5).
	minMTU6 = 1280
	// maxMTU is the longest packet that the caller's slab carries and an IPv4
	// length field describes.
	maxMTU = 65535

	// maxQueues bounds the default: more readers than this only wait for each
	// other, because encryption behind them is already parallel.
	maxQueues = 4
	// queueLimit bounds Options.Queues; a kernel TUN has at most 256.
	queueLimit = 256

	// batchSize is how many packets one Read or Write carries, as many as
	// wireguard-go's conn.IdealBatchSize and the kernel TUN.
	batchSize = 128
	// slabSize is the slab wireguard-go reads into: 2 × 65,535 bytes. Smaller
	// and larger ones work; superpackets are sized for this one.
	slabSize = 2 * 65535
	// spacing is what Read leaves free around each packet.
	spacing = tun.ReadPacketSpacing

	// defaultBuffer is how far TCP buffers grow: 8 MiB carry 670 Mbit/s over
	// a round trip of 100 ms (8 × 8 Mi / 0.1 s).
	defaultBuffer = 8 << 20
	// minBuffer keeps a window of a few segments.
	minBuffer = 64 << 10

	// Values of Options.CongestionControl.
	congestionCubic = "cubic"
	congestionReno  = "reno"

	// defaultKeepAlive finds a vanished peer in 60 + 5 × 15 = 135 s. The
	// stack's own default is 2 h.
	defaultKeepAlive  = 60 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveProbes   = 5
)

// Options configure a [Device]. The zero value of each field, and a nil
// *Options, mean the default. New does not change or keep the struct.
type Options struct {
	// Addresses of the host inside the tunnel, of both families. None is
	// allowed: the device then carries nothing until SetAddresses.
	Addresses []netip.Addr

	// MTU of the device in bytes, 576 to 65535, at least 1280 with an IPv6
	// address. 0 means 1420.
	MTU int

	// Queues the device has, 1 to 256. 0 means GOMAXPROCS, at most 4.
	Queues int

	// Logger for changes of state. nil discards.
	Logger *slog.Logger

	// DNS are the name servers that the host asks, through the tunnel; port 0
	// means 53. None makes names an error: there is no fallback to the
	// system's resolver, which would tell others what goes through the tunnel.
	DNS []netip.AddrPort
	// Search are the domains that a name without a final dot is looked for in,
	// with ndots 1 as in resolv.conf(5).
	Search []string
	// Prefer is the family that names are tried with first. Those that the
	// device has no address of are left out in any case.
	Prefer resolver.Preference

	// LookupHost finds the addresses of a host name for DialContext in place
	// of DNS. They are tried in the order given, the next one starting before
	// the last has failed. nil means DNS, see Net.Resolver.
	LookupHost func(ctx context.Context, host string) ([]netip.Addr, error)

	// CongestionControl is "cubic" (also when empty) or "reno".
	CongestionControl string

	// RACK turns time-based loss detection (RFC 8985) on, beside SACK recovery. A
	// path that reorders or jitters keeps more of its speed then, but with this
	// stack (2026-09) connections that lose their last packet may wait for it for
	// ever: 2 of 60 at 5 % loss, none of 200 without (TestLossyEnd).
	RACK bool

	// ReceiveBuffer and SendBuffer are the bytes to which the buffers of a
	// TCP connection may grow, at least 64 KiB. 0 means 8 MiB.
	ReceiveBuffer, SendBuffer int

	// KeepAlive is how long a TCP connection may be silent before it is
	// probed (5 times, 15 s apart). 0 means 60 s, negative means never.
	KeepAlive time.Duration
}

// withDefaults returns a checked copy of o with nothing left to default.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	c.MTU = cmp.Or(c.MTU, defaultMTU)
	c.Queues = cmp.Or(c.Queues, min(runtime.GOMAXPROCS(0), maxQueues))
	c.CongestionControl = cmp.Or(c.CongestionControl, congestionCubic)
	c.ReceiveBuffer = cmp.Or(c.ReceiveBuffer, defaultBuffer)
	c.SendBuffer = cmp.Or(c.SendBuffer, defaultBuffer)
	c.KeepAlive = cmp.Or(c.KeepAlive, defaultKeepAlive)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}

	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if c.Queues < 1 || c.Queues > queueLimit {
		bad("queues %d: not within 1 and %d", c.Queues, queueLimit)
	}
	if c.CongestionControl != congestionCubic && c.CongestionControl != congestionReno {
		bad("congestion control %q: neither cubic nor reno", c.CongestionControl)
	}
	if c.ReceiveBuffer < minBuffer {
		bad("receive buffer %d: less than %d", c.ReceiveBuffer, minBuffer)
	}
	if c.SendBuffer < minBuffer {
		bad("send buffer %d: less than %d", c.SendBuffer, minBuffer)
	}
	var err error
	if c.Addresses, err = cleanAddresses(c.Addresses); err != nil {
		errs = append(errs, err)
	}
	if err := checkMTU(c.MTU, c.Addresses); err != nil {
		errs = append(errs, err)
	}
	if err := checkDNS(c.DNS); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// cleanAddresses returns the addresses without doubles, in their order, 4in6
// unmapped and zones removed, or says which one no host can have.
func cleanAddresses(addrs []netip.Addr) ([]netip.Addr, error) {
	clean := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		switch {
		case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(),
			a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return nil, fmt.Errorf("address %v: not usable by a host", a)
		}
		if !slices.Contains(clean, a) {
			clean = append(clean, a)
		}
	}
	return clean, nil
}

// checkMTU says whether a device with these addresses can have this MTU.
func checkMTU(mtu int, addrs []netip.Addr) error {
	if mtu < minMTU || mtu > maxMTU {
		return fmt.Errorf("mtu %d: not within %d and %d", mtu, minMTU, maxMTU)
	}
	if mtu < minMTU6 {
		if i := slices.IndexFunc(addrs, netip.Addr.Is6); i >= 0 {
			return fmt.Errorf("mtu %d: address %v needs at least %d", mtu, addrs[i], minMTU6)
		}
	}
	return nil
}
