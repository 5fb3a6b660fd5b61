// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// minTopInterval is the shortest time between two looks: a look at many peers costs the
// router some milliseconds.
const minTopInterval = 200 * time.Millisecond

// A topOptions has the flags of "router top".
type topOptions struct {
	count    int
	interval time.Duration
	sort     choice
	reverse  bool
	dir      string
}

func (a *app) topCommand() *cobra.Command {
	o := &topOptions{interval: time.Second}
	for _, order := range topOrders() {
		o.sort.values = append(o.sort.values, order.name)
	}
	o.sort.value = o.sort.values[0]
	cmd := &cobra.Command{
		Use:   "top [NAME]",
		Short: "Watch a running router",
		Long: `Show what a router does, again and again: the rates of each peer, the path, latency
and loss of those that are routers, the age of the last handshake, and what was
dropped and why. Rates are bits per second of encrypted packets. A ? is before a path
that is in doubt, beside which another one is used.

Keys: r, t, l, h, p and n sort by what was received and sent, latency, handshake,
path and name, once more turns the order round; arrows, j and k, Page Up and Page
Down scroll; q quits, ^Z stops until fg.

Without a terminal, or with -n, the table is printed that often, each after the
interval that its rates are measured over. NO_COLOR turns colours off.

NAME is the interface, or the path of a control socket; it may be left out when
one router is running.`,
		Example: `  router top
  router top wg0 --sort latency -i 5s
  router top wg0 -n 1 | head`,
		Args: argCount(0, 1, "at most one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.count < 0:
				return usagef(cmd, "--count must not be below zero")
			case o.interval < minTopInterval:
				return usagef(cmd, "--interval must be at least %s", minTopInterval)
			}
			return a.top(cmd, args, o)
		},
		ValidArgsFunction: completeRunning(&o.dir),
	}
	f := cmd.Flags()
	f.IntVarP(&o.count, "count", "n", 0, "print the table this often and end; 0 is until q on a terminal, otherwise once")
	f.DurationVarP(&o.interval, "interval", "i", o.interval, "time between two looks")
	f.Var(&o.sort, "sort", "order of the peers")
	f.BoolVar(&o.reverse, "reverse", false, "the other way round")
	completeChoice(cmd, "sort", &o.sort)
	socketDirFlag(cmd, &o.dir)
	return cmd
}

func (a *app) top(cmd *cobra.Command, args []string, o *topOptions) error {
	ctx, stop := withSignals(cmd.Context())
	defer stop()
	name, err := a.oneRouter(o.dir, args)
	if err != nil {
		return err
	}
	order, _ := topOrderOf(func(t *topOrder) bool { return t.name == o.sort.value })
	look := topLook{name: interfaceName(name), order: order, reverse: o.reverse}
	source := &topSource{dir: o.dir, name: name, interval: o.interval}
	t := openTTY(a.in, a.out)
	if t == nil || o.count > 0 || a.getenv("TERM") == "dumb" {
		return a.topPrint(ctx, source, look, max(1, o.count))
	}
	look.color, look.keys = a.getenv("NO_COLOR") == "", true
	return runTopScreen(ctx, t, source, o.interval, look)
}

// getenv returns a variable of the environment, "" without one.
func (a *app) getenv(name string) string {
	if a.lookup == nil {
		return ""
	}
	value, _ := a.lookup(name)
	return value
}

// topPrint prints count tables.
func (a *app) topPrint(ctx context.Context, source *topSource, look topLook, count int) error {
	if _, err := source.next(ctx); err != nil {
		return err
	}
	every := time.NewTicker(source.interval)
	defer every.Stop()
	for n := range count {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		s, err := source.next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		s.sort(look.order, look.reverse)
		lines, _ := s.render(&look)
		if n > 0 {
			lines = append([]string{""}, lines...)
		}
		if _, err := io.WriteString(a.out, strings.Join(lines, "\n")+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// A topSource takes samples of a router.
type topSource struct {
	dir, name string
	interval  time.Duration
	last      *topSample
}

// next takes a sample, with the rates since the one before.
func (t *topSource) next(ctx context.Context) (*topSample, error) {
	c, err := connect(t.dir, t.name, statusTimeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })() // the end does not wait for an answer
	d, err := c.Get()
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", t.name, err)
	}
	s := sampleOf(d, time.Now())
	if t.last != nil {
		s.since(t.last)
	}
	t.last = s
	return s, nil
}
