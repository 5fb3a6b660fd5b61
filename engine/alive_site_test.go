// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// A router is ready while the addresses of CheckAlive answer through the tunnel, and
// they can be changed while it runs.
func TestCheckAliveReadiness(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	socket := filepath.Join(t.TempDir(), "http")
	a.cfg.Router.Metrics.Listen = "unix:" + socket
	a.cfg.Interface.CheckAlive, a.cfg.Interface.CheckAliveInterval = []netip.Addr{b.inner, b.inner6}, 1
	a.start()
	c := client(t, socket)
	becomes := func(code int, texts ...string) {
		t.Helper()
		testutil.Eventually(t, patience, strings.Join(texts, " and "), func() error {
			got, text := get(t, c, "/readyz", "")
			for _, want := range texts {
				if !strings.Contains(text, want) {
					return errors.New(text)
				}
			}
			if got != code {
				return errors.New(text)
			}
			return nil
		})
	}
	becomes(http.StatusOK, `"ready":true`)
	b.Close()
	becomes(http.StatusServiceUnavailable, b.inner.String(), b.inner6.String(), "last answer to a ping")
	without := *a.cfg
	without.Interface.CheckAlive = nil
	if err := a.Reload(&without); err != nil {
		t.Fatal(err)
	}
	becomes(http.StatusOK, `"ready":true`)
}
