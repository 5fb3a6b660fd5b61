// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// A host that does not forward is advised to when the configuration counts on it, and
// left alone otherwise.
func TestAdviceToForward(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	lan := []config.FilterRule{{To: config.FilterEnd{Prefixes: []netip.Prefix{prefix("192.168.1.0/24")}}}}
	for _, tt := range []struct {
		name  string
		on    string // net.ipv4.ip_forward
		rules []config.FilterRule
		want  []string
	}{
		{"off", "0", lan, []string{"ip-forward"}},
		{"on", "1", lan, nil},
		{"for nobody", "0", nil, nil},
	} {
		h.ns.Run(func() {
			if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte(tt.on), 0); err != nil {
				t.Fatal(err)
			}
		})
		cfg := h.config("wgt0")
		cfg.Filter.Rules = tt.rules
		e, err := h.new(cfg, true)
		if err != nil {
			t.Fatal(err)
		}
		d, err := e.Status()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range engine.AdviceOf(d) {
			if a.ID == "ip-forward" || a.ID == "ip6-forward" {
				got = append(got, a.ID)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got advice %v, want %v", tt.name, got, tt.want)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
