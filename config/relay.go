// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"log/slog"
	"slices"
)

// A Relay is one [Relay] section: a router that forwards for this one and its peers
// when they do not reach each other directly.
type Relay struct {
	PublicKey Key
	// Endpoint is where its relay server listens, an address or a name. The port is
	// that of its [RelayServer], not the one of WireGuard.
	Endpoint Endpoint
	// Line is where the section begins in the file, 0 when it comes from nowhere. It
	// is no part of the configuration.
	Line int
}

// LogValue returns the fields with the public key in clear.
func (r Relay) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("public_key", r.PublicKey.String()),
		slog.String("endpoint", r.Endpoint.String()),
	)
}

// maxRelays is more than help: a router registers with each of them every 25 s, and
// each gives every pair of peers one more path to ask.
const maxRelays = 8

// A relaySection is one [Relay] of the file while it is read.
type relaySection struct {
	relay Relay
	given map[string]int
}

// relayKeys are the keys of [Relay], in the order in which they are written.
func relayKeys() []key {
	return []key{
		{name: "PublicKey", set: setRelayKey},
		{name: "Endpoint", set: setRelayEndpoint},
	}
}

// relay returns the section that the line belongs to.
func (e *entry) relay() *Relay { return &e.relays[len(e.relays)-1].relay }

func setRelayKey(e *entry) {
	k, ok := e.key()
	switch {
	case !ok:
	case k.IsZero():
		e.wrong("make the key with router pubkey from the private key of the relay", "all zero")
	default:
		e.relay().PublicKey = k
	}
}

func setRelayEndpoint(e *entry) {
	if endpoint, ok := e.endpoint(); ok {
		e.relay().Endpoint = endpoint
	}
}

// finishRelays checks what a single line of the [Relay] sections cannot show and puts
// them into the Config. This very router is left out, so that all routers of a network,
// its relays too, can have the same sections.
func (p *parser) finishRelays() {
	self := p.self()
	first := map[Key]*relaySection{}
	for i, s := range p.relays {
		examples := map[string]string{"PublicKey": "KEY", "Endpoint": "relay.example.com:3479"}
		for _, k := range relayKeys() {
			if s.given[k.name] == 0 {
				p.problem(s.relay.Line, k.name, "write "+k.name+" = "+examples[k.name]+" below this [Relay]", "missing")
			}
		}
		if i == maxRelays {
			p.problem(s.relay.Line, "[Relay]", fmt.Sprintf("keep the %d that are nearest", maxRelays), fmt.Sprintf("%d relays are too many", len(p.relays)))
		}
		k, line := s.relay.PublicKey, s.given["PublicKey"]
		switch before := first[k]; {
		case k.IsZero():
		case before != nil:
			p.problem(line, "PublicKey", "remove one of the two, or correct the key", "same relay as in "+p.relayAt(before))
		case k == self:
			p.warning(line, "PublicKey", "remove this [Relay], unless other routers share the file",
				"belongs to the PrivateKey of this very router; the relay is left out")
		default:
			first[k] = s
			p.cfg.Relays = append(p.cfg.Relays, s.relay)
		}
	}
	if len(p.cfg.Relays) > 0 && p.cfg.Router.Discovery == SwitchOff {
		p.warning(p.cfg.Relays[0].Line, "[Relay]", "remove the relays, or Discovery = off", p.discoveryOff())
	}
}

// relayAt names a section in a message.
func (p *parser) relayAt(s *relaySection) string {
	if p.memory {
		return relayName(slices.Index(p.relays, s))
	}
	return fmt.Sprintf("line %d", s.given["PublicKey"])
}

func relayName(i int) string { return fmt.Sprintf("Relays[%d]", i) }

// discoveryOff says why relays do nothing.
func (p *parser) discoveryOff() string {
	if line := p.routerGiven["Discovery"]; line > 0 && !p.memory {
		return fmt.Sprintf("not used: line %d says Discovery = off", line)
	}
	return "not used: Discovery is off"
}

// self is the public key of this router, zero when it is not known.
func (p *parser) self() Key {
	if k := p.cfg.Interface.PrivateKey; !k.IsZero() {
		return k.Public()
	}
	return Key{}
}
