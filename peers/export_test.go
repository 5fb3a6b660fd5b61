// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"net/netip"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers/path"
)

// Socket and Group are the interfaces that a Bind's sockets have.
type (
	Socket   = socket
	Group    = group
	Underlay = underlay
)

// SetUnderlay is [Bind.SetUnderlay] for any kind.
func SetUnderlay(b *Bind, u Underlay) (reopen bool, err error) { return b.setUnderlay(u) }

// HandoverTimeout is how long sockets wait for the Open that was promised.
const HandoverTimeout = handoverTimeout

// NewBindOn returns a Bind whose sockets come from listen.
func NewBindOn(o *Options, listen func(network string, addr netip.AddrPort, n int, o *batching.Options) (Group, error)) *Bind {
	b := NewBind(o)
	b.listen = listen
	return b
}

// Classify returns the name of the reason for which d is dropped, "" if it is a
// WireGuard message.
func Classify(d []byte) string {
	_, r := classify(d)
	return dropReasonNames[r]
}

// NextAddr exposes the choice among several addresses of a name.
var NextAddr = nextAddr

// InitiationFrom returns the endpoint object of an initiation that arrived at
// local from addr with that sender index.
func InitiationFrom(b *Bind, addr netip.AddrPort, local netip.Addr, sender uint32) initiation {
	return initiation{newRemote(b, addr, local, 1, 0), sender}
}

// Answered tells b that a response with that receiver index came in.
func Answered(b *Bind, sender uint32) { b.answered(sender) }

// ReceiveFrom returns a receive function of b for a socket that b did not open.
func ReceiveFrom(b *Bind, s Socket) conn.ReceiveFunc {
	return newReceiver(b, s, make(chan struct{})).receive
}

// ClassOf returns the index of a path in a [ClassTraffic].
func ClassOf(p path.Path) int { return int(classOf(p)) }
