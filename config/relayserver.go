// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"slices"
	"strings"
)

// A RelayServer is the [RelayServer] section: this router forwards for others.
type RelayServer struct {
	ListenPort uint16 // UDP port, 1 to 65535, not the one of WireGuard

	// AllowPeers says that all Peers of the Config may use the relay, and Keys who else
	// may, by public keys, each once. Without both nobody may.
	AllowPeers bool
	Keys       []Key
	// AllowedKeys are the public keys of all of them, each once and without that of this
	// router. [Parse] and [Load] make them of AllowPeers, Peers and Keys, and so does
	// [Config.Allowed] when those have changed. They are no part of the configuration.
	AllowedKeys []Key

	// MaxSessions is how many pairs of clients the relay serves at a time, and
	// MaxSessionsPerClient how many of them one client may be in, each 1 to 65,536; 0 is
	// the default, 10,000 and 256.
	MaxSessions, MaxSessionsPerClient int
	// MaxRate is how many bytes the relay forwards for each client in a second, 64 KiB to
	// 4 GiB; 0 is any number.
	MaxRate int64

	// Line is where the section begins in the file, 0 when it comes from nowhere. It
	// is no part of the configuration.
	Line int
}

const (
	// maxSessions leaves 8 of the 24 bits of a VNI to tell the sessions that have one
	// slot after another.
	maxSessions = 1 << 16
	// minRate lets the largest datagram pass in a second.
	minRate = 64 << 10
	// maxRate is 34 Gbit/s; every number up to it can be written as a size.
	maxRate = 4 << 30
)

// wordAllPeers stands in AllowedKeys for the keys of all [Peer] sections.
const wordAllPeers = "peers"

// relayServerKeys are the keys of [RelayServer], in the order in which they are written.
func relayServerKeys() []key {
	return []key{
		{name: "ListenPort", set: setRelayPort},
		{name: "AllowedKeys", set: addAllowedKeys, repeats: true, empty: true},
		setSessions("MaxSessions", 10000, func(s *RelayServer) *int { return &s.MaxSessions }),
		setSessions("MaxSessionsPerClient", 256, func(s *RelayServer) *int { return &s.MaxSessionsPerClient }),
		{name: "MaxRate", set: setMaxRate},
	}
}

// beginRelayServer begins the section, of which a file has one.
func (p *parser) beginRelayServer(line int) {
	p.given = map[string]int{}
	if s := p.cfg.RelayServer; s != nil {
		p.problem(line, "[RelayServer]", "remove one of the two", fmt.Sprintf("there is another one in line %d", s.Line))
		return // its lines are checked as if they were of the first
	}
	p.cfg.RelayServer = &RelayServer{Line: line}
	p.relayGiven = p.given
}

func setRelayPort(e *entry) {
	if n, ok := e.number(1, 65535, "a UDP port", "write a number from 1 to 65535"); ok {
		e.cfg.RelayServer.ListenPort = uint16(n)
	}
}

// addAllowedKeys reads public keys, and the word peers, between commas. The whole value may
// be empty, for nobody.
func addAllowedKeys(e *entry) {
	s := e.cfg.RelayServer
	if e.value == "" {
		return
	}
	for item := range strings.SplitSeq(e.value, ",") {
		switch {
		case sameName(item, wordAllPeers) && s.AllowPeers:
			e.doubt("remove one of the two", "%s is given twice", wordAllPeers)
		case sameName(item, wordAllPeers):
			s.AllowPeers = true
		case isWord(item) && nearest(item, []string{wordAllPeers}) != "":
			e.wrong("did you mean "+wordAllPeers+"?", "%s is not a key", show(item))
		default:
			e.allowKey(item)
		}
	}
}

// allowKey reads one public key of AllowedKeys.
func (e *entry) allowKey(item string) {
	s := e.cfg.RelayServer
	switch k, ok := e.publicKey(item); {
	case !ok:
	case slices.Contains(s.Keys, k):
		e.doubt("remove one of the two", "a key is given twice")
	default:
		s.Keys = append(s.Keys, k)
		e.allowedLines = append(e.allowedLines, e.line)
	}
}

// setSessions is a key whose value is a number of sessions.
func setSessions(name string, standard int, field func(*RelayServer) *int) key {
	hint := fmt.Sprintf("write a number from 1 to %d, or leave it out for %d", maxSessions, standard)
	return key{name: name, set: func(e *entry) {
		if n, ok := e.number(1, maxSessions, "a number of sessions", hint); ok {
			*field(e.cfg.RelayServer) = int(n)
		}
	}}
}

// setMaxRate reads a number of bytes.
func setMaxRate(e *entry) {
	rate := &e.cfg.RelayServer.MaxRate
	if sameName(e.value, "off") || e.value == "0" {
		*rate = 0
		return
	}
	n, ok := parseSize(e.value)
	if !ok || n < minRate || n > maxRate {
		e.wrong("write off or bytes per second from 64K to 4096M, for example 12M", "%s is not a rate", show(e.value))
		return
	}
	*rate = int64(n)
}

// finishRelayServer checks what a single line of [RelayServer] cannot show.
func (p *parser) finishRelayServer() {
	s := p.cfg.RelayServer
	if s == nil {
		return
	}
	switch line := p.relayGiven["ListenPort"]; {
	case line == 0:
		p.problem(s.Line, "ListenPort", "write for example ListenPort = 3479 below this [RelayServer]", "missing")
	case s.ListenPort != 0 && s.ListenPort == p.cfg.Interface.ListenPort:
		p.problem(line, "ListenPort", "choose another port for one of the two", fmt.Sprintf("UDP port %d is that of [Interface]", s.ListenPort))
	}
	total, perClient := s.MaxSessions, s.MaxSessionsPerClient
	if total > 0 && perClient > total {
		p.warning(p.relayGiven["MaxSessionsPerClient"], "MaxSessionsPerClient",
			fmt.Sprintf("write at most %d, or raise MaxSessions", total), "more than MaxSessions has no effect")
	}
	if p.relayGiven["AllowedKeys"] == 0 {
		s.AllowPeers = true
	}
	if i := slices.Index(s.Keys, p.self()); i >= 0 && !p.self().IsZero() {
		p.warning(p.allowedLines[i], "AllowedKeys", "remove it, unless other routers share the file", "a key belongs to this very router and is left out")
		if s.Keys = slices.Delete(s.Keys, i, i+1); len(s.Keys) == 0 {
			s.Keys = nil
		}
	}
	if len(p.problems) > 0 {
		return
	}
	s.AllowedKeys = p.cfg.Allowed()
	if len(s.AllowedKeys) == 0 {
		p.warning(s.Line, "AllowedKeys", "write [Peer] sections, or AllowedKeys = KEY, KEY", "nobody may use the relay")
	}
}

// Allowed returns the public keys of those who may use the relay server of c, each once
// and without the one of this router: what AllowedKeys of [RelayServer] is for the Peers
// and the PrivateKey that c has now. It is nil without a relay server.
func (c *Config) Allowed() []Key {
	s := c.RelayServer
	if s == nil {
		return nil
	}
	var all []Key
	seen := map[Key]bool{}
	if k := c.Interface.PrivateKey; !k.IsZero() {
		seen[k.Public()] = true
	}
	add := func(k Key) {
		if !seen[k] {
			seen[k] = true
			all = append(all, k)
		}
	}
	if s.AllowPeers {
		for i := range c.Peers {
			add(c.Peers[i].PublicKey)
		}
	}
	for _, k := range s.Keys {
		add(k)
	}
	return all
}
