// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// askTimeout is how long a router has for the answer to a question. A ping takes 5 s
// when something is silent.
const askTimeout = 15 * time.Second

// minInterval is the shortest time between pings, as in ping(8); a router answers 20 a
// second, and each ping goes over all paths.
const minInterval = 200 * time.Millisecond

// A pingOptions has the flags of "router ping".
type pingOptions struct {
	count    int
	interval time.Duration
	dir      string
}

func (a *app) pingCommand() *cobra.Command {
	o := new(pingOptions)
	cmd := &cobra.Command{
		Use:   "ping [NAME] PEER",
		Short: "Ask over which paths a peer answers",
		Long: `Send a ping to a peer over every path that may lead to it, direct or over relays,
and print which ones answer, and how fast. It is the peer's router that answers;
nothing passes through the tunnel. Peers that are not routers of this kind do not
answer, nor do those that have no handshake with this router yet.

PEER is the name of a peer, its public key or the beginning of that. NAME is the
interface, or the path of a control socket; it may be left out when one router is
running.

The exit code is 0 if any ping was answered, otherwise 1.`,
		Example: `  router ping xTIBA5rb
  router ping -c 10 -i 500ms wg0 xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=`,
		Args: argCount(1, 2, "a PEER, and a NAME before it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.count < 0:
				return usagef(cmd, "--count must not be below zero")
			case o.interval < minInterval:
				return usagef(cmd, "--interval must be at least %s", minInterval)
			}
			return a.ping(cmd, args, o)
		},
		ValidArgsFunction: completePeer(&o.dir),
	}
	f := cmd.Flags()
	f.IntVarP(&o.count, "count", "c", 3, "how many times to ask; 0 is until interrupted")
	f.DurationVarP(&o.interval, "interval", "i", time.Second, "time between two pings")
	socketDirFlag(cmd, &o.dir)
	return cmd
}

func (a *app) ping(cmd *cobra.Command, args []string, o *pingOptions) error {
	ctx, stop := withSignals(cmd.Context())
	defer stop()
	name, err := a.oneRouter(o.dir, args[:len(args)-1])
	if err != nil {
		return err
	}
	key, err := findPeer(cmd, o.dir, name, args[len(args)-1])
	if err != nil {
		return err
	}
	c, err := connect(o.dir, name, askTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })() // ^C does not wait for an answer
	p := &pinger{a: a, c: c, key: key}
	every := time.NewTicker(o.interval)
	defer every.Stop()
	for n := 0; o.count == 0 || n < o.count; n++ {
		if n > 0 {
			select {
			case <-ctx.Done():
			case <-every.C:
			}
		}
		if ctx.Err() != nil {
			break
		}
		if err := p.once(); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return p.verdict()
}

// A pinger asks for pings of one peer and keeps what came of them.
type pinger struct {
	a        *app
	c        *uapi.Client
	key      config.Key
	answered int
	router   string // what was said last
}

// once asks for one ping over all paths and prints what answered.
func (p *pinger) once() error {
	if err := p.c.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return err
	}
	var r path.PingResult
	if err := askFor(p.c, "ping", &r, uapi.KeyValue{Key: "peer", Value: p.key.String()}); err != nil {
		return err
	}
	p.router = r.Router
	var b strings.Builder
	answers := 0
	for i := range r.Replies {
		reply := &r.Replies[i]
		if !reply.Answered {
			continue
		}
		answers++
		fmt.Fprintf(&b, "pong from %s via %s in %s", shortKey(path.Key(p.key)), describePath(reply.Path, reply.RelayName), millis(reply.Latency))
		if reply.InUse {
			b.WriteString(", in use")
		}
		b.WriteByte('\n')
	}
	p.answered += answers
	if answers == 0 {
		fmt.Fprintf(&b, "no answer from %s: %s\n", shortKey(path.Key(p.key)), silence(&r))
	}
	_, err := fmt.Fprint(p.a.out, b.String())
	return err
}

// silence says what was tried in vain.
func silence(r *path.PingResult) string {
	switch n := len(r.Replies); {
	case r.Router == "no":
		return "it is not a router, or its discovery is off"
	case n == 0:
		return "no path is known; it needs an Endpoint, or has to speak first"
	case n == 1:
		return "asked over " + describePath(r.Replies[0].Path, r.Replies[0].RelayName)
	default:
		return fmt.Sprintf("asked over %d paths", n)
	}
}

// verdict is the error of a peer that never answered.
func (p *pinger) verdict() error {
	if p.answered > 0 {
		return nil
	}
	e := &exitError{code: exitRuntime, err: fmt.Errorf("%s did not answer", shortKey(path.Key(p.key)))}
	switch p.router {
	case "no":
		e.hint = "it is a plain WireGuard peer, or its discovery is off; ping its address in the tunnel instead"
	case "unknown":
		e.hint = "it may be a plain WireGuard peer: those never answer"
	}
	return e
}

// askFor asks a question and decodes the answer into v.
func askFor(c *uapi.Client, name string, v any, args ...uapi.KeyValue) error {
	answer, err := c.Ask(name, args...)
	if errors.Is(err, errors.ErrUnsupported) {
		return &exitError{code: exitRuntime, err: err, hint: "it is another program, or an older version of this one"}
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("ask %s: read the answer: %w", name, err)
	}
	return nil
}
