// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"golang.org/x/sync/errgroup"
)

// RelayOptions are what [RunRelay] takes from its surroundings rather than from the
// configuration. The zero value is ready to use.
type RelayOptions struct {
	// Logger gets state changes, never packets. Nil discards them.
	Logger *slog.Logger
	// Ready is called once the sockets are open, with their addresses. It must not
	// block. Nil is not called.
	Ready func(addrs []netip.AddrPort)
	// Reload has changed configurations, of which AllowedKeys applies; one that differs
	// in more of what a relay uses is logged and changes nothing. Nil has none.
	Reload <-chan *config.Config
}

// RunRelay runs what [RelayServer] of the configuration asks for, and nothing else of it:
// no tunnel, no control socket, no privilege unless there is an FwMark. It returns nil
// when ctx ends.
func RunRelay(ctx context.Context, cfg *config.Config, o *RelayOptions) error {
	if o == nil {
		o = &RelayOptions{}
	}
	log, reload := o.Logger, o.Reload
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.RelayServer == nil:
		return errors.New("relay: no [RelayServer] in the configuration")
	case cfg.Interface.PrivateKey.IsZero():
		return errors.New("relay: no PrivateKey in [Interface]")
	}
	sockets := (&Engine{log: log}).socketSettings(&cfg.Router)
	sockets.options.Mark = cfg.Interface.FwMark
	s, err := newRelay(peers.Key(cfg.Interface.PrivateKey), cfg.RelayServer, discoKeys(cfg.Allowed()), sockets, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error {
		defer cancel() // it may end by itself
		return s.Run(ctx)
	})
	if o.Ready != nil {
		o.Ready(s.Addrs())
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case next, ok := <-reload:
			if !ok {
				reload = nil
				continue
			}
			if err := relayFixed(cfg, next); err != nil {
				log.Error("configuration not reloaded", "err", err)
				continue
			}
			s.SetAllowed(discoKeys(next.Allowed()))
			cfg = next
			log.Info("configuration reloaded")
		}
	}
	return g.Wait()
}

// relayFixed returns an error that names what of next cannot change while the relay runs.
// Keys that mean nothing to a relay may.
func relayFixed(cfg, next *config.Config) error {
	if next.RelayServer == nil {
		return errors.New("[RelayServer] is gone; nothing was applied")
	}
	ch := config.Diff(cfg, next)
	ch.RelayServer.AllowedKeys = false
	r := &ch.Router
	names := ch.RelayServer.Names()
	names = append(names, config.InterfaceChanges{PrivateKey: ch.Interface.PrivateKey, FwMark: ch.Interface.FwMark}.Names()...)
	names = append(names, config.RouterChanges{
		GSO: r.GSO, GRO: r.GRO, GSOSegments: r.GSOSegments, GSOBytes: r.GSOBytes, GSOSentinel: r.GSOSentinel,
		GROSlot: r.GROSlot, FlushTimeout: r.FlushTimeout, ReceiveBuffer: r.ReceiveBuffer, SendBuffer: r.SendBuffer,
	}.Names()...)
	if len(names) > 0 {
		return fmt.Errorf("%s cannot change while the relay runs; restart it, nothing was applied", strings.Join(names, ", "))
	}
	return nil
}
