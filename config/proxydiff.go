// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import "slices"

// ProxyChanges says which sections of [Proxy] differ. Those are compared by their values:
// a section that has another key is removed and added.
type ProxyChanges struct {
	// Added and Kept are elements of the new Config, Removed are those of the old one, in
	// their order. Their Resolve is not used.
	Added, Removed, Kept Proxy
	// Resolve says that the strategy differs.
	Resolve bool
}

// Empty reports whether nothing is added, removed or changed.
func (c ProxyChanges) Empty() bool { return c.Added.Empty() && c.Removed.Empty() && !c.Resolve }

// Names returns the names of the sections that differ, each once.
func (c ProxyChanges) Names() []string {
	var names []string
	for i := range kinds {
		of := func(s service) bool { return s.kind == &kinds[i] }
		if slices.ContainsFunc(c.Added.services(), of) || slices.ContainsFunc(c.Removed.services(), of) ||
			c.Resolve && i == kindResolve {
			names = append(names, kinds[i].section)
		}
	}
	return names
}

func diffProxy(old, new *Proxy) ProxyChanges {
	var c ProxyChanges
	c.Resolve = max(old.Resolve.Strategy, ResolveAuto) != max(new.Resolve.Strategy, ResolveAuto)
	before := old.services()
	for _, s := range new.services() {
		i := slices.IndexFunc(before, func(b service) bool { return b.same(&s) })
		switch {
		case s.kind.id == kindResolve:
		case i < 0:
			c.Added.add(&s)
		default:
			c.Kept.add(&s)
			before = slices.Delete(before, i, i+1) // so that one of two equal ones can go
		}
	}
	for _, s := range before {
		if s.kind.id != kindResolve {
			c.Removed.add(&s)
		}
	}
	return c
}

// same reports whether s and other mean the same, wherever they stand.
func (s *service) same(other *service) bool {
	return s.kind == other.kind && s.bind == other.bind && s.target == other.target &&
		s.username == other.username && s.password == other.password && s.udp == other.udp &&
		s.certFile == other.certFile && s.keyFile == other.keyFile &&
		s.timeout == other.timeout && s.timeoutSet == other.timeoutSet &&
		s.strategy == other.strategy && s.total == other.total && s.perClient == other.perClient
}

// equal reports whether p and other are the same sections in the same order.
func (p *Proxy) equal(other *Proxy) bool {
	return slices.EqualFunc(p.services(), other.services(), func(a, b service) bool { return a.same(&b) })
}
