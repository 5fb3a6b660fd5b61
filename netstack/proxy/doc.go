// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package proxy offers the network inside a tunnel to programs outside of it,
// and the other way round, on top of [netstack.Net]. It needs no privilege.
//
// # Services
//
//	constructor        clients                      targets
//	ListenSOCKS5       the host's side              in the tunnel, TCP and UDP
//	ListenHTTP         the host's side              in the tunnel, CONNECT and http URLs
//	ListenTCPClient    a TCP port of the host       one in the tunnel
//	ListenTCPServer    a TCP port in the tunnel     one on the host's side
//	ListenUDPClient    a UDP port of the host       one in the tunnel
//	ListenUDPServer    a UDP port in the tunnel     one on the host's side
//	NewSTDIO           an io.Reader and io.Writer   one in the tunnel
//	NewSubnetRouter    peers, whatever they send    what they address, on the host's side
//
// A Listen or New function binds what the service listens on, so that an error
// there stops the start. Run serves until its context ends or Close is called,
// and returns when no goroutine and no connection is left. One Run per service.
// Stats may be called at any time, after Close too.
//
// # Words
//
// The host's side is the network of the operating system, where the service's
// clients are, or for the server direction and the subnet router its targets.
// Out is into the tunnel, in is from it. A flow is a connection, a UDP
// association or the datagrams between two addresses. A relay is a flow over
// TCP once both of its connections exist.
//
// # Connections
//
// Clients in the tunnel are answered once the target has: who asks for one that
// refuses is refused, as without a proxy. Clients of the host's side are
// accepted by the system at once, and reset, or told by the protocol, when the
// target does not answer.
//
// A relay keeps half-closed connections: the end of what one side sends is
// passed on and the other direction continues. An error on one side resets the
// other, as does closing the service, so that what was cut off does not look
// complete. A relay with both directions open may be silent for ever, because
// keepalive probes both connections; once half-closed it ends after 10 minutes
// of silence.
//
// Names of targets in the tunnel are resolved there, never by the system's
// resolver; names of targets on the host's side by the system.
//
// # Datagrams
//
// A UDP flow has a port of its own on the far side, so that answers find their
// way back: in the tunnel a [netstack.UDPPort], on the host's side a connected
// socket. Datagrams move in batches, as segments of one message where the kernel
// takes that, and keep their order and sizes. The order of flows is by use: a
// flow that is silent for long ends, and beyond the limits the least recently
// used one, of the same client if it has any. Nothing waits: a datagram that
// finds no room is dropped and counted. That a port is unreachable is passed on
// to clients in the tunnel.
//
// The subnet router does this for every address that peers may reach, and for
// ICMP echo, by a policy that keeps the host itself, loopback, link-local and
// special addresses closed unless they are listed.
//
// Whatever clients do wrong is counted, not logged; logs tell changes of state.
//
// # Memory
//
// A relay holds no buffer while it has nothing to move, except one whose client
// speaks TLS or has upgraded a plain HTTP connection. Nor does a UDP flow: the
// sockets of a service receive into a pool of 16 slabs, 8 MiB on Linux, and up
// to 16 datagrams wait while a flow is being opened. What is sent into the
// tunnel waits in the rings of the device. [Limits] bound the flows of each
// service and of each of its clients, and each service says what its defaults
// are.
//
// # Concurrency
//
// All methods may be called by any number of goroutines. Run waits for all that
// a service has started:
//
//   - a flow over TCP has two, one of them while it is being opened;
//   - a UDP flow with a socket on the host's side has one, which opens, reads
//     and closes it; one with a port in the tunnel has none, because the
//     goroutine that delivers inbound packets hands them on;
//   - a UDP client forward has one reader for each family, a SOCKS association
//     one, a socket for ICMP echo two, and each question for a name one.
//
// The only goroutine that outlives a Run is a Read of STDIO's reader that cannot
// be ended.
package proxy
