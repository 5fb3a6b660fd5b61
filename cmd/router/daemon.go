// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// readyWord is what a child writes to its parent when interface and control
// socket exist. Anything else it writes is what went wrong.
const readyWord = "ready\n"

// daemonize runs this command line again as a child in the background, and
// returns when the child is ready or has failed. A Go program cannot fork: its
// threads would be missing in the child.
//
// The child opens everything itself rather than being handed what the parent
// opened, so that the parent also learns of what goes wrong afterwards.
func (a *app) daemonize(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	cmd := exec.Command(program, a.args[1:]...) // not CommandContext: it outlives us
	cmd.Args[0] = a.args[0]
	cmd.Dir = "/" // so that the directory we were called in can be unmounted
	cmd.Env = with(os.Environ(), envForeground, "1")
	if _, log := a.env.contractLevel(); log && a.env.logLevel != "" {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	detach(cmd)
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	cmd.Env = with(cmd.Env, envReady, "3")
	err = errors.Join(a.passOn(cmd, envTunFD, a.env.tunFD), a.passOn(cmd, envUAPIFD, a.env.uapiFD))
	if err == nil {
		err = cmd.Start()
	}
	closeAll(cmd.ExtraFiles) // w too: the end of the child must be the end of the pipe
	if err != nil {
		return fmt.Errorf("go to the background: %w", err)
	}
	return a.awaitReady(cmd, r)
}

// passOn gives the child the descriptors of a variable, under their new numbers.
func (a *app) passOn(cmd *exec.Cmd, name, list string) error {
	if list == "" {
		return nil
	}
	passed, err := files(name, list)
	if err != nil {
		return err
	}
	var numbers []string
	for range passed {
		numbers = append(numbers, strconv.Itoa(3+len(cmd.ExtraFiles)+len(numbers)))
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, passed...)
	cmd.Env = with(cmd.Env, name, strings.Join(numbers, ","))
	return nil
}

// awaitReady returns when the child has said that it is ready, or else what it
// said went wrong.
func (a *app) awaitReady(cmd *exec.Cmd, r io.Reader) error {
	said, err := io.ReadAll(r)
	if string(said) == readyWord {
		return cmd.Process.Release()
	}
	ended := cmd.Wait()
	text := strings.TrimRight(strings.TrimPrefix(string(said), "router: "), "\n")
	if text == "" {
		text = fmt.Sprintf("the router in the background ended before it was ready: %v", errors.Join(ended, err))
	}
	code := exitRuntime
	if exit, ok := errors.AsType[*exec.ExitError](ended); ok && exit.ExitCode() > 0 {
		code = exit.ExitCode()
	}
	return &exitError{code: code, err: errors.New(text)}
}

// tellReady tells the parent, if there is one that waits, that interface and
// control socket exist.
func (a *app) tellReady() error {
	parent := a.env.ready
	if parent == nil {
		return nil
	}
	a.env.ready = nil
	_, err := io.WriteString(parent, readyWord)
	return errors.Join(err, parent.Close())
}
