// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/engine"
)

// demoTimeout bounds everything in the demonstration but the measurement.
const demoTimeout = 10 * time.Second

func (a *app) demoCommand() *cobra.Command {
	duration := 3 * time.Second
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show two routers and traffic between them; needs no root and no file",
		Long: `Start two routers in this process, each with a TCP/IP stack of its own in place of
a kernel interface, connected by real WireGuard over UDP on 127.0.0.1. Shows
their handshake, a ping, an HTTP request and the throughput of TCP through the
tunnel. It needs no privilege and leaves nothing behind.`,
		Example: `  router demo
  router demo --duration 10s`,
		Args: argCount(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if duration <= 0 {
				return usagef(cmd, "--duration must be above zero")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), demoTimeout+duration)
			defer cancel()
			if err := a.demo(ctx, duration); err != nil {
				return fmt.Errorf("demo: %w", err)
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().DurationVar(&duration, "duration", duration, "how long throughput is measured")
	return cmd
}

// demo shows one thing after the other. ^C has its usual effect at any time:
// there is nothing outside the process to take back.
func (a *app) demo(ctx context.Context, duration time.Duration) error {
	engine.RedirectStackLog(slog.New(slog.DiscardHandler)) // its warnings would tear the progress line
	d, err := startDemo(ctx)
	if err != nil {
		return err
	}
	steps := []struct {
		label string
		show  func(context.Context, *progress) (string, error)
	}{
		{"router A", func(context.Context, *progress) (string, error) { return d.a.describe() }},
		{"router B", func(context.Context, *progress) (string, error) { return d.b.describe() }},
		{"handshake", d.handshake},
		{"ping", d.ping},
		{"http", d.get},
		{"tcp", func(ctx context.Context, p *progress) (string, error) { return d.throughput(ctx, p, duration) }},
	}
	for _, s := range steps {
		p := newProgress(a.out, s.label)
		var text string
		if text, err = s.show(ctx, p); err != nil {
			if ctx.Err() != nil { // the reason for whatever it met
				err = context.Cause(ctx)
			}
			err = fmt.Errorf("%s: %w", s.label, err)
			break
		}
		if err = p.finish(text); err != nil {
			break
		}
	}
	if closeErr := d.close(); err == nil {
		err = closeErr
	}
	return err
}
