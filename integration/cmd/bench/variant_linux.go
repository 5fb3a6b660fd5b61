// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// Names of the router with configuration of its own.
const (
	kernelName           = "kernel"             // its kernel forwards, which is the default
	cutThroughName       = "cut-through"        // it forwards itself
	cutThroughFilterName = "cut-through-filter" // and asks a filter first

	tunName = "tun" // as it is; in netstack the others have no interface
)

// filterRules is how many rules the filter has. The last allows everything.
const filterRules = 100

// variants are the routers with configuration of their own by name, in the order
// in which they are listed.
func variants() (names []string, sections map[string]string) {
	filter := "[Filter]\n"
	for i := range filterRules - 1 {
		// What real rules look at, and never the traffic.
		filter += fmt.Sprintf("Deny = from 10.250.%d.0/24 to any proto tcp port %d\n", i, 6000+i)
	}
	filter += "Allow = any\n"
	const on = "[Router]\nPeerForwarding = on\n"
	names = []string{kernelName, cutThroughName, cutThroughFilterName}
	sections = map[string]string{
		kernelName:           "[Router]\nPeerForwarding = off\n",
		cutThroughName:       on,
		cutThroughFilterName: on + "\n" + filter,
	}
	for _, n := range []int{1, 2, 4} {
		name := fmt.Sprintf("queues%d", n)
		names = append(names, name)
		sections[name] = fmt.Sprintf("[Router]\nQueues = %d\n", n)
	}
	return names, sections
}

// parseImpl notes a program that -impl names:
//
//	NAME                             one that the bench knows
//	NAME=PATH                        one that exists
//	NAME=PATH:KEY=VALUE;KEY=VALUE    with lines of [Router]
//	NAME=router:KEY=VALUE            the router that is built, with them
func (o *options) parseImpl(item string) error {
	name, path, given := strings.Cut(item, "=")
	known, _ := variants()
	known = slices.Concat(lab.ProgramNames(), []string{tunName, lab.PlainName, relayedName, directName}, known)
	switch {
	case given && (path == "" || name == "" || slices.Contains(known, name)):
		return fmt.Errorf("%q: want a path, and a name that is none of %s", item, strings.Join(known, ", "))
	case !given && !slices.Contains(known, name):
		return fmt.Errorf("%q is none of %s", name, strings.Join(known, ", "))
	case slices.Contains(o.impls, name):
		return fmt.Errorf("%q is there twice", name)
	}
	o.impls = append(o.impls, name)
	if !given {
		return nil
	}
	path, lines, configured := strings.Cut(path, ":")
	if configured {
		for line := range strings.SplitSeq(lines, ";") {
			if key, value, ok := strings.Cut(line, "="); !ok || key == "" || value == "" {
				return fmt.Errorf("%q: want KEY=VALUE of [Router], not %q", item, line)
			}
		}
		o.sections[name] = "[Router]\n" + strings.ReplaceAll(lines, ";", "\n") + "\n"
		if path == lab.RouterName {
			return nil
		}
	}
	path, err := filepath.Abs(path)
	o.paths[name] = path
	return err
}

// implementation returns the program of a name, built unless it exists.
func (o options) implementation(s *scope, p *progress, name string) lab.Implementation {
	im := lab.Implementation{Name: name, Path: o.paths[name], Sections: o.sections[name], Learns: true}
	if im.Path != "" {
		return im
	}
	p.start("building " + name)
	switch {
	case im.Sections != "" || name == tunName || name == relayedName || name == directName:
		im.Path = o.programs.Router(s)
		return im
	case name == lab.PlainName:
		im.Path = o.programs.Plain(s)
		return im
	}
	return o.programs.Implementation(s, name)
}
