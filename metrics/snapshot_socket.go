// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// Who has a socket.
const (
	UsePeers = "peers" // WireGuard's peers, and path discovery
	UseXDP   = "xdp"   // the same, past the kernel: a queue of an [XDP]
	UseRelay = "relay" // the relay server
)

// A SocketGroup says how many sockets of a family there are.
type SocketGroup struct {
	Network    string // udp4 or udp6
	Asked, Got int
}

// A Socket is one open UDP socket, or a queue of an [XDP]. Use, Address and Index together tell it from all
// others.
type Socket struct {
	Use     string // [UsePeers], [UseXDP] or [UseRelay]
	Address string // the local one, with the port
	Index   int

	GSO, GRO bool // segmented messages are sent, and received

	Receive  SocketReceive
	Transmit SocketTransmit
	Memory   *SocketMemory // nil: the kernel does not tell
}

// SocketReceive counts what a socket received. Bytes are those of UDP payloads.
type SocketReceive struct {
	Traffic
	Messages, Calls uint64 // entries of recvmmsg(2), and calls
	Copied          uint64 // packets that were copied to their place
	LongSegments    uint64 // messages with a segment size larger than themselves
	Overflow        uint64 // packets that found the receive buffer full
	// Dropped does not have Overflow in it.
	Dropped                           []Count
	PacketsPerCall, PacketsPerMessage Histogram
}

// SocketTransmit counts what a socket sent. Bytes are those of UDP payloads.
type SocketTransmit struct {
	Traffic
	Messages, Calls                   uint64 // entries of sendmmsg(2), and calls
	Waits                             uint64 // calls that found the send buffer full
	Sentinels                         uint64 // packets of one byte that were added
	Fallbacks                         []Count
	Dropped                           []Count
	PacketsPerCall, PacketsPerMessage Histogram
}

// SocketMemory is the SO_MEMINFO of a socket: bytes now, and packets that found no
// room since the socket was opened, a number that wraps at 2^32.
type SocketMemory struct {
	ReceiveQueued, ReceiveBuffer uint32
	SendQueued, SendBuffer       uint32
	Forward, WriteQueued         uint32
	Options, Backlog             uint32
	Drops                        uint32
}
