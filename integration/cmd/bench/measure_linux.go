// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// A collector gathers results. It is safe for concurrent use.
type collector struct {
	mu      sync.Mutex
	results []result
}

func (c *collector) add(r ...result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.results = append(c.results, r...)
}

func (c *collector) all() []result {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.results)
}

// Why a program has no figures of a work. These are no failures.
var (
	errNotWireGuard = errors.New("not measured: the peers of this work speak WireGuard")
	errNoForwards   = errors.New("not measured: it has no forwards of its own")
	errNoInterface  = errors.New("not measured: it makes no interface")
	errNoRelay      = errors.New("not measured: it has no relay")
	errNoExec       = errors.New("not measured: it runs no programs inside of its tunnel")
)

// leftOut reports whether the error of a result is that it was not measured.
func leftOut(r result) bool {
	for _, err := range []error{errNotWireGuard, errNoForwards, errNoInterface, errNoExec, errNoRelay} {
		if r.Error == err.Error() {
			return true
		}
	}
	return false
}

// unfit returns why the work does not measure the program; nil when it does.
func (w work) unfit(im lab.Implementation) error {
	without := im.Name == lab.PlainName
	switch {
	case w.wireGuardOnly && im.Nebula != nil:
		return errNotWireGuard
	case w.group == groupNetstack && (im.Nebula != nil || slices.Contains(lab.Names(), im.Name) && im.Name != lab.RouterName):
		return errNoForwards
	case w.group == groupRelay && slices.Contains(lab.Names(), im.Name) && im.Name != lab.RouterName:
		return errNoRelay
	case w.group != groupNetstack && without:
		return errNoInterface
	case w.inside && without:
		return errNoExec
	}
	return nil
}

// measureAll runs everything, interleaved. What fails becomes a result with an
// error, and the next goes on.
func measureAll(o options, dir string, p *progress, c *collector) {
	o.programs = &lab.Programs{Dir: dir}
	impls := make(map[string]lab.Implementation)
	broken := make(map[string]error)
	for _, name := range o.all() {
		err := inScope("build", dir, p, func(s *scope) { impls[name] = o.implementation(s, p, name) })
		if err != nil {
			broken[name] = err
			fmt.Fprintln(p, err)
		}
	}
	for _, w := range o.works {
		for run := range o.runs {
			for _, name := range w.impls {
				one := fmt.Sprintf("%s, %s, run %d of %d", w.name, name, run+1, o.runs)
				p.start(one)
				var got []result
				err := broken[name]
				if err == nil {
					err = w.unfit(impls[name])
				}
				if err == nil {
					err = inScope(one, dir, p, func(s *scope) { got = w.measure(s, o, impls[name]) })
				}
				if err != nil {
					got = []result{{Error: err.Error()}}
				}
				for i := range got {
					got[i].Work, got[i].Impl, got[i].Run = w.name, name, run
				}
				c.add(got...)
				p.done(one, got)
			}
		}
	}
}
