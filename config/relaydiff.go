// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"slices"
)

// RelayServerChanges says which fields of [RelayServer] differ. When only one of the
// Configs has the section, ListenPort differs, and what else it sets.
type RelayServerChanges struct {
	ListenPort bool
	// AllowedKeys says that others may use the relay: keys in another order are the same,
	// and with AllowPeers a peer that is added or removed makes a difference.
	AllowedKeys                                bool
	MaxSessions, MaxSessionsPerClient, MaxRate bool
}

// Names returns the keys of the fields that differ.
func (c RelayServerChanges) Names() []string {
	return named([]change{
		{"ListenPort", c.ListenPort},
		{"AllowedKeys", c.AllowedKeys},
		{"MaxSessions", c.MaxSessions},
		{"MaxSessionsPerClient", c.MaxSessionsPerClient},
		{"MaxRate", c.MaxRate},
	})
}

// diffRelayServer compares what old and new say of their relay servers, with the keys of
// the Peers that each has.
func diffRelayServer(old, new *Config) RelayServerChanges {
	changes := diffLimits(old.relayServer(), new.relayServer())
	changes.AllowedKeys = !sameKeys(old.Allowed(), new.Allowed())
	return changes
}

// SameButKeys reports whether s and other differ in nothing but who may use the relay, which
// can change while it runs.
func (s *RelayServer) SameButKeys(other *RelayServer) bool {
	return diffLimits(s, other) == RelayServerChanges{}
}

// diffLimits compares all but who may use the relay.
func diffLimits(old, new *RelayServer) RelayServerChanges {
	return RelayServerChanges{
		ListenPort:           old.ListenPort != new.ListenPort,
		MaxSessions:          old.MaxSessions != new.MaxSessions,
		MaxSessionsPerClient: old.MaxSessionsPerClient != new.MaxSessionsPerClient,
		MaxRate:              old.MaxRate != new.MaxRate,
	}
}

// relayServer is that of c, zero without one.
func (c *Config) relayServer() *RelayServer {
	if c.RelayServer == nil {
		return &RelayServer{}
	}
	return c.RelayServer
}

// sameKeys reports whether a and b, each without repetitions, are the same keys.
func sameKeys(a, b []Key) bool {
	if len(a) != len(b) {
		return false
	}
	in := make(map[Key]bool, len(b))
	for _, k := range b {
		in[k] = true
	}
	return !slices.ContainsFunc(a, func(k Key) bool { return !in[k] })
}

// sameRelays reports whether a and b are the same relays in the same order.
func sameRelays(a, b []Relay) bool {
	return slices.EqualFunc(a, b, func(a, b Relay) bool { return a.PublicKey == b.PublicKey && a.Endpoint.equal(b.Endpoint) })
}

// lostRelays are the parts of c about relays that its text, read back as d, does not
// hold as they are.
func (c *Config) lostRelays(d *Config) []string {
	var names []string
	for i, r := range c.Relays {
		switch {
		case i >= len(d.Relays):
			names = append(names, relayName(i))
		case r.PublicKey != d.Relays[i].PublicKey:
			names = append(names, relayName(i)+".PublicKey")
		case !r.Endpoint.equal(d.Relays[i].Endpoint):
			names = append(names, relayName(i)+".Endpoint")
		}
	}
	if (c.RelayServer == nil) != (d.RelayServer == nil) {
		return append(names, "RelayServer")
	}
	s, back := c.relayServer(), d.relayServer()
	for _, name := range diffLimits(s, back).Names() {
		names = append(names, "RelayServer."+name)
	}
	if s.AllowPeers != back.AllowPeers {
		names = append(names, "RelayServer.AllowPeers")
	}
	if !slices.Equal(s.Keys, back.Keys) {
		names = append(names, "RelayServer.Keys")
	}
	return names
}
