// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import "strings"

// writeRelay writes one [Relay].
func (d *document) writeRelay(r *Relay) {
	d.WriteString("\n[Relay]\n")
	d.line("PublicKey", r.PublicKey)
	if !r.Endpoint.IsZero() {
		d.line("Endpoint", r.Endpoint)
	}
}

// writeRelayServer writes [RelayServer], or nothing for nil. Keys are written one on each
// line: a line has its limits in some editors, a network has none.
func (d *document) writeRelayServer(s *RelayServer) {
	if s == nil {
		return
	}
	d.WriteString("\n[RelayServer]\n")
	d.line("ListenPort", s.ListenPort)
	switch {
	case s.AllowPeers && len(s.Keys) > 0:
		d.line("AllowedKeys", wordAllPeers)
	case !s.AllowPeers && len(s.Keys) == 0:
		d.line("AllowedKeys", "") // without the key the peers may
	}
	for _, k := range s.Keys {
		d.line("AllowedKeys", k)
	}
	if s.MaxSessions != 0 {
		d.line("MaxSessions", s.MaxSessions)
	}
	if s.MaxSessionsPerClient != 0 {
		d.line("MaxSessionsPerClient", s.MaxSessionsPerClient)
	}
	if s.MaxRate != 0 {
		d.line("MaxRate", formatSize(s.MaxRate))
	}
}

// locateRelay returns where a line of the relay sections comes from, "" for another line.
// Nothing but the sections of [Proxy] is written behind them.
func (p *parser) locateRelay(f Problem) string {
	if s := p.cfg.RelayServer; s != nil && s.Line <= f.Line {
		return "RelayServer" + strings.TrimPrefix("."+f.Key, ".[RelayServer]")
	}
	for i := len(p.relays) - 1; i >= 0; i-- {
		if s := p.relays[i]; s.relay.Line <= f.Line {
			return relayName(i) + strings.TrimPrefix("."+f.Key, ".[Relay]")
		}
	}
	return ""
}
