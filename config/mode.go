// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"cmp"
	"fmt"
	"slices"
)

// A need is a part of a Config that only netstack mode has.
type need struct {
	key  string // or [Section]
	line int
}

// netstackNeeds returns the parts of c that only netstack mode has, in the order of their
// lines.
func (c *Config) netstackNeeds() []need {
	var needs []need
	if s := &c.Router.SubnetRouter; s.On() {
		needs = append(needs, need{key: "SubnetRouter", line: s.Line})
	}
	for _, s := range c.Proxy.services() {
		needs = append(needs, need{key: "[" + s.kind.section + "]", line: s.line})
	}
	slices.SortStableFunc(needs, func(a, b need) int { return cmp.Compare(a.line, b.line) })
	return needs
}

// CheckMode reports whether c can run in its mode: the sections of [Proxy] and
// SubnetRouter need netstack mode. It is for who changes Router.Mode of a Config that was
// read; [Load] and [Parse] check it themselves. The error is an [*Error].
func (c *Config) CheckMode() error {
	if f, ok := c.modeProblem(0); ok {
		f.File = c.Path
		return &Error{Problems: []Problem{f}}
	}
	return nil
}

// modeProblem is what CheckMode reports, stated being the line of Mode.
func (c *Config) modeProblem(stated int) (Problem, bool) {
	needs := c.netstackNeeds()
	if c.Router.Mode != ModeTUN || len(needs) == 0 {
		return Problem{}, false
	}
	message, hint := "needs netstack mode, and the mode is tun", "use netstack mode, or remove it"
	if stated > 0 {
		message = fmt.Sprintf("needs netstack mode, and line %d says Mode = tun", stated)
		hint = "remove Mode = tun, or write Mode = netstack"
	}
	switch n := len(needs) - 1; n {
	case 0:
	case 1:
		message += "; so does one more line"
	default:
		message += fmt.Sprintf("; so do %d more lines", n)
	}
	return Problem{Line: needs[0].line, Key: needs[0].key, Message: message, Hint: hint}, true
}

// finishMode decides on the mode.
func (p *parser) finishMode() {
	r := &p.cfg.Router
	stated := p.routerGiven["Mode"]
	r.ModeSet = stated > 0
	if p.options.Mode != nil {
		r.Mode, r.ModeSet, stated = *p.options.Mode, true, 0
	}
	if !r.ModeSet {
		r.Mode = p.cfg.impliedMode()
	}
	wrong := slices.ContainsFunc(p.problems, func(f Problem) bool { return f.Key == "Mode" })
	if p.memory {
		stated = 0
	}
	if f, ok := p.cfg.modeProblem(stated); ok && !wrong {
		p.problem(f.Line, f.Key, f.Hint, f.Message)
	}
}

// impliedMode is the mode of a file that does not state one.
func (c *Config) impliedMode() Mode {
	if len(c.netstackNeeds()) > 0 {
		return ModeNetstack
	}
	return ModeTUN
}
