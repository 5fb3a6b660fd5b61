// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

// TestMistakes parses each file of testdata/mistakes and compares what it says: the
// error, or the warnings of a file that has none.
func TestMistakes(t *testing.T) {
	paths, err := filepath.Glob("testdata/mistakes/*.conf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("Glob = %v, %v", paths, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".conf")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse(bytes.NewReader(data), filepath.Base(path))
			var all []config.Problem
			var e *config.Error
			switch {
			case errors.As(err, &e):
				all = e.Problems
				golden(t, "mistakes/"+name+".error", err.Error()+"\n")
			case err != nil:
				t.Fatal(err)
			default:
				all = c.Warnings
				golden(t, "mistakes/"+name+".warning", lines(all))
			}
			for _, p := range all {
				if p.File == "" || p.Message == "" || p.Hint == "" {
					t.Errorf("%q has no file, message or hint", p)
				}
			}
			if !slices.IsSortedFunc(all, func(a, b config.Problem) int { return a.Line - b.Line }) {
				t.Error("problems are not in the order of lines")
			}
		})
	}
}

func TestProblemString(t *testing.T) {
	full := config.Problem{File: "wg0.conf", Line: 7, Key: "MTU", Message: "wrong", Hint: "write right"}
	tests := []struct {
		name   string
		change func(*config.Problem)
		want   string
	}{
		{"full", func(*config.Problem) {}, "wg0.conf:7: MTU: wrong; write right"},
		{"no file", func(p *config.Problem) { p.File = "" }, "line 7: MTU: wrong; write right"},
		{"no line", func(p *config.Problem) { p.Line = 0 }, "wg0.conf: MTU: wrong; write right"},
		{"no place", func(p *config.Problem) { p.File, p.Line = "", 0 }, "MTU: wrong; write right"},
		{"no key", func(p *config.Problem) { p.Key = "" }, "wg0.conf:7: wrong; write right"},
		{"no hint", func(p *config.Problem) { p.Hint = "" }, "wg0.conf:7: MTU: wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := full
			tt.change(&p)
			if got := p.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestErrorIsShort: a file with a mistake in every line does not flood the terminal,
// but all of them are there for a program.
func TestErrorIsShort(t *testing.T) {
	text := "[Interface]\nPrivateKey = " + testPrivate + "\n" + strings.Repeat("Nonsense = 1\n", 250)
	ps := problems(t, text)
	if len(ps) != 250 {
		t.Fatalf("%d problems, want 250", len(ps))
	}
	out := strings.Split((&config.Error{Problems: ps}).Error(), "\n")
	if len(out) != 101 || out[100] != "and 150 more" {
		t.Errorf("%d lines, the last is %q", len(out), out[len(out)-1])
	}
}

// TestSecretsAreNotRepeated puts a private key wherever a user may put it.
func TestSecretsAreNotRepeated(t *testing.T) {
	places := map[string]string{
		"bad private key":      "[Interface]\nPrivateKey = x%s",
		"key of 45":            "[Interface]\nPrivateKey = %sA",
		"bad preshared key":    "[Peer]\nPresharedKey = %s=",
		"bad public key":       "[Peer]\nPublicKey = %s%s",
		"misspelt key":         "[Interface]\nPrivatKey = %s",
		"misspelt far":         "[Interface]\nSecret = %s",
		"colon instead of =":   "[Interface]\nPrivateKey: %s",
		"space instead of =":   "[Interface]\nPrivateKey %s",
		"nothing but the key":  "[Interface]\n%s",
		"nothing but its end":  "[Interface]\nPrivateKey = \n%.20s=\n",
		"as section":           "[%s]",
		"as broken section":    "[%s",
		"in another key":       "[Interface]\nAddress = %s\nMTU = %s\nDNS = %s\nTable = %s\nFwMark = %s\nListenPort=%s",
		"in a peer":            "[Peer]\nEndpoint = %s:51820\nAllowedIPs = %s,10.0.0.0/99\nPersistentKeepalive = %s",
		"as port":              "[Peer]\nEndpoint = localhost:%s",
		"in the router":        "[Router]\nMode = %s\nQueues = %s\nGSO = %s\nReceiveBuffer = %s\nControlSocket = %s\nLogLevel = %s\nLogLevel = %s=debug\nLogLevel = tun=%s, %s\nLogFormat = %s\nMetrics = %s\nMetrics = unix:%s\nMetricsToken = %s %s\nMetricsPeers = %s",
		"on the sockets":       "[Router]\nSockets = %s\nGSOSegments = %s\nGSOBytes = %s\nGSOSentinel = %s\nGROSlot = %s\nFlushTimeout = %s\nXDP = %s\nXDP = eth0:%s",
		"in the filter":        "[Filter]\nPeers = %s\nPeers = a %s\nPeers = b %s %s\nAllow = %s\nDeny = from %s\nAllow = to %s/8 proto %s port %s",
		"in the filter, cut":   "[Filter]\nPeers = a %sA\nAllow = from x%s to %s,%s\nAllow = proto tcp port %s,1",
		"in the wrong section": "[Peer]\nPrivateKey = %s",
		"in the proxies": "[Socks5]\nBindAddress = %s:1\nUsername = %s:%s\nUDP = %s\nMaxConnections = %s\nPasswort = %s\n[http]\nUsername = a:%s\n" +
			"[TCPClientTunnel]\nTarget = %s\n[UDPProxyTunnel]\nBindAddress=%s@%s:1\nInactivityTimeout = %s\n[Resolve]\nResolveStrategy = %s",
		"in netstack mode": "[Router]\nSubnetRouter = %s\nSubnetRouterPerPeer = %s\nTCPRecovery = %s\nTCPCongestion = %s\n[Interface]\nCheckAlive = %s\nCheckAliveInterval = %s",
		"in the relays": "[Relay]\nPublicKey = %s%s\nEndpoint = %s:1\nEndpoint = a:%s\n[RelayServer]\nListenPort = %s\nAllowedKeys = %sA, x%s\n" +
			"MaxSessions = %s\nMaxSessionsPerClient = %s\nMaxRate = %s\n[Router]\nDiscovery = %s",
		"as variable":            "[Interface]\nPrivateKey = $%s\nMTU = $%s\n[Socks5]\nPassword = $%s\nUsername = $%s",
		"above all":              "WGConfig = %s",
		"outside of any section": "PrivateKey = %s\n%s\n",
	}
	for name, text := range places {
		t.Run(name, func(t *testing.T) {
			for _, p := range problems(t, strings.ReplaceAll(strings.ReplaceAll(text, "%.20s", testPrivate[:20]), "%s", testPrivate)) {
				for i := 0; i+12 <= len(testPrivate); i++ {
					if strings.Contains(p.String(), testPrivate[i:i+12]) {
						t.Fatalf("%q repeats the key", p)
					}
				}
			}
		})
	}
}
