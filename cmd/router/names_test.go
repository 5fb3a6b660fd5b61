// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import "testing"

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"status", "status", 0},
		{"stauts", "status", 1}, {"statu", "status", 1}, {"sttaus", "status", 1}, {"statsu", "status", 1},
		{"stats", "status", 1}, {"sta", "status", 3}, {"ca", "abc", 3}, {"wg0", "up", 3},
	}
	for _, tt := range tests {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance of %q and %q is %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := distance(tt.b, tt.a); got != tt.want {
			t.Errorf("distance of %q and %q is %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}

// TestInterfaceNames: names that people give to tunnels are not taken for
// mistyped commands, because wg-quick calls "router NAME" for each of them.
func TestInterfaceNames(t *testing.T) {
	a := &app{args: []string{"router"}}
	root := a.rootCommand()
	root.InitDefaultHelpCmd() // as when it is executed
	for _, name := range []string{
		"wg0", "wg1", "wg-lab", "us", "uk", "pp", "tun0", "vpn", "home", "work", "office", "dev", "prod", "mullvad-se1",
		"proton0", "azirevpn", "site2site", "hub", "spoke1", "test", "de-ber", "utun9", "wg%d", "router", "server", "client", "peer1",
	} {
		if got := resembling(root, name); got != "" {
			t.Errorf("interface name %q is taken for command %q", name, got)
		}
	}
	for mistyped, want := range map[string]string{
		"stauts": "status", "statuss": "status", "stat": "status", "chekc": "check", "chck": "check", "relod": "reload", "reolad": "reload",
		"genky": "genkey", "pubky": "pubkey", "verison": "version", "demoo": "demo", "hlep": "help", "completoin": "completion",
	} {
		if got := resembling(root, mistyped); got != want {
			t.Errorf("%q is taken for %q, want %q", mistyped, got, want)
		}
	}
}
