// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package redirect has the eBPF program that gives the datagrams of one UDP port
// to AF_XDP sockets, and attaches it to a network interface.
//
//	p, err := redirect.Load(&redirect.Options{Port: 51820, Addresses: addrs})
//	err = p.Register(queue, fd)              // one AF_XDP socket for each queue
//	mode, refusals, err := p.Attach(ifindex, redirect.ModeAuto)
//	defer p.Close()
//
// # What is redirected
//
// A frame goes to the socket of the receive queue it came on when all of this is
// true, and passes to the kernel as if there were no program when one is not:
//
//   - the Ethernet destination is not a group address, at most one VLAN tag
//     (802.1Q or 802.1ad) is visible, and it is in the VLAN of Options;
//   - it is IPv4 without options, not a fragment, and the header checksum is
//     right; or IPv6 without extension headers;
//   - it is UDP to the port and to one of the addresses;
//   - the lengths in the headers fit into each other and into the frame, and a
//     UDP checksum over IPv6 is not zero (RFC 8200 section 8.1);
//   - it is not longer than Options.MaxFrame;
//   - a socket is registered for the queue.
//
// What the kernel would drop thus reaches the kernel, which drops and counts it
// as ever. Not looked at are the Ethernet destination beyond the group bit, the
// source address, the TTL, the UDP checksum (a veth pair leaves partial ones) and
// the priority in a VLAN tag. A tag that the device has stripped is invisible to the
// program, which takes such a frame as untagged.
//
// On virtual devices, generic mode sees packets that a sender on this machine has not
// cut yet (GSO). Longer than its frames, an AF_XDP socket would drop them; with
// MaxFrame they reach the kernel's socket. Shorter ones look like one datagram. What
// comes from a wire is not merged before the program sees it: while a program is
// attached in generic mode, the kernel does without receive offload (GRO) on the
// device, for all traffic (netif_elide_gro, seen in Linux 6.18).
//
// Each frame is counted under one [Verdict].
//
// # Attachment
//
// The program is attached by a BPF link: the kernel takes it away when the
// process ends, however it ends. Nobody can replace it by "ip link set xdp", but
// root can detach or update the link, and the interface can go:
// [Program.Attached] notices. A program that another attached is never replaced.
//
// # Privilege
//
// CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN. Kernels before 5.11 also count the
// maps as locked memory (RLIMIT_MEMLOCK).
//
// # Concurrency and memory
//
// Everything is safe for concurrent use, also while packets arrive. The maps are
// the kernel's: 8 bytes for each queue, about 64 for each address, 8 for each
// verdict and CPU. A Program has no goroutines.
//
// # Platforms
//
// Linux 5.9 and later. Elsewhere [Load] returns an error that wraps
// [errors.ErrUnsupported].
package redirect
