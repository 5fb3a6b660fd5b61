// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"bytes"
	"fmt"
	"io"
	"sort"
	"strings"
)

// maxFile is the most that is read of a configuration: at 200 bytes for a peer more
// than the 65,536 peers that a WireGuard device takes.
const maxFile = 16 << 20

// Parse reads a configuration from r to its end. Problems are reported under name,
// which is usually the name of a file. The error is an [*Error], or that of r.
func Parse(r io.Reader, name string) (*Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	p := newParser(name)
	p.parse(data)
	if len(p.problems) > 0 {
		sortProblems(p.problems)
		return nil, &Error{Problems: p.problems}
	}
	sortProblems(p.warnings)
	p.cfg.Warnings = p.warnings
	return &p.cfg, nil
}

// A parser is the state of one run of [Parse] over the lines of a file.
type parser struct {
	file     string
	memory   bool // the lines come from a Config, see [Config.Validate]
	sections []section
	cfg      Config
	peers    []*peerSection
	problems []Problem
	warnings []Problem

	// Where the lines that are being read belong.
	section *section       // nil before the first section
	skip    bool           // in a section that is unknown
	given   map[string]int // line of each key of the section, by its name

	unknownSection bool           // a section was not understood
	interfaceLine  int            // of the first [Interface], 0 without one
	interfaceGiven map[string]int // given of [Interface], kept between its sections
	routerGiven    map[string]int
	filterGiven    map[string]int

	nameLines, ruleLines []int // of [Filter]: each Peers, and each Allow and Deny
}

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
	set   func(*entry)
}

func newParser(file string) *parser {
	return &parser{
		file: file,
		sections: []section{
			{name: "Interface", keys: interfaceKeys()},
			{name: "Peer", keys: peerKeys()},
			{name: "Router", keys: routerKeys()},
			{name: "Filter", keys: filterKeys()},
		},
		interfaceGiven: map[string]int{},
		routerGiven:    map[string]int{},
		filterGiven:    map[string]int{},
	}
}

// parse reads a whole file.
func (p *parser) parse(data []byte) {
	if p.checkText(data) {
		p.lines(string(bytes.TrimPrefix(data, []byte("\ufeff"))))
		p.finish()
	}
}

// problem records a mistake; line 0 is the file as a whole.
func (p *parser) problem(line int, key, hint, message string) {
	p.problems = append(p.problems, Problem{File: p.file, Line: line, Key: key, Message: message, Hint: hint})
}

// warning records a doubtful place.
func (p *parser) warning(line int, key, hint, message string) {
	p.warnings = append(p.warnings, Problem{File: p.file, Line: line, Key: key, Message: message, Hint: hint})
}

// place names a line of a [Peer] section in a message.
func (p *parser) place(line int) string {
	if p.memory {
		return fmt.Sprintf("Peers[%d]", p.peerAt(line))
	}
	return fmt.Sprintf("line %d", line)
}

// peerAt returns the index of the [Peer] section that holds line, -1 before the first.
func (p *parser) peerAt(line int) int {
	return sort.Search(len(p.peers), func(i int) bool { return p.peers[i].peer.Line > line }) - 1
}

// checkText reports data that cannot be a configuration at all: one problem for
// the file instead of one for each of its lines.
func (p *parser) checkText(data []byte) bool {
	switch {
	case len(data) > maxFile:
		p.problem(0, "", "check that it is the right file", fmt.Sprintf("longer than %d MiB", maxFile>>20))
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		p.problem(0, "", "save it as UTF-8", "text is encoded as UTF-16")
	case bytes.IndexByte(data, 0) >= 0:
		line := 1 + bytes.Count(data[:bytes.IndexByte(data, 0)], []byte("\n"))
		p.problem(line, "", "check that it is the right file", "zero byte; this is not a text file")
	default:
		return true
	}
	return false
}

// space is the white space that wg and wg-quick ignore.
const space = " \t\n\v\f\r"

// lines reads all lines of text.
func (p *parser) lines(text string) {
	number := 0
	for raw := range strings.SplitSeq(text, "\n") {
		number++
		stripped, _, _ := strings.Cut(raw, "#")
		stripped = strings.Trim(stripped, space)
		switch {
		case stripped == "":
		case stripped[0] == '[':
			p.header(number, stripped)
		case p.skip:
		default:
			p.assignment(number, stripped, raw)
		}
	}
}

// header begins the section of a line such as [Peer].
func (p *parser) header(line int, text string) {
	name, closed := strings.CutSuffix(compact(text)[1:], "]")
	if closed {
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
	case "Peer":
		p.given = map[string]int{}
		p.peers = append(p.peers, &peerSection{peer: Peer{Line: line}, given: p.given})
	}
}

// sameName compares two section names or keys without regard to ASCII case.
func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// compact removes all white space from s.
func compact(s string) string { return strings.Join(strings.FieldsFunc(s, isSpace), "") }

func isSpace(r rune) bool { return strings.ContainsRune(space, r) }
