// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPeerName is how many characters the name of a peer may have: what a column of a
// table holds.
const maxPeerName = 64

// ValidPeerName reports whether people may call a peer so: 1 to 64 characters that all
// can be seen, so that a name does nothing to a terminal, without white space around it.
func ValidPeerName(name string) bool {
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxPeerName &&
		strings.TrimSpace(name) == name && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// comment reads a line that is nothing but a comment. In a [Peer] section it may say what
// people call the peer, which WireGuard's own tools have no key for:
//
//	# Name = laptop
//	# friendly_name = laptop
//
// The second form is that of github.com/MindFlavor/prometheus_wireguard_exporter. Of
// several the last one counts.
func (p *parser) comment(line int, raw string) {
	if p.section == nil || p.section.name != "Peer" {
		return
	}
	text, found := strings.CutPrefix(strings.Trim(raw, space), "#")
	word, value, assigned := strings.Cut(text, "=")
	word = strings.Trim(word, space)
	if !found || !assigned || !sameName(word, "Name") && !sameName(word, "friendly_name") {
		return
	}
	if value = strings.Trim(value, space); !ValidPeerName(value) {
		p.warning(line, "# "+word, "write 1 to 64 characters that can be seen", "not used: not a name")
		return
	}
	p.peers[len(p.peers)-1].peer.Name = value
}
