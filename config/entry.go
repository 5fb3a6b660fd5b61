// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"strings"
)

// An entry is one KEY = VALUE line on its way into the Config.
type entry struct {
	*parser
	line  int
	name  string // of the key, as documented
	value string // trimmed; without any white space unless the key is spaced
}

// wrong records that the value is a mistake: what it is, and what would be right.
func (e *entry) wrong(hint, format string, args ...any) {
	e.problem(e.line, e.name, hint, fmt.Sprintf(format, args...))
}

// doubt records that the value is accepted but may not mean what the user thinks.
func (e *entry) doubt(hint, format string, args ...any) {
	e.warning(e.line, e.name, hint, fmt.Sprintf(format, args...))
}

// assignment reads one line that is not a section. text is the line without its
// comment, raw the whole line.
func (p *parser) assignment(line int, text, raw string) {
	word, value, found := strings.Cut(text, "=")
	word = strings.Trim(word, space)
	k := p.lookup(word)
	switch {
	case !found:
		p.malformed(line, text)
		return
	case k == nil:
		p.unknown(line, word, value)
		return
	}
	if k.hook || p.ini {
		_, value, _ = strings.Cut(raw, "=")
	}
	if p.ini && !k.hook {
		value = iniValue(value)
	} else {
		value = strings.Trim(value, space)
	}
	e := &entry{parser: p, line: line, name: k.name, value: value}
	if first, again := p.given[k.name]; again && !k.repeats {
		e.doubt("remove one of the two", "also given in line %d; the last one counts", first)
	}
	p.given[k.name] = line
	if !k.hook && !(e.expand(k) && e.writable(k)) {
		return
	}
	switch {
	case !k.spaced:
		e.value = compact(e.value)
	case !k.text:
		e.value = strings.Trim(e.value, space)
	}
	if e.value == "" && !k.empty {
		e.wrong("remove the line, or write "+k.name+" = VALUE", "no value")
		return
	}
	k.set(e)
}

// lookup returns the key called word of the current section, or nil.
func (p *parser) lookup(word string) *key {
	switch {
	case p.section != nil:
		return p.section.key(compact(word))
	case p.including:
		return nil
	}
	return p.top.key(compact(word))
}

func (s *section) key(word string) *key {
	for i := range s.keys {
		if sameName(s.keys[i].name, word) {
			return &s.keys[i]
		}
	}
	return nil
}

func (s *section) names() []string {
	names := make([]string, len(s.keys))
	for i, k := range s.keys {
		names[i] = k.name
	}
	return names
}

// unknown reports a key that the current section does not know.
func (p *parser) unknown(line int, word, value string) {
	for _, u := range unsupported() {
		if sameName(u.name, compact(word)) {
			p.problem(line, u.name, u.instead, "not supported")
			return
		}
	}
	if k := p.top.key(compact(word)); k != nil {
		hint := "move it above the first section"
		if p.including {
			hint = "remove it"
		}
		p.problem(line, k.name, hint, "only stands at the beginning of the file that router is given")
		return
	}
	if p.section != nil && kindOf(p.section.name) != nil && p.section.key("BindAddress") != nil && sameName(compact(word), "ListenPort") {
		p.problem(line, "ListenPort", "write BindAddress = 127.0.0.1:PORT", "["+p.section.name+"] listens on an address of the host")
		return
	}
	for i := range p.sections {
		s := &p.sections[i]
		k := s.key(compact(word))
		switch {
		case k == nil:
		case p.section == nil:
			p.problem(line, k.name, "write ["+s.name+"] above it", "outside of any section")
			return
		default:
			p.problem(line, k.name, "move it below a ["+s.name+"] line",
				fmt.Sprintf("belongs to [%s], not to [%s]", s.name, p.section.name))
			return
		}
	}
	if !isWord(word) {
		p.malformed(line, word)
		return
	}
	if p.section == nil {
		if near := nearest(word, p.top.names()); near != "" && !p.including {
			p.problem(line, word, "did you mean "+near+"?", "unknown key above the first section")
			return
		}
		p.problem(line, "", "write [Interface] above it", "line outside of any section")
		return
	}
	if near := nearest(word, p.section.names()); near != "" {
		p.problem(line, word, "did you mean "+near+"?", "unknown key in ["+p.section.name+"]")
		return
	}
	for i := range p.sections {
		s := &p.sections[i]
		if near := nearest(word, s.names()); near != "" {
			p.problem(line, word, "did you mean "+near+", which belongs to ["+s.name+"]?",
				"unknown key in ["+p.section.name+"]")
			return
		}
	}
	if strings.Trim(value, space+"=") == "" {
		// Nothing but = behind it: it may as well be the end of a key that was
		// broken over two lines, and is not repeated.
		p.malformed(line, "")
		return
	}
	p.problem(line, word, "["+p.section.name+"] knows "+strings.Join(p.section.names(), ", "),
		"unknown key in ["+p.section.name+"]")
}

// unsupported are sections and keys that wireproxy has and router does not, with what to
// use in their place.
func unsupported() []struct{ name, instead string } {
	return []struct{ name, instead string }{
		{"[SNI]", "write a [TCPClientTunnel] for each server, or use [Socks5]"},
		{"TunnelDomains", "remove it; let the client choose what it sends to the proxy, for example with a PAC file"},
		{"LogDomains", "remove it; let the client log what it connects to"},
	}
}

// malformed reports a line that is not KEY = VALUE. It repeats nothing of the line
// but a known key at its beginning: the rest may be a secret.
func (p *parser) malformed(line int, text string) {
	if strings.HasPrefix(text, ";") {
		p.problem(line, "", "begin comments with #", "; does not begin a comment")
		return
	}
	word := text
	if end := strings.IndexFunc(text, func(r rune) bool { return !isLetter(r) }); end >= 0 {
		word = text[:end]
	}
	for i := range p.sections {
		if k := p.sections[i].key(word); k != nil {
			if p.section == &p.sections[i] {
				p.given[k.name] = line // it is not missing
			}
			p.problem(line, k.name, "write "+k.name+" = VALUE", "no = behind the key")
			return
		}
	}
	p.problem(line, "", "write KEY = VALUE", "line is neither a section nor KEY = VALUE")
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// isWord reports whether s can be the name of a key: short, and of letters, digits
// and the marks that other programs use in names. No WireGuard key passes.
func isWord(s string) bool {
	if s == "" || len(s) > 24 || !isLetter(rune(s[0])) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	}) < 0
}
