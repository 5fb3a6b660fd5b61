// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"io"
	"log/slog"
	"net/netip"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// Key is a WireGuard public key.
type Key = disco.Key

// A Path is a way to send datagrams to a peer: directly, or by the session with
// this VNI of the relay at Addr. The zero Path is none.
type Path struct {
	Addr netip.AddrPort `json:"addr"`
	VNI  geneve.VNI     `json:"vni,omitempty"`
}

// IsSet reports whether p is a path.
func (p Path) IsSet() bool { return p.Addr.IsValid() }

// String returns "1.2.3.4:5", "1.2.3.4:5 vni 7" or "none".
func (p Path) String() string {
	switch {
	case !p.IsSet():
		return "none"
	case p.VNI.IsSet():
		return p.Addr.String() + " vni " + p.VNI.String()
	}
	return p.Addr.String()
}

// unmapped returns p with an IPv4 address as such, so that equal paths are ==.
func (p Path) unmapped() Path {
	p.Addr = unmapped(p.Addr)
	return p
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Options are what an [Agent] is made of.
type Options struct {
	// Identity is the router's own; required unless Off.
	Identity *disco.Identity
	// Logger gets one line when the path in use changes; nil means none.
	Logger *slog.Logger
	// Rand is where transactions come from; nil means crypto/rand.
	Rand io.Reader
	// Width is the UDP payload in bytes of the longest WireGuard message of this
	// tunnel, without a Geneve header; 0 means DefaultWidth.
	Width int
	// Off means that every peer is plain WireGuard: nothing is sent, nothing is
	// answered, relays are not used.
	Off bool
}

// DefaultWidth is the UDP payload of a full packet of a tunnel with an MTU of
// 1,420: WireGuard pads to 16 bytes, but not beyond the MTU, and adds 32.
const DefaultWidth = 1452

// A Relay is a relay of the configuration.
type Relay struct {
	Key   Key
	Addrs []netip.AddrPort // tried one after another
	Name  string           // for the operator
}

// A Choice says where packets to a peer go.
type Choice struct {
	// Primary is the path in use. Zero: nothing is trusted, WireGuard's rules
	// apply.
	Primary Path `json:"primary"`
	// Also is zero, or: send everything there as well.
	Also Path `json:"also"`
	// Why is short: "first answer", "direct answers", "silent", "better", "dead".
	Why string `json:"why"`
}

// Traffic is what the endpoint of a peer has counted.
type Traffic struct {
	// Sent is how many packets were handed over for the peer so far, whatever
	// became of them.
	Sent uint64
	// Current is where packets go now, also when WireGuard's rules apply; zero:
	// nowhere.
	Current Path
}

// Network is what an [Agent] acts on. Its methods are called on the goroutine
// that called the agent, and must not call the agent.
type Network interface {
	// SendFrame sends one frame over p, with a Geneve header in front if p has a
	// VNI. control is the O bit of that header. frame is borrowed for the call.
	// Losses are the network's affair.
	SendFrame(p Path, control bool, frame []byte)
	// Use says where packets to peer go from now on.
	Use(peer Key, c Choice)
	// Traffic returns what the endpoint of the peer has counted.
	Traffic(peer Key) Traffic
	// Resend sends the last initiation to the peer again, if it is unanswered and
	// not older than 5 s.
	Resend(peer Key)
	// Watch says whether [Agent.Heard] is wanted for the peer. It is from AddPeer
	// on, until this says otherwise: a plain WireGuard peer needs no watching.
	Watch(peer Key, on bool)
}
