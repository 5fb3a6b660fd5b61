// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package config reads, checks, compares and writes configuration files: the
// format of wg(8) and wg-quick(8), and the sections [Router], [Filter], [Relay] and
// [RelayServer] for what is ours, together with the sections of wireproxy for netstack
// mode.
//
// Most callers want [Find] and [Load], which give a [Config] or a list of
// everything that is wrong with the file:
//
//	path, err := config.Find("wg0") // /etc/wireguard/wg0.conf
//	cfg, err := config.Load(path)
//	for _, w := range cfg.Warnings { fmt.Fprintln(os.Stderr, w) }
//
// [Parse] reads from anywhere, [LoadWith] and [ParseWith] take what the text alone does not
// say, such as the environment, [Diff] says what a reload has to do,
// [Config.WriteTo] and [Config.Save] write a file that parses to the same Config,
// and [Config.WriteWG] writes the part that wg setconf accepts. The command line,
// the engine and programs that embed it are the callers.
//
// # Format
//
// A file that wg-quick accepts is accepted and means the same; the reference is
// wireguard-tools, src/config.c (0788f90) and src/wg-quick/linux.bash (03e9f29). Section
// names and keys are case-insensitive. White space is ignored around values, and
// inside them too for the keys of wg. A comment reaches from # to the end of the
// line, except in the four hooks, which keep it (v1.0.20210914 still cut it there
// as well). A byte order mark and CRLF line ends are skipped. Address, DNS,
// AllowedIPs, AllowedKeys, the hooks and the lines of [Filter] accumulate; of any other key
// that is repeated the last one counts, with a warning. Sections may be repeated. A value $NAME
// is that of an environment variable, except in hooks; $$ stands for $ at the beginning.
//
// Where wg applies a file line by line, a Config is the state it ends with:
//
//   - Two [Peer] sections with one PublicKey are one peer: the later section
//     replaces the AllowedIPs and every key it gives, the rest stays.
//   - A range that two peers claim in AllowedIPs belongs to the last of them.
//   - A peer with the public key of this router itself is left out.
//
// Each of these is a warning that names both lines. Where wg asks the system,
// this package is stricter: ports are numbers, not service names, and an all
// numeric host name is a mistyped address. It is more lenient in three points: an empty
// AllowedIPs is allowed, auto and off of Table are case-insensitive, and
// wg-quick keys may contain white space as wg keys may.
//
// PrivateKey is required, except when a PreUp or PostUp hook may set it, as in
// the example of wg-quick(8): then its absence is a warning.
//
// [Filter] has names for peers and rules; of the rules the first that matches decides, so
// that their order counts, across all sections of this name. A rule is any, or
// conditions that must all hold:
//
//	[from ENDS] [to ENDS] [proto tcp|udp|icmp|NUMBER] [sport PORTS] [port PORTS]
//
// ENDS are any, or of host, peers, names, public keys, addresses and ranges, with commas
// between them, those of which one has to hold; PORTS are numbers and FIRST-LAST.
//
// Each [Relay] is one more router that may forward for this one. A file has one
// [RelayServer]; who may use it is named by public keys, or by the word peers, which a key
// that is missing stands for.
//
// # Netstack mode
//
// A file that wireproxy accepts (github.com/windtf/wireproxy, 6909633) is accepted and
// means the same, apart from where this says otherwise. Its sections for proxies and
// forwards are in [Proxy]; each occurrence is one more listener. In a file that has any of
// them, or WGConfig before its first section, comments and quotes are those of the ini
// library that it uses: ; begins a comment too, quotes around a value are removed, and
// ` or """ keep # and ; between them. WGConfig reads [Interface] and [Peer] from another
// file; those of the file itself are left out with a warning. A single [Peer] without
// AllowedIPs gets all of IPv4 and IPv6.
//
// Otherwise than there: a listener without an address is on 127.0.0.1, not open to
// everybody; Username and Password need each other; the host name of a listener can only be
// localhost; unknown sections and keys are mistakes, and so are [SNI], TunnelDomains and
// LogDomains of its newer versions; = is the only mark between key and value, and no line
// continues on the next; of a key that is repeated the last one counts, and AllowedIPs and
// Address add up. Of those versions we have [Resolve].
//
// A file that has one of these sections, or SubnetRouter, and does not state a Mode is in
// netstack mode; one that states Mode = tun is a mistake. [LoadOptions.Mode] and
// [Config.CheckMode] are for command lines that choose the mode.
//
// # Errors
//
// Parse and Load report all mistakes of a file at once as an [*Error], each with
// file, line, key and what would be right. Private and preshared keys, and
// anything that looks like one, never appear in a message, and neither do tokens, user names
// and passwords.
//
// # Memory and concurrency
//
// A Config is plain data that belongs to its caller; nothing is retained or
// shared between two calls. Functions may be called from many goroutines, and
// a Config may be read by many as long as nobody writes to it. No function changes
// the Config it is given.
package config
