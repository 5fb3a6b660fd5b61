// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "mtu", 3},
		{"mtu", "", 3},
		{"mtu", "mtu", 0},
		{"mtu", "mut", 1},
		{"mtu", "mt", 1},
		{"mtu", "mtuu", 1},
		{"mtu", "mtx", 1},
		{"ca", "abc", 3}, // no byte is edited twice
		{"kitten", "sitting", 3},
		{"endpiont", "endpoint", 1},
	}
	for _, tt := range tests {
		if got := config.EditDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("EditDistance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := config.EditDistance(tt.b, tt.a); got != tt.want {
			t.Errorf("EditDistance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"}
	tests := map[string]string{
		"publickey":    "PublicKey",
		"PubliKey":     "PublicKey",
		"PreSharedKye": "PresharedKey",
		"AllowedIP":    "AllowedIPs",
		"Allowed":      "AllowedIPs",
		"Keepalive":    "PersistentKeepalive",
		"IP":           "",
		"x":            "",
		"":             "",
		"Frobnicate":   "",
	}
	for word, want := range tests {
		if got := config.Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		text string
		want uint64
		back string
	}{
		{"4096", 4096, "4K"},
		{"4097", 4097, "4097"},
		{"5k", 5120, "5K"},
		{"1024K", 1 << 20, "1M"},
		{"7M", 7 << 20, "7M"},
	}
	for _, tt := range tests {
		got, ok := config.ParseSize(tt.text)
		if !ok || got != tt.want {
			t.Errorf("ParseSize(%q) = %d, %t, want %d", tt.text, got, ok, tt.want)
		}
		if back := config.FormatSize(int(got)); back != tt.back {
			t.Errorf("FormatSize(%d) = %q, want %q", got, back, tt.back)
		}
	}
	for _, text := range []string{"", "K", "1G", "1KB", "-1", "0x10", "99999999999", "1 K"} {
		if got, ok := config.ParseSize(text); ok {
			t.Errorf("ParseSize(%q) = %d, want failure", text, got)
		}
	}
}
