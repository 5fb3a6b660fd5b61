// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Command bench measures the router and other tunnel programs side by side, in
// network namespaces connected by a veth pair (MTU 1500, tunnel MTU 1420):
//
//	go run ./cmd/bench                      # everything, some hours
//	go run ./cmd/bench -impl router,fork -only tcp1,hub -runs 5
//	go run ./cmd/bench -impl old=/tmp/router,router -only udp200x16 -v
//	go run ./cmd/bench -only hubpair -runs 5
//	go run ./cmd/bench -only netstack -runs 5
//	go run ./cmd/bench -only relay -runs 5
//	go run ./cmd/bench -impl queues1,queues2,queues4 -only tcp32,udp200x16
//	go run ./cmd/bench -quick               # each once, shortly: to see that it works
//
// The programs are built from their modules: the router; fork, Tailscale's
// wireguard-go at the version that the router is built on; upstream,
// golang.zx2c4.com/wireguard; nebula, github.com/slackhq/nebula, which is no
// WireGuard, as it is by default and with larger socket buffers; debian is the
// distribution's wireguard-go. NAME=PATH adds a program that exists, such as
// another version of the router.
//
// The router can have lines of the [Router] section of its file:
// NAME=router:KEY=VALUE;KEY=VALUE, or a path in the place of "router". These have a
// name already: kernel (PeerForwarding = off), cut-through (PeerForwarding = on),
// cut-through-filter (with 100 rules, of which the last allows everything), and
// queues1, queues2, queues4 (that many queues of the TUN device).
//
// In netstack, and there alone, two more have a name: plain, see cmd/plainforward,
// which models other programs of that kind, and tun, the router with an interface.
// In relaytcp there are relayed and direct, which are the router.
//
// The runs are interleaved: one of each program, then the next of each, so that
// a slow phase of the machine falls on all. Every run gets fresh processes and
// namespaces. For each work there is a table with the median of the runs, the
// least, the most, and the ratio of the median to that of the fork, in hubpair of
// kernel, in netstack of plain, in relaytcp of direct, in relayfwd of nebula; -json
// writes every value, -svg a chart of the main ones. A run that fails becomes a row
// with the reason, and the rest goes on; the exit code is then 1. An interrupt
// prints what there is so far, and ends with code 130.
//
// # Works
//
// -only takes their names and the names of groups. Except in hub, hubpair and
// netstack both ends of the tunnel run the same program.
//
//	tcp      tcp1 tcp4 tcp32: iperf3 with so many streams, one way and then
//	         the other, received Gbit/s
//	udp      udp64x1 … udp1400x16: UDP with so many bytes of payload and so
//	         many flows, one way. 1400 do not fit the MTU of the tunnel: the
//	         kernel makes two fragments of each packet
//	latency  UDP request and response of 64 bytes on an idle tunnel: round trip
//	         time, median and 99th percentile
//	hub      hub16 hub64: so many peers behind one process, each of which
//	         sends packets of 200 bytes to the next, so that the hub's kernel
//	         forwards them and they pass the TUN device twice.
//	         hub16-host hub64-host: to a socket in the hub's namespace.
//	         Programs that do not speak WireGuard are left out
//	hubpair  hubudp200 hubtcp1 hublatency: as udp200x1, tcp1 and latency, between
//	         two peers in namespaces of their own, through a hub in a third. The
//	         peers always run the router that is built; the program is the hub, by
//	         default kernel, cut-through, cut-through-filter and fork. Where the
//	         router forwards itself, the hub's kernel would not. CPU time and
//	         memory are the hub's
//	netstack The program runs as the user nobody and forwards ports of the
//	         loopback address through the tunnel, to an end with an interface
//	         of the kernel, which is the fork's. CPU time and memory are the
//	         program's; that of tun lacks TCP, which its kernel does.
//	         forward1 forward8: iperf3 with so many streams, both ways.
//	         forwardudp1200: as udp1200x1, both ways; out of the tunnel it is
//	         the fork that sends.
//	         exec1: iperf3 in "router exec", which is compared with tun.
//	         churn: connections with a byte each way, side by side as fast as
//	         they go, and then 1000 a second for 12 times -seconds.
//	         idle: what each of -idle connections takes that do nothing
//	relay    Two hosts and a third between them, which routes and has a relay.
//	         Unless said otherwise CPU time and memory are the relay's.
//	         relaytcp: as tcp1, where only the relay reaches both ends, and
//	         direct, where the same programs reach each other.
//	         relayfwd: as udp, with packets of 1,400 bytes inside of the tunnel
//	         over the relay of the program.
//	         relayraw: the router's relay alone, between two sockets that send
//	         and receive superpackets of frames such as relayfwd has;
//	         relayraw1: each frame by itself.
//	         relaysessions: memory with -sessions pairs of clients, each of which
//	         is in one, and ten minutes later, when they have ended (not with
//	         -quick).
//	         Beside the figures of udp there is how many packets the relay
//	         forwards in a second of its own CPU time, at -udprate, at
//	         40,000 packets/s and at the highest rate
//
// The sender of udp and hub sends a burst every 0.5 ms without segmentation
// offload, its flows or peers in turn, packet by packet. The peers of hub are the
// same for every program: sockets in a second namespace, one for each peer, whose
// packets this process seals and opens itself, with keys from a real handshake;
// every byte that arrives is compared.
//
// # Figures
//
// The highest rate is the most packets/s of all flows together with less than
// 1 % lost, bisected in trials of one second to 3 %. Lossy trials in which the
// sender did not keep its pace do not count; a rate that was given up because
// there were only such is marked with *. What was lost and reordered, within its
// flow, stands below it. Of tcp it is how often the sending kernels found that the
// path had reordered (TCPSACKReorder and TCPTSReorder of nstat(8)), per segment that
// they sent: fewer than there were, as small displacements go unnoticed.
//
// CPU time is user and system time of the tunnel's processes, for udp and hub at
// one rate for all (-udprate, -hubrate), which the slowest program must carry:
// where it did not, the figure is marked with †. It counts packets that arrived
// and bytes that TCP delivered. The kernel charges its own work to whoever runs:
// a program that sends pays for the way over the veth pair into the receiving
// socket, and the load generator for that into the program's socket; what
// ksoftirqd does is charged to no program. This is so for all of them.
//
// Peak memory is the most that was resident (VmHWM), at the end of the work.
//
// The load generator, iperf3 included, shares the machine's processors with what
// it measures, and goes first. With few processors the highest rate is that of
// all together; ratios say more than values, and other load falls on both.
//
// It needs root, the go tool, ip, ping, ss, nft and iperf3.
package main
