// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/sandbox"
)

// Exit codes.
const (
	exitOK      = 0
	exitRuntime = 1
	exitUsage   = 2   // wrong usage or a wrong configuration
	exitExec    = 125 // "router exec" failed, not its command; as env(1)
)

// An exitError chooses the exit code, and may have a second line that says what
// helps.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error in how cmd was called.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &exitError{
		code: exitUsage, err: fmt.Errorf(format, args...),
		hint: fmt.Sprintf("run %q to see how it is called", cmd.CommandPath()+" --help"),
	}
}

// asUsage makes a usage error of one that cmd's arguments did not survive.
func asUsage(cmd *cobra.Command, err error) error {
	if _, ok := errors.AsType[*exitError](err); ok {
		return err
	}
	return usagef(cmd, "%w", err)
}

// configError is an error in the configuration, or in reading it.
func configError(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: exitUsage, err: err}
}

// argCount makes a usage error of a wrong number of arguments, described by
// what.
func argCount(minimum, maximum int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < minimum || len(args) > maximum {
			return usagef(cmd, "%s takes %s, not %d arguments", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

// report prints err, if any, and returns the exit code. Mistakes in a
// configuration are printed as they are, one per line, so that editors find the
// place.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	if s, ok := errors.AsType[*sandbox.StatusError](err); ok {
		return s.Code // of a command, which has said itself what there was to say
	}
	code, hint := exitRuntime, ""
	if e, ok := errors.AsType[*exitError](err); ok {
		code, hint = e.code, e.hint
	}
	text := describe(err)
	if hint != "" {
		text += "\n" + hint
	}
	var w io.Writer = a.err
	if parent := a.env.ready; parent != nil {
		// The parent prints it; this process may have no output.
		w = parent
		defer parent.Close()
	}
	fmt.Fprintln(w, text)
	return code
}

// describe returns what is printed of an error.
func describe(err error) string {
	wrong, ok := errors.AsType[*config.Error](err)
	if !ok {
		return "router: " + err.Error()
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(wrong.Error(), "\n"))
	what := "1 mistake"
	if n := len(wrong.Problems); n > 1 {
		what = fmt.Sprintf("%d mistakes", n)
	}
	fmt.Fprintf(&b, "\nrouter: %s in the configuration", what)
	return b.String()
}
