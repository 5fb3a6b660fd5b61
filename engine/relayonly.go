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
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/relay"
	"github.com/tunrouter/tunrouter/uapi"
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
	// Reload has changed configurations, of which AllowedKeys and the keys about metrics
	// apply; one that differs in more of what a relay uses is logged and changes nothing.
	// Nil has none.
	Reload <-chan *config.Config
	// Load reads the configuration again, for a reload asked for over the control
	// socket. Nil means such a reload is refused.
	Load func() (*config.Config, error)

	// ControlDir is the folder of the control socket, NAME.sock, of a configuration that
	// has a name and no ControlSocket; "" means none. Where it cannot be made the relay
	// runs without.
	ControlDir string

	// Version and Describe are as in [Options].
	Version  string
	Describe func(name string, d *uapi.Device) any
}

// RunRelay runs what [RelayServer] of the configuration asks for, and of the rest only
// what shows it: metrics, the status page, the control socket. There is no tunnel, and
// no privilege is needed unless there is an FwMark. It returns nil when ctx ends or the
// control socket is deleted.
func RunRelay(ctx context.Context, cfg *config.Config, o *RelayOptions) (err error) {
	if o == nil {
		o = &RelayOptions{}
	}
	switch {
	case cfg.RelayServer == nil:
		return errors.New("relay: no [RelayServer] in the configuration")
	case cfg.Interface.PrivateKey.IsZero():
		return errors.New("relay: no PrivateKey in [Interface]")
	}
	r := &relayOnly{opts: *o, cfg: cfg, name: cfg.Name, started: time.Now()}
	if r.opts.Logger == nil {
		r.opts.Logger = slog.New(slog.DiscardHandler)
	}
	r.log = roomlog.For(r.opts.Logger, roomlog.Relay)
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error {
		defer cancel() // it may end by itself
		return r.server.Run(ctx)
	})
	if r.control != nil {
		g.Go(func() error {
			defer cancel()
			return r.serveControl(ctx)
		})
	}
	g.Go(func() error { return r.dropReport().run(ctx) })
	if o.Ready != nil {
		o.Ready(r.server.Addrs())
	}
	r.followReloads(ctx)
	return g.Wait()
}

// A relayOnly is a relay without a router around it.
type relayOnly struct {
	// Immutable after open.
	opts    RelayOptions
	log     *slog.Logger
	name    string // "" for a configuration without one
	started time.Time
	server  *relay.Server
	control *uapi.Server // nil: none

	observer observer

	mu  sync.Mutex // serialises changes and guards the field below
	cfg *config.Config
}

// open opens all sockets. What it opened is closed by close, also after an error.
func (r *relayOnly) open() (err error) {
	cfg := r.cfg
	if cfg.Router.XDP.On {
		r.log.Warn("XDP in [Router] is left out: a relay uses the kernel's sockets")
	}
	sockets := (&Engine{log: r.log}).socketSettings(&cfg.Router)
	sockets.options.Mark = cfg.Interface.FwMark
	if r.server, err = newRelay(peers.Key(cfg.Interface.PrivateKey), cfg.RelayServer, discoKeys(cfg.Allowed()), sockets, r.log); err != nil {
		return err
	}
	if err := r.openControl(); err != nil {
		return err
	}
	return r.observer.update(&cfg.Router.Metrics, r, r.opts.Logger, r.opts.Version)
}

func (r *relayOnly) close() error {
	var errs error
	if r.control != nil {
		errs = r.control.Close()
	}
	errs = errors.Join(errs, r.observer.close())
	if r.server != nil {
		errs = errors.Join(errs, r.server.Close())
	}
	return errs
}

// followReloads applies changed configurations until ctx ends.
func (r *relayOnly) followReloads(ctx context.Context) {
	from := r.opts.Reload
	for {
		select {
		case <-ctx.Done():
			return
		case next, ok := <-from:
			if !ok {
				from = nil
				continue
			}
			if err := r.reload(next); err != nil {
				r.log.Error("configuration not reloaded", "err", err)
			}
		}
	}
}

// reload makes the relay run by next.
func (r *relayOnly) reload(next *config.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := relayFixed(r.cfg, next); err != nil {
		return err
	}
	if err := r.observer.update(&next.Router.Metrics, r, r.opts.Logger, r.opts.Version); err != nil {
		return err
	}
	r.server.SetAllowed(discoKeys(next.Allowed()))
	r.cfg = next
	r.log.Info("configuration reloaded")
	return nil
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
		ControlSocket: r.ControlSocket,
	}.Names()...)
	if len(names) > 0 {
		return fmt.Errorf("%s cannot change while the relay runs; restart it, nothing was applied", strings.Join(names, ", "))
	}
	return nil
}
