// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// TestPeerNames: what people call a peer is in the status, what is not ready and the
// metrics, under the names of both exporters, and follows a reload.
func TestPeerNames(t *testing.T) {
	testutil.LeakCheck(t)
	socket := filepath.Join(t.TempDir(), "http")
	a, b := newSite(t, 1), newSite(t, 2)
	b.start()
	a.knows(b)
	a.cfg.Peers[0].Name, a.cfg.Peers[0].PersistentKeepalive = `Head "office" = 2`, 25
	a.cfg.Router.Metrics = config.Metrics{Listen: "unix:" + socket, MindFlavor: true}
	a.start()
	c := client(t, socket)
	named := func(want string) {
		t.Helper()
		d, err := a.Status()
		if err != nil {
			t.Fatal(err)
		}
		if got := engine.NameOf(&d.Peers[0]); got != want {
			t.Errorf("called %q, want %q", got, want)
		}
	}
	named(`Head "office" = 2`)
	_, text := get(t, c, "/metrics", "")
	key := b.key.Public().String()
	for _, want := range []string{
		`wireguard_peer_info{device="test1",public_key="` + key + `",endpoint="127.0.0.1:`, `,name="Head \"office\" = 2"} 1`,
		`wireguard_received_bytes_total{interface="test1",public_key="` + key + `",allowed_ips="10.9.0.2/32,fd00::2/128",friendly_name="Head \"office\" = 2"} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if code, text := get(t, c, "/readyz", ""); code == 503 && !strings.Contains(text, `"name":"Head \"office\" = 2"`) {
		t.Errorf("readyz: %s", text)
	}

	next := *a.cfg
	next.Peers = append([]config.Peer{}, a.cfg.Peers...)
	next.Peers[0].Name, next.Router.Metrics.MindFlavor = "branch", false
	if err := a.Reload(&next); err != nil {
		t.Fatal(err)
	}
	c.CloseIdleConnections()
	named("branch")
	if _, text := get(t, c, "/metrics", ""); !strings.Contains(text, `,name="branch"} 1`) || strings.Contains(text, "wireguard_received_bytes_total") {
		t.Errorf("after the reload:\n%s", text)
	}
}

// TestNameOfForeign: a control socket that is not a router's cannot make a terminal do
// things.
func TestNameOfForeign(t *testing.T) {
	for _, value := range []string{`"\u001b[2J"`, `"a`, `7`, ""} {
		p := &uapi.Peer{Extra: []uapi.KeyValue{{Key: "tunrouter_name", Value: value}}}
		if got := engine.NameOf(p); got != "" {
			t.Errorf("%s: called %q", value, got)
		}
	}
}
