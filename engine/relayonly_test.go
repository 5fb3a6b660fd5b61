// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// A lonelyRelay is a relay alone, with everything that shows it.
type lonelyRelay struct {
	cfg          *config.Config
	control, web string // sockets
	stop         context.CancelFunc
	ended        chan error
}

func startLonelyRelay(t *testing.T, load func() (*config.Config, error), clients ...*site) *lonelyRelay {
	t.Helper()
	dir := t.TempDir()
	r := &lonelyRelay{control: filepath.Join(dir, "relay.sock"), web: filepath.Join(dir, "http"), ended: make(chan error, 1)}
	r.cfg = &config.Config{
		Name:        "relay",
		Interface:   config.Interface{PrivateKey: newKey(t)},
		RelayServer: &config.RelayServer{ListenPort: freeUDPPort(t)},
		Router:      config.Router{Metrics: config.Metrics{Listen: "unix:" + r.web}},
	}
	for _, c := range clients {
		r.cfg.RelayServer.Keys = append(r.cfg.RelayServer.Keys, c.key.Public())
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	r.stop = cancel
	go func() {
		r.ended <- engine.RunRelay(ctx, r.cfg, &engine.RelayOptions{
			Ready: func([]netip.AddrPort) { close(ready) }, Load: load, ControlDir: dir, Version: "1.2.3",
			Logger:   slog.New(roomlog.Handler(slog.DiscardHandler, new(roomlog.Levels))),
			Describe: func(name string, d *uapi.Device) any { return map[string]uint16{name: d.ListenPort} },
		})
	}()
	t.Cleanup(cancel)
	select {
	case <-ready:
	case err := <-r.ended:
		t.Fatalf("RunRelay: %v", err)
	}
	return r
}

func (r *lonelyRelay) end(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("RunRelay: %v", err)
	}
	for _, socket := range []string{r.control, r.web} {
		if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", socket, err)
		}
	}
}

// TestRelayShown: a relay alone that forwards shows it over HTTP and its control socket,
// a reload over the socket changes who may use it and what is shown.
func TestRelayShown(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := newSite(t, 1), newSite(t, 2)
	var next *config.Config
	r := startLonelyRelay(t, func() (*config.Config, error) { return next, nil }, a, b)
	section := config.Relay{PublicKey: r.cfg.Interface.PrivateKey.Public(), Endpoint: config.Endpoint{Host: loopback.String(), Port: r.cfg.RelayServer.ListenPort}}
	a.cfg.Relays, b.cfg.Relays = []config.Relay{section}, []config.Relay{section}
	a.knows(b)
	b.knows(a)
	a.start()
	b.start()
	a.run()
	b.run()
	b.echo(":7")
	roundTrip(t, a.dial(b.inner.String()+":7"), "over the relay")

	c := client(t, r.web)
	for _, path := range []string{"/healthz", "/readyz", "/"} {
		if code, text := get(t, c, path, ""); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	_, text := get(t, c, "/metrics", "")
	for _, want := range []string{
		`router_relay_sessions{device="relay",state="bound"} 1`, `router_relay_registrations{device="relay"} 2`,
		`router_listen_port{device="relay"} `, `wireguard_device_info{device="relay",public_key="` + section.PublicKey.String(),
		`router_socket_receive_packets_total{device="relay",use="relay",`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, r.cfg.Interface.PrivateKey.String()) {
		t.Error("the metrics have the private key")
	}
	var status map[string]uint16
	if _, text := get(t, c, "/api/v1/status", ""); json.Unmarshal([]byte(text), &status) != nil || status["relay"] != r.cfg.RelayServer.ListenPort {
		t.Errorf("status: %s", text)
	}
	testutil.Eventually(t, patience, "the page shows what was forwarded", func() error {
		var page struct {
			Mode  string
			Relay struct{ Packets, Bound, Clients int } `json:"relay_server"`
		}
		_, text := get(t, c, "/api/v1/page", "")
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			return err
		}
		if page.Mode != "relay" || page.Relay.Packets == 0 || page.Relay.Bound != 1 || page.Relay.Clients != 2 {
			return errors.New(text)
		}
		return nil
	})

	u, err := uapi.Dial(r.control)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	d, err := u.Get()
	if err != nil {
		t.Fatal(err)
	}
	if info := engine.RelayOf(d); info == nil || info.Bound != 1 || info.Frames == 0 || len(d.Peers) != 0 || d.ListenPort != r.cfg.RelayServer.ListenPort {
		t.Errorf("status over the control socket: %+v, relay %+v", d, info)
	}
	if text, err := u.Ask("log", uapi.KeyValue{Key: "level", Value: "relay=debug"}); err != nil || !strings.Contains(string(text), "relay=debug") {
		t.Errorf("log: %s, %v", text, err)
	}
	var failed *uapi.Error
	if _, err := u.Ask("netcheck"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("netcheck: %v", err)
	}
	port := uint16(1)
	if err := u.Set(&uapi.SetRequest{ListenPort: &port}); !errors.As(err, &failed) || failed.Errno != uapi.ErrnoUnsupported {
		t.Errorf("set: %v", err)
	}

	changed := *r.cfg
	server := *r.cfg.RelayServer
	server.Keys = server.Keys[:1]
	changed.RelayServer, changed.Router.Metrics = &server, config.Metrics{}
	next = &changed
	if err := u.Reload(); err != nil {
		t.Fatal(err)
	}
	if d, err := u.Get(); err != nil || engine.RelayOf(d).Clients != 1 || engine.RelayOf(d).Bound != 0 {
		t.Errorf("after the reload: %v, %+v", err, engine.RelayOf(d))
	}
	if _, err := os.Stat(r.web); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("metrics are still served: %v", err)
	}
	moved := changed
	moved.Router.ControlSocket = "/elsewhere"
	next = &moved
	if err := u.Reload(); err == nil || !strings.Contains(err.Error(), "ControlSocket") {
		t.Errorf("another control socket: %v", err)
	}
	r.end(t)
}

