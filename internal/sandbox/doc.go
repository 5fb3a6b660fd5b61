// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package sandbox runs a command whose network is a tunnel and nothing else, without
// privileges. Command "router exec" calls it.
//
// # Processes
//
// Two processes run the same program. The parent, which the user has started, calls
// [Start] and stays in the host's network, where the encrypted packets leave. The
// child is in namespaces of its own; its main function finds out by [IsChild] and
// calls [Child], which becomes the command:
//
//	parent                           child
//	Start: clone          ------->   mounts, TUN, addresses, routes
//	            setup     ------->
//	Device                <-------   descriptors of the TUN's queues
//	runs the router on it
//	Exec                  ------->   drops its capabilities, execve(command)
//	Wait                  <-------   exit status
//
// Setup and answers are lines of JSON on a socket pair, the descriptors go with them
// (SCM_RIGHTS). The child ends when the parent does, in whatever way: before execve
// because the socket ends, and always by a signal that the kernel sends
// (PR_SET_PDEATHSIG), unless the command's file has capabilities or another owner's
// identity, at which the kernel forgets the signal. What is not ended, as what the
// command has left in the background, has no network any more: the TUN is gone with
// the router.
//
// # Namespaces
//
// The command is the user who started it, in a user namespace that knows only this
// user and the group: the others show as nobody and nogroup, and setuid programs have
// no effect. It has no capabilities. Root with CAP_SYS_ADMIN and CAP_NET_ADMIN needs
// no user namespace; the command is then root as before.
//
// The network namespace has loopback and the tunnel, with routes for what its peers
// may send. The command may ping. Sockets of the host that have an abstract name are
// out of reach, those with a path are not, except the following.
//
// In the mount namespace, whose changes nobody else sees:
//
//   - /etc/resolv.conf has the tunnel's name servers, if it has any;
//   - folders with sockets of programs that resolve names in the host's network are
//     empty, whether there are name servers or not: those of systemd-resolved, nscd
//     and avahi, and that of the system's D-Bus. By the bus older versions of
//     libnss_resolve (before systemd 247), and any program that knows how, ask
//     systemd-resolved. A command that needs the bus, for power or hotplug events,
//     does without. The bus of the session stays.
//
// A program that resolves names in yet another way by a socket with a path is not
// hidden, nor is one of the above whose folder appears later. What lies over a file or
// folder goes when the host removes or replaces that, as nscd does at its end, and
// NetworkManager with the file of name servers: names are then looked up in the
// tunnel at the host's servers, or by the socket if there is one again.
//
// /sys shows the interfaces of the host still.
//
// # Concurrency and memory
//
// A Sandbox may be used by several goroutines. It has two of its own: one started the
// child, on a thread that must live as long, since the child's end is tied to this
// thread; the other passes signals on. Both end with the child. There is no packet
// memory here.
package sandbox
