// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"slices"
	"strings"
)

// Validate checks a Config that was put together or changed by a program: it has
// to be one that [Parse] returns for some file, in the form that the fields
// describe: ranges masked, each claimed by one peer, each key once. What Parse
// returned is valid. The error is an [*Error] whose keys say where, for example
// Peers[2].AllowedIPs.
func (c *Config) Validate() error {
	var problems []Problem
	if c.Name != "" && !ValidName(c.Name) {
		problems = append(problems, Problem{
			Key: "Name", Message: fmt.Sprintf("%q is not an interface name", c.Name),
			Hint: fmt.Sprintf("use 1 to %d of the characters a-z A-Z 0-9 _ = + . -", maxName),
		})
	}
	// The text is the judge: what does not come back from it as it went in is
	// either wrong or not in its normal form.
	p := newParser("")
	p.memory = true
	p.parse(c.document(true).Bytes())
	found := p.problems
	if len(found) == 0 && !c.equal(&p.cfg) {
		found = normalized(p.warnings)
		problems = append(problems, c.lost(p, found)...)
	}
	sortProblems(found)
	for _, f := range found {
		problems = append(problems, p.locate(f))
	}
	if len(problems) > 0 {
		return &Error{Problems: problems}
	}
	return nil
}

// equal reports whether c and d are the same configuration in the same order.
func (c *Config) equal(d *Config) bool {
	if len(c.Peers) != len(d.Peers) || !Diff(c, d).Empty() {
		return false
	}
	for i := range c.Peers {
		a, b := &c.Peers[i], &d.Peers[i]
		if a.PublicKey != b.PublicKey || !slices.Equal(a.AllowedIPs, b.AllowedIPs) {
			return false
		}
	}
	return c.Proxy.equal(&d.Proxy) && len(c.lostRelays(d)) == 0
}

// normalized are the warnings of lines that Parse did not take as they were.
func normalized(warnings []Problem) []Problem {
	return slices.DeleteFunc(warnings, func(w Problem) bool {
		return w.Key != "Address" && w.Key != "PublicKey" && w.Key != "AllowedIPs" && w.Key != "AllowedKeys"
	})
}

// lost are problems for the fields of c that its text, which p has read back, does not
// hold as they are and that the problems already found do not explain.
func (c *Config) lost(p *parser, found []Problem) []Problem {
	d := &p.cfg
	changes := Diff(c, d)
	names := append(changes.Interface.Names(), changes.Router.Names()...)
	ofAddress := func(f Problem) bool { return f.Key == "Address" }
	ofRelay := func(f Problem) bool { return p.locateRelay(f) != "" }
	ofPeer := func(f Problem) bool { return !ofAddress(f) && !ofRelay(f) }
	if slices.ContainsFunc(found, ofAddress) {
		names = slices.DeleteFunc(names, func(n string) bool { return n == "Addresses" })
	}
	switch {
	case slices.ContainsFunc(found, ofPeer):
	case len(c.Peers) != len(d.Peers):
		names = append(names, "Peers")
	default:
		for i := range c.Peers {
			change, _ := diffPeer(c.Peers[i], d.Peers[i])
			for _, name := range change.Names() {
				names = append(names, fmt.Sprintf("Peers[%d].%s", i, name))
			}
		}
	}
	if changes.Metrics {
		names = append(names, "Router.Metrics")
	}
	if changes.Filter {
		names = append(names, "Filter")
	}
	names = append(names, c.lostServices(d)...)
	if !slices.ContainsFunc(found, ofRelay) {
		names = append(names, c.lostRelays(d)...)
	}
	if len(names)+len(found) == 0 {
		names = append(names, "Peers") // the order, for want of anything else
	}
	problems := make([]Problem, len(names))
	for i, name := range names {
		problems[i] = Problem{
			Key: name, Message: "does not come back from a file as it is",
			Hint: "keep to the form that the field describes, without repetitions and line breaks",
		}
	}
	return problems
}

// locate replaces the line of a problem in the text that was parsed by the
// element of the Config that was written there.
func (p *parser) locate(f Problem) Problem {
	i := p.peerAt(f.Line)
	if s := p.serviceOf(f.Line); s != nil {
		f.Key = s.String() + strings.TrimPrefix("."+f.Key, ".["+s.kind.section+"]")
	} else if name := p.locateRelay(f); name != "" {
		f.Key = name
	} else if n := slices.Index(p.nameLines, f.Line); n >= 0 {
		f.Key = fmt.Sprintf("Filter.Names[%d]", n)
	} else if n := slices.Index(p.ruleLines, f.Line); n >= 0 {
		f.Key = fmt.Sprintf("Filter.Rules[%d]", n)
	} else if f.Line > 0 && i >= 0 && slices.ContainsFunc(peerKeys(), func(k key) bool { return k.name == f.Key }) {
		f.Key = fmt.Sprintf("Peers[%d].%s", i, f.Key)
	}
	f.Line = 0
	return f
}

// serviceOf returns the section of [Proxy] that holds line, or nil. They are written last.
func (p *parser) serviceOf(line int) *service {
	var found *service
	for _, s := range p.services {
		if s.line <= line {
			found = s
		}
	}
	return found
}

// lostServices are the elements of c.Proxy that d.Proxy does not have in their place.
func (c *Config) lostServices(d *Config) []string {
	var names []string
	back := d.Proxy.services()
	for i, s := range c.Proxy.services() {
		if i >= len(back) || !back[i].same(&s) {
			names = append(names, s.String())
		}
	}
	return names
}
