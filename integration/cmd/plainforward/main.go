// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/tunrouter/tunrouter/config"
)

// ready is the line that it writes when everything listens.
const ready = "plainforward started"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if err != flag.ErrHelp {
			fmt.Fprintln(os.Stderr, "plainforward:", err)
		}
		os.Exit(1)
	}
}

// A forward is one of the flags.
type forward struct{ listen, target string }

// forwards is a flag that may be repeated.
type forwards []forward

// String returns what was given.
func (f *forwards) String() string { return fmt.Sprint([]forward(*f)) }

// Set takes one more.
func (f *forwards) Set(s string) error {
	listen, target, ok := strings.Cut(s, "=")
	if !ok || listen == "" || target == "" {
		return fmt.Errorf("%q: want LISTEN=TARGET", s)
	}
	*f = append(*f, forward{listen, target})
	return nil
}

// run forwards until the context ends.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	var tcp, tcpIn, udp forwards
	fs := flag.NewFlagSet("plainforward", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Var(&tcp, "tcp", "`LISTEN=TARGET`, from the host into the tunnel")
	fs.Var(&tcpIn, "tcp-in", "`PORT=TARGET`, from the tunnel to the host's network")
	fs.Var(&udp, "udp", "`LISTEN=TARGET`, from the host into the tunnel")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return fmt.Errorf("want one FILE, not %q", fs.Args())
	}
	cfg, err := config.Load(fs.Arg(0))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	t, err := open(cfg)
	if err != nil {
		return err
	}
	defer t.close()
	for _, group := range []struct {
		forwards forwards
		listen   func(forward, *slog.Logger) error
	}{{tcp, t.tcp}, {tcpIn, t.tcpIn}, {udp, t.udp}} {
		for _, f := range group.forwards {
			if err := group.listen(f, log); err != nil {
				return err
			}
		}
	}
	log.Info(ready)
	<-ctx.Done()
	return nil
}
