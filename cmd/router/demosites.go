// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
)

// A demonstration is two routers, connected by WireGuard over loopback.
type demonstration struct {
	a, b *site
}

// A site is one router of the demonstration.
type site struct {
	*engine.Engine
	key    config.Key
	inner  netip.Addr // its address inside the tunnel
	cancel context.CancelFunc
	ended  chan error
}

// startDemo starts both routers. B knows where A is; A learns where B is from
// its first packet.
func startDemo(ctx context.Context) (*demonstration, error) {
	a, errA := newSite("10.7.0.1")
	b, errB := newSite("10.7.0.2")
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	if err := a.start(ctx, b, 0); err != nil {
		return nil, err
	}
	if err := b.start(ctx, a, a.ListenPort()); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	return &demonstration{a: a, b: b}, nil
}

func newSite(inner string) (*site, error) {
	key, err := config.GenerateKey()
	return &site{key: key, inner: netip.MustParseAddr(inner)}, err
}

// start runs the router with one peer, at port of loopback unless it is 0.
func (s *site) start(ctx context.Context, peer *site, port uint16) error {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	cfg := &config.Config{
		Interface: config.Interface{
			PrivateKey: s.key,
			Addresses:  []netip.Prefix{netip.PrefixFrom(s.inner, 24)},
			MTU:        demoMTU,
		},
		Peers: []config.Peer{{
			PublicKey:  peer.key.Public(),
			AllowedIPs: []netip.Prefix{netip.PrefixFrom(peer.inner, 32)},
		}},
		Router: config.Router{Mode: config.ModeNetstack},
	}
	if port != 0 {
		cfg.Peers[0].Endpoint = config.Endpoint{Host: loopback.String(), Port: port}
	}
	e, err := engine.New(cfg, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}})
	if err != nil {
		return err
	}
	s.Engine = e
	s.ended = make(chan error, 1)
	ctx, s.cancel = context.WithCancel(ctx)
	go func() { s.ended <- e.Run(ctx) }()
	return nil
}

// stop ends the router and waits for it.
func (s *site) stop() error {
	s.cancel()
	return <-s.ended
}

func (s *site) describe() (string, error) {
	return fmt.Sprintf("%s inside, UDP 127.0.0.1:%d outside, key %s", s.inner, s.ListenPort(), s.key.Public()), nil
}

func (d *demonstration) close() error { return errors.Join(d.b.stop(), d.a.stop()) }