// TestRelayControlDeleted: deleting the control socket ends a relay as it ends a router.
func TestRelayControlDeleted(t *testing.T) {
	testutil.LeakCheck(t)
	r := startLonelyRelay(t, nil)
	u, err := uapi.Dial(r.control)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if err := u.Reload(); err == nil {
		t.Error("reloaded without a file")
	}
	if err := os.Remove(r.control); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("RunRelay: %v", err)
	}
}

// TestRelayControlMistakes: a control socket that was asked for has to work, the usual
// one need not.
func TestRelayControlMistakes(t *testing.T) {
	testutil.LeakCheck(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ socket, want string }{
		{filepath.Join(file, "relay.sock"), "control socket"},
		{"", ""},
		{config.ControlSocketOff, ""},
	} {
		cfg := &config.Config{
			Name: "relay", Interface: config.Interface{PrivateKey: newKey(t)},
			RelayServer: &config.RelayServer{ListenPort: freeUDPPort(t)},
			Router:      config.Router{ControlSocket: tt.socket},
		}
		ctx, cancel := context.WithCancel(context.Background())
		err := engine.RunRelay(ctx, cfg, &engine.RelayOptions{ControlDir: file, Ready: func([]netip.AddrPort) { cancel() }})
		cancel()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("ControlSocket %q: %v, want %q", tt.socket, err, tt.want)
		}
	}
}

// TestRelayLeavesXDPOut: what a relay alone does not do is said.
func TestRelayLeavesXDPOut(t *testing.T) {
	testutil.LeakCheck(t)
	for _, x := range []config.XDP{{}, {On: true}} {
		cfg := &config.Config{
			Interface: config.Interface{PrivateKey: newKey(t)}, RelayServer: &config.RelayServer{ListenPort: freeUDPPort(t)},
			Router: config.Router{XDP: x},
		}
		var log bytes.Buffer // read when the relay has ended
		ctx, cancel := context.WithCancel(context.Background())
		err := engine.RunRelay(ctx, cfg, &engine.RelayOptions{
			Logger: slog.New(slog.NewTextHandler(&log, nil)), Ready: func([]netip.AddrPort) { cancel() },
		})
		cancel()
		if err != nil {
			t.Error(err)
		}
		if got := strings.Contains(log.String(), "XDP in [Router] is left out"); got != x.On {
			t.Errorf("XDP = %s: the log says\n%s", x, &log)
		}
	}
}
