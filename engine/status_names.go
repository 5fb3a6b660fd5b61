// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"encoding/json"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/uapi"
)

// nameKey is an extension of WireGuard's configuration protocol: what people call a peer,
// as a JSON text.
const nameKey = "tunrouter_name"

// NameOf returns what people call a peer of a device, which [Engine.Status] or the
// control socket of a router gave; "" if the configuration has no name for it. It can be
// printed to a terminal.
func NameOf(p *uapi.Peer) string {
	for _, kv := range p.Extra {
		var name string
		if kv.Key == nameKey && json.Unmarshal([]byte(kv.Value), &name) == nil && config.ValidPeerName(name) {
			return name
		}
	}
	return ""
}

// addNameLocked adds the line that NameOf reads, for a peer that has a name.
func (e *Engine) addNameLocked(p *uapi.Peer) error {
	name := e.names[p.PublicKey]
	if name == "" {
		return nil
	}
	line, err := jsonLine(nameKey, name)
	p.Extra = append(p.Extra, line)
	return err
}

// peerNames returns the names of the peers that have one.
func peerNames(cfg *config.Config) map[peers.Key]string {
	names := make(map[peers.Key]string)
	for i := range cfg.Peers {
		if p := &cfg.Peers[i]; p.Name != "" {
			names[peers.Key(p.PublicKey)] = p.Name
		}
	}
	return names
}
