// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/geneve"
)

// MaxQueues is the most queues of an interface that an [Underlay] uses. Frames of
// the others go to the kernel's sockets.
const MaxQueues = 16

// Options are the settings of an [Underlay].
type Options struct {
	// Logger gets one line for each change of state. Nil discards.
	Logger *slog.Logger
	// Interface is the name of the interface. Empty stands for the one that the
	// default route leads to; it is asked for again while the Underlay runs.
	Interface string
	// Queues is how many queues are used at most; 0 means as many as the interface
	// has when the Underlay is opened. More than MaxQueues is an error.
	Queues int
	// Attach is how the program is attached. ModeAuto is native, or generic on real
	// devices: virtual ones hand over packets that were merged by who sent them, and
	// nothing in a frame tells.
	Attach redirect.Mode
	// Mode is how frames get into memory and out of it.
	Mode xsk.Mode
	// RxFrames and TxFrames are the frames of each queue; 0 is the default of
	// package xsk.
	RxFrames, TxFrames int
	// Segment says whether packets that the kernel can send as one segmented message
	// leave through its sockets, past which each is sent by itself: Auto where frames
	// are copied and the sockets of [Underlay.Beside] segment, Off never, On always.
	Segment batching.Mode
	// ListenOn are the addresses to receive for. Empty, or an unspecified address
	// of a family, means all addresses of the interface (of that family).
	ListenOn []netip.Addr

	// vlan, if not 0, is the VLAN whatever the interface is; for tests.
	vlan uint16
}

// withDefaults returns a checked copy; o may be nil.
func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Queues < 0 || out.Queues > MaxQueues {
		return out, fmt.Errorf("xdp: %d queues, want 1 to %d, or 0 for all that there are", out.Queues, MaxQueues)
	}
	return out, nil
}

// A Kernel sends what cannot go past the kernel; [*batching.Conn] is one.
type Kernel interface {
	WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error)
}

// listens reports whether datagrams to addr are to be received.
func (o *Options) listens(addr netip.Addr) bool {
	if len(o.ListenOn) == 0 {
		return true
	}
	for _, a := range o.ListenOn {
		a = a.Unmap()
		if a.IsUnspecified() && a.Is4() == addr.Is4() || a.WithZone("") == addr {
			return true
		}
	}
	return false
}
