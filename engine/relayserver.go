// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/disco"
	"github.com/tunrouter/tunrouter/peers/relay"
)

// A relayServer is the relay of this router, while the configuration asks for one.
type relayServer struct {
	log *slog.Logger

	mu      sync.Mutex
	private peers.Key
	config  config.RelayServer
	sockets socketSettings
	server  *relay.Server // nil: none
	cancel  context.CancelFunc
	ended   chan struct{}
}

func newRelayServer(log *slog.Logger) *relayServer { return &relayServer{log: log} }

// update makes it run as the section says; nil: not at all. A new list of keys leaves
// the sessions of those that stay alone, everything else starts it anew.
func (r *relayServer) update(private peers.Key, section *config.RelayServer, allowed []disco.Key, sockets socketSettings) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if section == nil {
		return r.closeLocked()
	}
	if r.server != nil && r.private == private && r.config.SameButKeys(section) && r.sockets == sockets {
		r.server.SetAllowed(allowed)
		return nil
	}
	if err := r.closeLocked(); err != nil {
		return err
	}
	server, err := newRelay(private, section, allowed, sockets, r.log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Run(ctx); err != nil {
			r.log.Error("the relay has ended", "err", err)
		}
	}()
	r.private, r.config, r.sockets = private, *section, sockets
	r.server, r.cancel, r.ended = server, cancel, ended
	return nil
}

// newRelay opens the relay that a section describes.
func newRelay(private peers.Key, section *config.RelayServer, allowed []disco.Key, sockets socketSettings, log *slog.Logger) (*relay.Server, error) {
	server, err := relay.New(&relay.Options{
		Identity:             disco.NewIdentity(private),
		Allowed:              allowed,
		Port:                 section.ListenPort,
		Sockets:              sockets.count,
		Socket:               sockets.options,
		MaxSessions:          section.MaxSessions,
		MaxSessionsPerClient: section.MaxSessionsPerClient,
		MaxRate:              int(section.MaxRate),
		Logger:               log,
	})
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("[RelayServer] ListenPort %d is in use by another program: choose another one, or end the other (ss -lunp 'sport = :%d' shows it): %w",
			section.ListenPort, section.ListenPort, err)
	case err != nil:
		return nil, fmt.Errorf("open the relay: %w", err)
	}
	return server, nil
}

// updateRelayLocked brings the relay of this router to what cfg says.
func (e *Engine) updateRelayLocked(cfg *config.Config) error {
	sockets := e.socketSettings(&cfg.Router)
	sockets.options.Mark = e.mark // what it forwards does not go through the tunnel
	return e.serving.update(e.private, cfg.RelayServer, e.clientsLocked(cfg), sockets)
}

// clientsLocked returns who may use the relay of this router. The peers are those that the
// device has now, whoever told it of them.
func (e *Engine) clientsLocked(cfg *config.Config) []disco.Key {
	s := cfg.RelayServer
	if s == nil {
		return nil
	}
	keys := discoKeys(s.Keys)
	if s.AllowPeers {
		for key := range e.known {
			keys = append(keys, key)
		}
	}
	return keys
}

func discoKeys(keys []config.Key) []disco.Key {
	out := make([]disco.Key, len(keys))
	for i, k := range keys {
		out[i] = disco.Key(k)
	}
	return out
}

// allow says who may use the relay, if there is one.
func (r *relayServer) allow(clients []disco.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server != nil {
		r.server.SetAllowed(clients)
	}
}

func (r *relayServer) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closeLocked()
}

func (r *relayServer) closeLocked() error {
	if r.server == nil {
		return nil
	}
	r.cancel()
	err := r.server.Close()
	<-r.ended
	r.server = nil
	return err
}

// stats returns the counters, nil while there is no relay.
func (r *relayServer) stats() *relay.Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server == nil {
		return nil
	}
	s := r.server.Stats()
	return &s
}
