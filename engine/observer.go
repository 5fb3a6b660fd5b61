// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/metrics/web"
	"github.com/tunrouter/tunrouter/uapi"
)

// freshHandshake is how old the last handshake of a peer may be that is kept alive: the
// device makes a new one after two minutes, and gives an old one up after three
// (WireGuard whitepaper, section 6.1).
const freshHandshake = 3 * time.Minute

// An observer shows the router over HTTP, while the configuration asks for it.
type observer struct {
	mu     sync.Mutex
	config config.Metrics
	token  string
	server *web.Server // nil: none
	cancel context.CancelFunc
	ended  chan struct{}
}

// A subject is what an observer shows: a router, or a relay alone.
type subject interface {
	metrics.Source
	statusQuestion() func() (any, error) // nil: nobody can say
	pageData() (*web.PageData, error)
	notReady() []web.NotReady
}

// updateObserver makes the router be shown as cfg says.
func (e *Engine) updateObserver(cfg *config.Config) error {
	return e.observer.update(&cfg.Router.Metrics, e, e.opts.Logger, e.opts.Version)
}

// update makes it show s as m says. A section that stays keeps its connections.
func (o *observer) update(m *config.Metrics, s subject, log *slog.Logger, version string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.Listen == "" {
		return o.closeLocked()
	}
	token, err := metricsToken(m)
	if err != nil {
		return err
	}
	if o.server != nil && o.config == *m && o.token == token {
		return nil
	}
	if err := o.closeLocked(); err != nil {
		return err
	}
	log = roomlog.For(log, roomlog.Web)
	server, err := web.Listen(&web.Options{
		Listen: m.Listen, Token: token, Logger: log,
		Metrics: registry(s, m, version).Handler(),
		Status:  s.statusQuestion(), Page: s.pageData, Ready: s.notReady,
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("[Router] Metrics %s is in use by another program: choose another port: %w", m.Listen, err)
	}
	if err != nil {
		return fmt.Errorf("open [Router] Metrics: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Run(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
			log.Error("metrics and the status page are not served any more", "err", err)
		}
	}()
	o.config, o.token, o.server, o.cancel, o.ended = *m, token, server, cancel, ended
	return nil
}

// metricsToken returns what clients have to know, "" for nothing.
func metricsToken(m *config.Metrics) (string, error) {
	if m.TokenFile == "" {
		return string(m.Token), nil
	}
	text, err := os.ReadFile(m.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read [Router] MetricsToken: %w", err)
	}
	token := string(bytes.TrimSpace(text))
	if token == "" {
		return "", fmt.Errorf("read [Router] MetricsToken: %s is empty: write a token into it", m.TokenFile)
	}
	return token, nil
}

// registry translates the keys about metrics; of MetricsPeers 0 is all there, and none
// here.
func registry(s metrics.Source, m *config.Metrics, version string) *metrics.Registry {
	limit := m.Peers
	switch limit {
	case 0:
		limit = metrics.AllPeers
	case config.MetricsPeersOff:
		limit = 0
	}
	return metrics.New(s, &metrics.Options{Peers: limit, MindFlavor: m.MindFlavor, GoRuntime: true, Version: version})
}

// statusQuestion returns what /api/v1/status asks; nil if nobody describes devices.
func (e *Engine) statusQuestion() func() (any, error) {
	return describing(e.opts.Describe, e.name, e.Status)
}

// describing returns what describe makes of a status; nil without it.
func describing(describe func(string, *uapi.Device) any, name string, status func() (*uapi.Device, error)) func() (any, error) {
	if describe == nil {
		return nil
	}
	return func() (any, error) {
		d, err := status()
		if err != nil {
			return nil, err
		}
		return describe(name, d), nil
	}
}

// notReady returns the peers that are kept alive and are not alive.
func (e *Engine) notReady() []web.NotReady {
	d, _, err := e.deviceAndParties()
	if err != nil {
		return []web.NotReady{{Reason: "the tunnel device does not answer"}}
	}
	var out []web.NotReady
	for i := range d.Peers {
		p := &d.Peers[i]
		if p.PersistentKeepalive == 0 || time.Since(p.LastHandshake) < freshHandshake {
			continue
		}
		reason := "no handshake yet"
		if !p.LastHandshake.IsZero() {
			reason = fmt.Sprintf("last handshake %v ago", time.Since(p.LastHandshake).Round(time.Second))
		}
		out = append(out, web.NotReady{Peer: keyText(p.PublicKey), Name: NameOf(p), Reason: reason})
	}
	return append(out, e.alive.notReady()...)
}

func (o *observer) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closeLocked()
}

func (o *observer) closeLocked() error {
	if o.server == nil {
		return nil
	}
	o.cancel()
	err := o.server.Close()
	<-o.ended
	o.server = nil
	return err
}
