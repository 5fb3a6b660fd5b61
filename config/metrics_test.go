// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

func TestDiffMetrics(t *testing.T) {
	for name, change := range map[string]func(*config.Metrics){
		"listen": func(m *config.Metrics) { m.Listen = "" },
		"token":  func(m *config.Metrics) { m.Token = "" },
		"file":   func(m *config.Metrics) { m.TokenFile = "/a" },
		"peers":  func(m *config.Metrics) { m.Peers = 0 },
		"names":  func(m *config.Metrics) { m.MindFlavor = false },
	} {
		before, after := mustParse(t, readFile(t, "testdata/all.conf")), mustParse(t, readFile(t, "testdata/all.conf"))
		change(&after.Router.Metrics)
		if c := config.Diff(before, after); !c.Metrics || c.Empty() || len(c.Router.Names()) > 0 {
			t.Errorf("%s: Metrics %v, Empty %v, Router %v", name, c.Metrics, c.Empty(), c.Router.Names())
		}
	}
}

// TestMetricsTokenHidden: neither mistakes nor logs have the token.
func TestMetricsTokenHidden(t *testing.T) {
	const token = "correct-horse-battery"
	c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\n[Router]\nMetricsToken = "+token)
	if c.Router.Metrics.Token != token {
		t.Fatal("the token is another one")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", c.Router, c.Router, c.Router, c.Router.Metrics.Token); strings.Contains(text, "horse") {
		t.Errorf("printed: %s", text)
	}
	for _, p := range problems(t, "[Interface]\nPrivateKey = "+testPrivate+"\n[Router]\nMetricsToken = "+token+"!\nMetricsToken = horse\nMetricsTokn = "+token) {
		if strings.Contains(p.String(), "horse") {
			t.Errorf("repeated: %s", p)
		}
	}
}
