// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"slices"
	"strings"
)

// filterKeys are the keys of [Filter], in the order in which they are written.
func filterKeys() []key {
	return []key{
		{name: "Peers", set: addFilterName, repeats: true, spaced: true},
		{name: "Allow", set: func(e *entry) { addFilterRule(e, false) }, repeats: true, spaced: true},
		{name: "Deny", set: func(e *entry) { addFilterRule(e, true) }, repeats: true, spaced: true},
	}
}

// reservedNames mean something in a rule.
func reservedNames() []string {
	return []string{wordAny, wordHost, wordPeers, wordFrom, wordTo, wordProto, wordSourcePort, wordPort}
}

// addFilterName reads NAME KEY, KEY.
func addFilterName(e *entry) {
	const hint = "write Peers = NAME KEY, or NAME KEY, KEY for several"
	e.nameLines = append(e.nameLines, e.line)
	words := ruleWords(e.value)
	if len(words) == 0 {
		words = []string{""}
	}
	name := FilterName{Name: words[0], Line: e.line}
	switch {
	case !isWord(name.Name):
		// It may as well be a key: nothing of it is repeated.
		e.wrong(hint+"; a NAME is a letter and up to 23 letters, digits and the marks _ - .", "no name at the beginning")
		return
	case slices.ContainsFunc(reservedNames(), func(w string) bool { return sameName(w, name.Name) }):
		e.wrong("choose another name", "%s has a meaning in rules", show(name.Name))
		return
	}
	if before := e.cfg.Filter.named(name.Name); before != nil {
		e.wrong("choose another name, or put all keys in one line", "%s is also defined in %s", show(name.Name), e.nameAt(before.Line))
		return
	}
	switch len(words) {
	case 1:
		e.wrong(hint, "no key behind %s", show(name.Name))
	case 2:
		for item := range strings.SplitSeq(words[1], ",") {
			if k, ok := e.publicKey(item); !ok {
				continue
			} else if slices.Contains(name.Keys, k) {
				e.doubt("remove one of the two", "a key is given twice")
			} else {
				name.Keys = append(name.Keys, k)
			}
		}
	default:
		e.wrong("put commas between keys", "more than one word behind %s", show(name.Name))
	}
	// Also with a mistake in it: the rules that use the name need no error of their own.
	e.cfg.Filter.Names = append(e.cfg.Filter.Names, name)
}

// publicKey reads an item that can only be the public key of a peer.
func (e *entry) publicKey(item string) (Key, bool) {
	if item == "" {
		e.wrong("remove the comma that has nothing on one side", "an item is empty")
		return Key{}, false
	}
	one := *e
	one.value = item
	k, ok := one.key()
	if ok && k.IsZero() {
		e.wrong("write the PublicKey of a [Peer]", "a key is all zero")
		return Key{}, false
	}
	return k, ok
}

// nameAt names a line of [Filter] in a message.
func (p *parser) nameAt(line int) string {
	if p.memory {
		return fmt.Sprintf("Filter.Names[%d]", slices.Index(p.nameLines, line))
	}
	return fmt.Sprintf("line %d", line)
}

// finishFilter checks what a single line of [Filter] cannot show: that the names of the
// rules are defined, in the spelling of their definition, and in a file without
// other mistakes that there are peers with the keys.
func (p *parser) finishFilter() {
	f := &p.cfg.Filter
	for i := range f.Rules {
		r := &f.Rules[i]
		for _, end := range []*FilterEnd{&r.From, &r.To} {
			for j, name := range end.Names {
				if n := f.named(name); n != nil {
					end.Names[j] = n.Name
				} else {
					p.problem(r.Line, r.key(), p.nameHint(name), "unknown name "+show(name))
				}
			}
		}
	}
	if len(p.problems) > 0 {
		return
	}
	peers := byPublicKey(p.cfg.Peers)
	self := p.self()
	check := func(line int, key string, keys []Key) {
		for i, k := range keys {
			switch _, ok := peers[k]; {
			case ok:
			case k == self:
				p.problem(line, key, "write host in the rules, or correct it",
					fmt.Sprintf("key number %d of the line belongs to this very router", i+1))
			default:
				p.problem(line, key, "write a [Peer] with this PublicKey, or correct it",
					fmt.Sprintf("no [Peer] has key number %d of the line", i+1))
			}
		}
	}
	for _, n := range f.Names {
		check(n.Line, "Peers", n.Keys)
	}
	for _, r := range f.Rules {
		check(r.Line, r.key(), slices.Concat(r.From.Keys, r.To.Keys))
	}
	if allows := slices.ContainsFunc(f.Rules, func(r FilterRule) bool { return !r.Deny }); !allows {
		switch {
		case len(f.Rules) > 0:
			p.warning(f.Rules[len(f.Rules)-1].Line, "Deny", "end with Allow = any, if the rest is to pass", "nothing is allowed: no packet passes")
		case len(f.Names) > 0:
			p.warning(f.Names[0].Line, "Peers", "write Allow or Deny lines, or remove the names", "without a rule everything passes")
		}
	}
}

// key returns the key that the rule is the value of.
func (r *FilterRule) key() string {
	if r.Deny {
		return "Deny"
	}
	return "Allow"
}

// nameHint says what is right instead of a name that is not defined.
func (p *parser) nameHint(name string) string {
	known := []string{wordAny, wordHost, wordPeers}
	for _, n := range p.cfg.Filter.Names {
		known = append(known, n.Name)
	}
	if near := nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "define it with Peers = " + name + " KEY, or write any, host, peers, a public key or an address"
}
