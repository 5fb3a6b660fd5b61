// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// secondSignal is how long after the first signal another one counts as the same
// wish: timeout(1), shells and service managers signal a program and its process
// group at the same moment, and that must not leave the host's routes as they
// are.
const secondSignal = 2 * time.Second

// withSignals returns a context that SIGINT and SIGTERM end. Some time after the
// first one they have their usual effect again, so that another one kills a
// program that hangs while it takes things back.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(secondSignal, stop) })
	// Without a handler a write to a closed stderr ("router up wg0 |& head") would
	// end the program at once and leave the host's routes as they are. Ignoring
	// the signal would be inherited by hooks; nobody reads this channel.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, stop
}

// supervise runs e until ctx or e ends. hangup has the SIGHUPs, each of which
// reloads the file; nil leaves their usual effect.
func supervise(ctx context.Context, e *engine.Engine, hangup <-chan os.Signal, log *slog.Logger) error {
	s := &supervisor{log: log}
	done := make(chan error, 1)
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() { done <- e.Run(runCtx) }()
	s.notify(daemon.SdNotifyReady + "\nSTATUS=" + summary(e))
	for {
		select {
		case err := <-done: // interface or control socket deleted, or an error
			s.notify(daemon.SdNotifyStopping)
			return err
		case <-ctx.Done():
			s.notify(daemon.SdNotifyStopping)
			cancel()
			return <-done
		case <-hangup:
			s.reload(e)
		}
	}
}

// A supervisor tells the service manager what happens.
type supervisor struct{ log *slog.Logger }

// reload applies the file again and goes on with what was if that fails.
func (s *supervisor) reload(e *engine.Engine) {
	s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	status := summary(e)
	if err := e.ReloadFile(); err != nil {
		s.log.Error("configuration not reloaded", "err", err)
		status = "the configuration was not reloaded, see the log"
	}
	s.notify(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

func (s *supervisor) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("service manager not told", "err", err)
	}
}

// summary is one line on a running router.
func summary(e *engine.Engine) string {
	port, peers := e.ListenPort(), 0
	if d, err := e.Status(); err == nil {
		peers = len(d.Peers)
	}
	if port == 0 {
		return fmt.Sprintf("%s with %d peers", e.Name(), peers)
	}
	return fmt.Sprintf("%s on UDP port %d with %d peers", e.Name(), port, peers)
}

// startError adds to an error of engine.New what helps, where the packages
// below do not say it.
func startError(err error) error {
	if errors.Is(err, uapi.ErrInUse) {
		return &exitError{code: exitRuntime, err: err, hint: "end the other program, or set another path with [Router] ControlSocket"}
	}
	return err
}
