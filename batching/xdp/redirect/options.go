// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"errors"
	"fmt"
	"net/netip"
)

// Sizes of the maps when Options leaves them open.
const (
	defaultQueues    = 256 // 2 KiB; more receive queues than devices commonly have
	defaultAddresses = 256
	maxQueues        = 4096
	maxAddresses     = 65536
	maxFrame         = 65535 // larger ones are not IPv4 or IPv6 but jumbograms
	maxVLAN          = 4094  // 4095 is reserved (IEEE 802.1Q, table 9-2)
)

// Options says what a [Program] redirects.
type Options struct {
	// Port is the UDP destination port. With 0 nothing is redirected until
	// [Program.SetPort].
	Port uint16
	// Addresses are the destination addresses. Without any, nothing is redirected
	// until [Program.SetAddresses].
	Addresses []netip.Addr
	// Queues is how many receive queues can have a socket; 0 stands for 256, at
	// most 4096. Frames of other queues pass.
	Queues int
	// MaxAddresses is how many addresses there may be; 0 stands for 256, at most
	// 65536.
	MaxAddresses int
	// VLAN is the VLAN identifier that frames must carry in their tag, 1 to 4094.
	// With 0 they have no tag, or one with identifier 0, which only has a priority.
	VLAN uint16
	// MaxFrame is the length of the longest frame that is redirected, in bytes from
	// the Ethernet destination on, with the VLAN tag and without the checksum; at
	// most 65535. Longer ones pass. 0 is no limit.
	MaxFrame int
}

// withDefaults returns a checked copy. o may be nil.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Queues == 0 {
		opts.Queues = defaultQueues
	}
	if opts.MaxAddresses == 0 {
		opts.MaxAddresses = defaultAddresses
	}
	if opts.Queues < 1 || opts.Queues > maxQueues {
		return opts, fmt.Errorf("redirect: %d queues, want 1 to %d", opts.Queues, maxQueues)
	}
	if opts.MaxAddresses < 1 || opts.MaxAddresses > maxAddresses {
		return opts, fmt.Errorf("redirect: room for %d addresses, want 1 to %d", opts.MaxAddresses, maxAddresses)
	}
	if opts.VLAN > maxVLAN {
		return opts, fmt.Errorf("redirect: VLAN %d, want 0 (none) to %d", opts.VLAN, maxVLAN)
	}
	if opts.MaxFrame < 0 || opts.MaxFrame > maxFrame {
		return opts, fmt.Errorf("redirect: longest frame %d bytes, want 0 (no limit) to %d", opts.MaxFrame, maxFrame)
	}
	_, err := keysOf(opts.Addresses, opts.MaxAddresses)
	return opts, err
}

// A Mode is how a program is attached.
type Mode uint8

const (
	// ModeAuto is native, or generic when the driver refuses.
	ModeAuto Mode = iota
	// ModeNative runs the program in the driver, before the kernel has made a
	// packet of the frame.
	ModeNative
	// ModeGeneric runs it in the kernel's common receive path, which every device
	// has. It saves little.
	ModeGeneric
)

// String returns "auto", "native" or "generic".
func (m Mode) String() string {
	switch m {
	case ModeAuto:
		return "auto"
	case ModeNative:
		return "native"
	case ModeGeneric:
		return "generic"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

var (
	// ErrAddress is in the error for an address that no host has: invalid,
	// unspecified, multicast or broadcast.
	ErrAddress = errors.New("redirect: not the address of a host")
	// ErrTooManyAddresses is in the error for more than Options.MaxAddresses.
	ErrTooManyAddresses = errors.New("redirect: too many addresses")
	// ErrQueue is in the error for a queue outside Options.Queues.
	ErrQueue = errors.New("redirect: no such queue")
	// ErrAttached is returned by Attach while the program is attached.
	ErrAttached = errors.New("redirect: already attached")
)
