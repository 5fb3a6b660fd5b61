// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// Netstack counts what the TCP/IP stack of netstack mode does.
type Netstack struct {
	Queues []NetstackQueue

	In          Traffic // packets out of the tunnel
	InDelivered uint64  // packets and superpackets that the stack was given for them
	InWrites    uint64
	InBatches   Histogram
	InDropped   []Count

	TCP NetstackTCP
	UDP NetstackUDP

	EchoRequests, EchoReplies uint64
	EchoDropped               []Count

	Ports   TCPRequests // to the router's own addresses
	Transit TCPRequests // to others
}

// A NetstackQueue is one queue of packets into the tunnel.
type NetstackQueue struct {
	Traffic
	Superpackets uint64
	Reads        uint64
	Batches      Histogram
	Waits        uint64 // times a sender had to wait for room
	Depth        int    // packets and superpackets now
	DepthBytes   int
	Dropped      []Count
}

// NetstackTCP is the stack's view of TCP.
type NetstackTCP struct {
	Established uint64 // now
	Retransmits uint64
	Timeouts    uint64
	ResetsSent  uint64
	ResetsSeen  uint64
}

// NetstackUDP counts datagrams without a socket of the stack.
type NetstackUDP struct {
	Ports                       int     // open now
	Port, Transit               Traffic // handed to ports, and to who forwards
	Sent                        Traffic // into the tunnel
	SentFragmented              uint64
	Looped                      uint64
	Unreachable, UnreachableCut uint64 // messages sent, and not sent beyond the rate
	Dropped                     []Count
}

// TCPRequests is what became of requests to connect.
type TCPRequests struct {
	Requests                           uint64
	Accepted, Refused, Ignored, Failed uint64
	Pending                            int // now
	Dropped                            []Count
}

// A Service is a proxy, a forward or the subnet router. Services with the same
// Section, Listen and Target are counted together.
type Service struct {
	Section, Listen, Target   string
	Active                    int // flows now
	Accepted                  uint64
	BytesOut, BytesIn         uint64 // of payload, into the tunnel and out of it
	DatagramsOut, DatagramsIn uint64
	Failures                  []Count // flows, by reason
	Dropped                   []Count // datagrams, by reason
}
