// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import (
	"net/netip"
	"time"
)

// A Source is what a [Registry] reads. Snapshot is called once per scrape, by one
// goroutine for each of the scrapes under way. The result is not changed any more;
// nil means that the router is gone.
type Source interface{ Snapshot() *Snapshot }

// A Snapshot is what a router has counted. Numbers only grow unless they say
// otherwise; they are not read at one instant. Nil pointers are parts that the router
// does not have, or about which nothing is known.
type Snapshot struct {
	Device     string // name of the interface
	PublicKey  string // in base64, "" without a private key
	ListenPort uint16 // now, 0 while the router is down

	Peers []Peer

	// Handshakes counts what the WireGuard device does; nil: not counted.
	Handshakes *Handshakes
	// WireGuard counts what the WireGuard device takes and gives.
	WireGuard *WireGuard
	// Receive counts what the sockets of the peers brought, Transmit what was given to
	// them.
	Receive  *Receive
	Transmit *Transmit
	// Paths are the ways of all peers, all that there are.
	Paths []PathTraffic
	// Groups and Sockets are those of the peers and of the relay.
	Groups  []SocketGroup
	Sockets []Socket
	// XDP are the AF_XDP sockets of the peers; nil: not asked for.
	XDP *XDP

	TUN    *TUN
	Link   *Link
	Hub    *Hub
	Filter *Filter

	Discovery *Discovery
	Relay     *Relay

	Netstack *Netstack
	Services []Service
}

// A Peer is a WireGuard peer.
type Peer struct {
	PublicKey  string         // in base64
	Name       string         // "" for none
	Endpoint   netip.AddrPort // now; zero: none known
	AllowedIPs []netip.Prefix
	// LastHandshake is zero when there was none.
	LastHandshake time.Time
	// RxBytes are those of authentic messages that arrived, TxBytes those of messages
	// that left.
	RxBytes, TxBytes uint64
	// Network counts what the router sent to the peer; nil: not known.
	Network *PeerNetwork
	// Path is where packets to the peer go now; nil: not known.
	Path *PeerPath
	// Traffic is what went to the peer and came from it, by the way it took.
	Traffic []PathTraffic
}

// PathTraffic are WireGuard messages that went one way.
type PathTraffic struct {
	Path   string // direct or relay
	Family string // ipv4 or ipv6 of the outer packets
	Tx, Rx Traffic
}

// PeerNetwork counts WireGuard messages sent to one peer.
type PeerNetwork struct {
	TxPackets       uint64
	RxAuthentic     uint64 // received, verified and no replays
	TxAgain         uint64 // sent a second time over another path
	Roams           uint64 // moves to another address, the first included
	SourcesReleased uint64 // sticky source addresses let go
	// Dropped are messages that did not leave, by reason.
	Dropped []Count
}

// PeerPath says how a peer is reached, as far as path discovery knows.
type PeerPath struct {
	Kind   string // direct or relay; "" while WireGuard's own rules apply
	Family string // ipv4 or ipv6 of the outer packets; "" as Kind
	Relay  string // name of the relay, "" for none
	// Latency is the smoothed round trip over the path; 0: none measured.
	Latency time.Duration
	// Loss is the share of the last probes that were lost, 0 to 1.
	Loss     float64
	Switches uint64
}

// Handshakes counts what the WireGuard device does outside of the packet path.
type Handshakes struct {
	InitiationsFirst, InitiationsRetry uint64 // sent
	Responses                          uint64 // sent
	CookieReplies                      uint64 // sent
	CompletedInitiator                 uint64
	CompletedResponder                 uint64
	Replayed                           uint64 // transport messages that the replay window refused
}

// Receive counts what arrived on all sockets of the peers.
type Receive struct {
	Packets   uint64  // WireGuard messages handed to the device
	Messages  []Count // the same by type
	Authentic uint64  // transport messages that were verified and are no replays
	Errors    uint64  // failed reads
	Dropped   []Count
	// SocketDropped are the drops of all sockets that there were, with overflow.
	SocketDropped []Count
}

// Transmit counts what was given to be sent to peers.
type Transmit struct {
	Messages []Count // by type
	Dropped  []Count // for want of an address or a socket
	// Refused are messages that no socket took, or lost when they had waited for
	// others to leave with.
	Refused []Count
}

// WireGuard counts what the WireGuard device does with packets.
type WireGuard struct {
	PacketsIn, PacketsOut uint64 // of the tunnel: to be encrypted, and decrypted
	Keepalives            uint64 // received, verified
	HandshakeDropped      []Count
	Dropped               []Count // verified transport messages, but for replays
	// Pending are those that are on their way, or gone without a word. They may be a
	// little less than none, as numbers are not read at one instant.
	PendingTransmit, PendingReceive int64
}

// A Count is a number for one of several reasons, types or kinds.
type Count struct {
	Name string
	N    uint64
}

// A Histogram counts events by a size. Counts[i] are those above Bounds[i-1] up to
// Bounds[i]; Counts has one element more than Bounds, for what is larger. Sum is the
// sum of all sizes.
type Histogram struct {
	Bounds []float64
	Counts []uint64
	Sum    uint64
}

// A Traffic is a number of packets and their bytes.
type Traffic struct{ Packets, Bytes uint64 }
