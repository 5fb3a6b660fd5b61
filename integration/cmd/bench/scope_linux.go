// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A scope is the lab.T of one run: what a test is to the tests.
type scope struct {
	name     string
	dir      string
	log      io.Writer
	err      error
	cleanups []func()
}

// failure is what Fatalf panics with.
type failure struct{ error }

// inScope runs f and everything it left to clean up, and returns why it failed.
func inScope(name, dir string, log io.Writer, f func(*scope)) (err error) {
	s := &scope{name: name, dir: dir, log: log}
	protect := func(f func()) {
		defer func() {
			switch r := recover().(type) {
			case nil:
			case failure:
				s.err = errors.Join(s.err, r.error)
			default:
				panic(r)
			}
		}()
		f()
	}
	protect(func() { f(s) })
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		f := s.cleanups[last]
		s.cleanups = s.cleanups[:last]
		protect(f)
	}
	return s.err
}

func (s *scope) Helper()          {}
func (s *scope) Name() string     { return s.name }
func (s *scope) Failed() bool     { return s.err != nil }
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) Logf(format string, args ...any) { fmt.Fprintf(s.log, format+"\n", args...) }

func (s *scope) Errorf(format string, args ...any) {
	s.err = errors.Join(s.err, fmt.Errorf("%s: %s", s.name, fmt.Sprintf(format, args...)))
}

func (s *scope) Fatalf(format string, args ...any) {
	panic(failure{fmt.Errorf("%s: %s", s.name, fmt.Sprintf(format, args...))})
}

// check ends the run when there is an error.
func (s *scope) check(err error) {
	if err != nil {
		s.Fatalf("%v", err)
	}
}

func (s *scope) TempDir() string {
	dir, err := os.MkdirTemp(s.dir, "run-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
