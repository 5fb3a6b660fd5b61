// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"strings"
)

// A section is the name of a section and the keys that it knows.
type section struct {
	name string
	keys []key
}

// A key is one key of a section and what to do with its value.
type key struct {
	name string
	// repeats says that a second line adds to the first instead of replacing it.
	repeats bool
	// hook says that the value keeps its # text.
	hook bool
	// spaced says that white space inside the value means something.
	spaced bool
	// empty says that the key may stand without a value.
	empty bool
	// text says that white space in quotes around the value is kept.
	text bool
	// secret says that no message repeats the value.
	secret bool
	set    func(*entry)
}

// header begins the section of a line such as [Peer].
func (p *parser) header(line int, text string) {
	if p.ini {
		text, _, _ = strings.Cut(text, ";")
		text = strings.TrimRight(text, space)
	}
	name, closed := strings.CutSuffix(compact(text)[1:], "]")
	if closed {
		for _, u := range unsupported() {
			if sameName(u.name, "["+name+"]") {
				p.section, p.skip = nil, true
				p.problem(line, u.name, u.instead, "not supported")
				return
			}
		}
		for i := range p.sections {
			if sameName(p.sections[i].name, name) {
				p.begin(line, &p.sections[i])
				return
			}
		}
	}
	// Lines up to the next section would only repeat the mistake.
	p.section, p.skip, p.unknownSection = nil, true, true
	if !closed {
		p.problem(line, "", "write [Interface], [Peer], [Router] or [Filter] on a line of its own", show(text)+" is not a section")
		return
	}
	names := make([]string, len(p.sections))
	for i, s := range p.sections {
		names[i] = s.name
	}
	hint := "known sections are [" + strings.Join(names, "], [") + "]"
	if near := nearest(name, names); near != "" {
		hint = "did you mean [" + near + "]?"
	}
	p.problem(line, "", hint, "unknown section "+show("["+name+"]"))
}

// begin makes s the current section.
func (p *parser) begin(line int, s *section) {
	p.section, p.skip = s, false
	ofWG := s.name == "Interface" || s.name == "Peer"
	switch {
	case p.including && !ofWG:
		p.section, p.skip = nil, true
		p.problem(line, "["+s.name+"]", "move it to the file that has WGConfig", "only [Interface] and [Peer] are read from the file of WGConfig")
		return
	case !p.including && ofWG && p.topGiven[wgConfig] > 0:
		p.section, p.skip = nil, true
		p.warning(line, "["+s.name+"]", "remove it, or WGConfig", fmt.Sprintf("not used: line %d has it read from another file", p.topGiven[wgConfig]))
		return
	}
	if kind := kindOf(s.name); kind != nil {
		p.beginService(line, kind)
	}
	switch s.name {
	case "Interface":
		p.given = p.interfaceGiven
		if p.interfaceLine == 0 {
			p.interfaceLine = line
		}
	case "Router":
		p.given = p.routerGiven
	case "Filter":
		p.given = p.filterGiven
	case "Relay":
		p.given = map[string]int{}
		p.relays = append(p.relays, &relaySection{relay: Relay{Line: line}, given: p.given})
	case "RelayServer":
		p.beginRelayServer(line)
	case "Peer":
		p.given = map[string]int{}
		p.peers = append(p.peers, &peerSection{peer: Peer{Line: line}, given: p.given})
	}
}
