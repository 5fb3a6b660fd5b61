// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// maxFile is the most that is read of a configuration: at 200 bytes for a peer more
// than the 65,536 peers that a WireGuard device takes.
const maxFile = 16 << 20

// Parse reads a configuration from r to its end. Problems are reported under name,
// which is usually the name of a file. The error is an [*Error], or that of r.
//
// It reads nothing else: a value $NAME, WGConfig and what else depends on more than the
// text needs [ParseWith] or [LoadWith].
func Parse(r io.Reader, name string) (*Config, error) { return ParseWith(r, name, nil) }

// ParseWith is [Parse] with options; nil stands for the zero LoadOptions. WGConfig is a
// mistake also here, and relative paths stay as they are.
func ParseWith(r io.Reader, name string, o *LoadOptions) (*Config, error) {
	return parse(r, name, "", o)
}

// parse is ParseWith for a file in a folder, which other files are relative to; without
// one no other file is read.
func parse(r io.Reader, name, folder string, o *LoadOptions) (*Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	p := newParser(name)
	p.folder = folder
	if o != nil {
		p.options = *o
	}
	p.parse(data)
	if len(p.problems) > 0 {
		p.sort(p.problems)
		return nil, &Error{Problems: p.problems}
	}
	p.sort(p.warnings)
	p.cfg.Warnings = p.warnings
	return &p.cfg, nil
}

// A parser is the state of one run of [Parse] over the lines of a file.
type parser struct {
	file     string
	memory   bool // the lines come from a Config, see [Config.Validate]
	options  LoadOptions
	folder   string // of file, or empty
	sections []section
	top      section // keys before the first section
	cfg      Config
	peers    []*peerSection
	relays   []*relaySection
	services []*service
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
	topGiven       map[string]int

	ini        bool   // comments and quotes are those of [isINI]
	included   string // path of WGConfig, or empty
	includedAs string // as it was written
	including  bool   // its lines are being read
	wgFile     string // where [Interface] and [Peer] are

	nameLines, ruleLines []int // of [Filter]: each Peers, and each Allow and Deny

	relayGiven   map[string]int // given of [RelayServer], nil without one
	allowedLines []int          // of [RelayServer]: the line of each key
}

func newParser(file string) *parser {
	return &parser{
		file:   file,
		wgFile: file,
		sections: append([]section{
			{name: "Interface", keys: interfaceKeys()},
			{name: "Peer", keys: peerKeys()},
			{name: "Router", keys: routerKeys()},
			{name: "Filter", keys: filterKeys()},
			{name: "Relay", keys: relayKeys()},
			{name: "RelayServer", keys: relayServerKeys()},
		}, serviceSections()...),
		top:            section{keys: topKeys()},
		interfaceGiven: map[string]int{},
		routerGiven:    map[string]int{},
		filterGiven:    map[string]int{},
		topGiven:       map[string]int{},
	}
}

// parse reads a whole file.
func (p *parser) parse(data []byte) {
	if p.checkText(data) {
		p.given = p.topGiven
		p.text(data)
		if p.included != "" {
			p.include()
		}
		p.finish()
	}
}

// text reads all lines of a file.
func (p *parser) text(data []byte) {
	text := string(bytes.TrimPrefix(data, []byte("\ufeff")))
	p.ini = p.ini || isINI(text)
	p.lines(text)
}

// sort orders problems by line, those of the file that is included behind the others.
func (p *parser) sort(problems []Problem) {
	sortProblems(problems)
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Compare(bit(a.File != p.file), bit(b.File != p.file))
	})
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
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
			p.comment(number, raw)
		case stripped[0] == ';' && (p.ini || p.section == nil && !p.skip):
		case stripped[0] == '[':
			p.header(number, stripped)
		case p.skip:
		default:
			p.assignment(number, stripped, raw)
		}
	}
}

// sameName compares two section names or keys without regard to ASCII case.
func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// compact removes all white space from s.
func compact(s string) string { return strings.Join(strings.FieldsFunc(s, isSpace), "") }

func isSpace(r rune) bool { return strings.ContainsRune(space, r) }
