// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
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

// client talks to a router over its socket.
func client(t *testing.T, socket string) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func get(t *testing.T, c *http.Client, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// TestObserver: metrics, health and status of a running router, and what a reload
// makes of them.
func TestObserver(t *testing.T) {
	testutil.LeakCheck(t)
	dir := t.TempDir()
	socket, tokenFile := filepath.Join(dir, "http"), filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte("correct-horse-battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	a.cfg.Peers[0].PersistentKeepalive = 25
	a.cfg.Router.Metrics.Listen = "unix:" + socket
	e, err := engine.New(a.cfg, &engine.Options{
		NoControl: true, Version: "1.2.3",
		Describe: func(name string, d *uapi.Device) any { return map[string]int{name: len(d.Peers)} },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Engine = e
	t.Cleanup(func() { e.Close() })
	c := client(t, socket)
	b.echo(":7")
	roundTrip(t, a.dial(b.inner.String()+":7"), "something to count")

	if code, text := get(t, c, "/healthz", ""); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, text)
	}
	testutil.Eventually(t, patience, "ready", func() error {
		if code, text := get(t, c, "/readyz", ""); code != http.StatusOK {
			return &http.ProtocolError{ErrorString: text}
		}
		return nil
	})
	code, text := get(t, c, "/metrics", "")
	key := b.key.Public().String()
	for _, want := range []string{
		`wireguard_peer_receive_bytes_total{device="test1",public_key="` + key + `"`,
		"router_build_info{", "1.2.3",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics: %d, no %s in\n%s", code, want, text)
		}
	}
	if code, text := get(t, c, "/api/v1/status", ""); code != http.StatusOK || strings.TrimSpace(text) != `{"test1":1}` {
		t.Errorf("status: %d %s", code, text)
	}
	var page struct{ Interface, Mode string }
	if code, text := get(t, c, "/api/v1/page", ""); code != http.StatusOK {
		t.Errorf("page: %d %s", code, text)
	} else if err := json.Unmarshal([]byte(text), &page); err != nil {
		t.Errorf("page: %v in %s", err, text)
	}
	for _, secret := range []string{a.key.String(), b.key.String()} {
		if _, text := get(t, c, "/api/v1/page", ""); strings.Contains(text, secret) {
			t.Error("the page shows a private key")
		}
	}

	with := *a.cfg
	with.Router.Metrics.TokenFile = tokenFile
	if err := a.Reload(&with); err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	if code, _ := get(t, c, "/metrics", ""); code != http.StatusUnauthorized {
		t.Errorf("without the token: %d, want %d", code, http.StatusUnauthorized)
	}
	if code, _ := get(t, c, "/metrics", "correct-horse-battery"); code != http.StatusOK {
		t.Errorf("with the token: %d", code)
	}
	without := with
	without.Router.Metrics = config.Metrics{}
	if err := a.Reload(&without); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("after it was taken out of the configuration, the socket: %v", err)
	}
}

// A Metrics address that is taken, or a token that cannot be read, stops the start.
func TestObserverMistakes(t *testing.T) {
	testutil.LeakCheck(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for want, m := range map[string]config.Metrics{
		"in use":       {Listen: l.Addr().String()},
		"MetricsToken": {Listen: "127.0.0.1:0", TokenFile: filepath.Join(t.TempDir(), "none")},
	} {
		a := newSite(t, 1)
		a.cfg.Router.Metrics = m
		e, err := engine.New(a.cfg, &engine.Options{NoControl: true})
		if err == nil {
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", m, err, want)
		}
	}
}

// The levels of the log change while the router runs.
func TestAskLog(t *testing.T) {
	levels := roomlog.New(roomlog.Setting{Level: slog.LevelInfo})
	a := newSite(t, 1)
	e, err := engine.New(a.cfg, &engine.Options{NoControl: true, Logger: slog.New(roomlog.Handler(slog.DiscardHandler, levels))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	text, err := engine.Ask(e, "log", []uapi.KeyValue{{Key: "level", Value: "peers=debug"}})
	if err != nil || !strings.Contains(string(text), "peers=debug") {
		t.Errorf("log: %s, %v", text, err)
	}
	if _, err := engine.Ask(e, "log", []uapi.KeyValue{{Key: "level", Value: "kitchen=debug"}}); err == nil {
		t.Error("a room that there is not was taken")
	}
}
