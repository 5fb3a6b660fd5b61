// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net/netip"
	"strings"

	"github.com/tunrouter/tunrouter/config"
)

// forwardsFor reports whether a configuration wants its host to forward packets of a
// family between the tunnel and other networks. Nothing in a configuration says so
// outright. Two things that people write for nothing else do: hooks that let packets
// through the FORWARD chain or translate their addresses, and filter rules that allow
// networks that are neither the tunnel's nor a peer's. Several peers are no sign: they
// may have nothing to tell each other.
func forwardsFor(cfg *config.Config) (four, six bool) {
	want := func(addr netip.Addr) {
		four = four || addr.Is4()
		six = six || addr.Is6()
	}
	for _, hook := range cfg.Interface.PostUp {
		for _, program := range letsThrough(hook) {
			switch program {
			case "iptables":
				four = true
			case "ip6tables":
				six = true
			case "nft": // of the families that the tunnel has
				for _, a := range cfg.Interface.Addresses {
					want(a.Addr())
				}
			}
		}
	}
	for i := range cfg.Filter.Rules {
		r := &cfg.Filter.Rules[i]
		if r.Deny {
			continue
		}
		for _, end := range []config.FilterEnd{r.From, r.To} {
			for _, p := range end.Prefixes {
				if isElsewhere(cfg, p) {
					want(p.Addr())
				}
			}
		}
	}
	return four, six
}

// letsThrough returns the programs with which a hook lets packets through that are for
// others, or translates their addresses.
func letsThrough(hook string) (programs []string) {
	program := ""
	for _, command := range strings.FieldsFunc(hook, func(r rune) bool { return strings.ContainsRune(";&|\n", r) }) {
		forward, accept, translate := false, false, false
		for _, w := range strings.FieldsFunc(command, func(r rune) bool { return strings.ContainsRune(" \t(){}'\"", r) }) {
			name := strings.TrimSuffix(strings.TrimSuffix(w[strings.LastIndexByte(w, '/')+1:], "-nft"), "-legacy")
			if name == "iptables" || name == "ip6tables" || name == "nft" {
				program = name
			}
			w = strings.ToLower(w)
			forward = forward || w == "forward"
			accept = accept || w == "accept"
			translate = translate || w == "masquerade" || w == "snat"
		}
		if forward && accept || translate {
			programs = append(programs, program)
		}
	}
	return programs
}

// isElsewhere reports whether p is a network that is neither the tunnel's nor a peer's.
// A single address may be this host's own.
func isElsewhere(cfg *config.Config, p netip.Prefix) bool {
	if p.IsSingleIP() {
		return false
	}
	for _, a := range cfg.Interface.Addresses {
		if a.Masked().Overlaps(p) {
			return false
		}
	}
	for i := range cfg.Peers {
		for _, allowed := range cfg.Peers[i].AllowedIPs {
			if allowed.Overlaps(p) {
				return false
			}
		}
	}
	return true
}
