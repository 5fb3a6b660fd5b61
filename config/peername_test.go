// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

// TestPeerName: which comments name a peer, and that it survives being written.
func TestPeerName(t *testing.T) {
	const head = "[Interface]\nPrivateKey = " + testPrivate + "\n"
	const key = "PublicKey = " + peerA + "\n"
	for _, tt := range []struct {
		name, text, want string
	}{
		{"before the key", "[Peer]\n# Name = laptop\n" + key, "laptop"},
		{"behind the key", "[Peer]\n" + key + "\t #name=laptop \n", "laptop"},
		{"of the exporter", "[Peer]\n# friendly_name = OnePlus 6T\n" + key, "OnePlus 6T"},
		{"with marks", "[Peer]\n# Name = B\u00fcro #2 = \u00fcben\n" + key, "B\u00fcro #2 = \u00fcben"},
		{"the last one", "[Peer]\n# Name = a\n# friendly_name = b\n" + key, "b"},
		{"of the second section", "[Peer]\n# Name = a\n" + key + "[Peer]\n# Name = b\n" + key, "b"},
		{"of the first section", "[Peer]\n# Name = a\n" + key + "[Peer]\n" + key, "a"},
		{"without a word", "[Peer]\n# laptop\n" + key, ""},
		{"another word", "[Peer]\n# Nickname = laptop\n" + key, ""},
		{"before the section", "# Name = laptop\n[Peer]\n" + key, ""},
		{"behind a key", "[Peer]\nPublicKey = " + peerA + " # Name = laptop\n", ""},
		{"in another section", "[Peer]\n" + key + "[Router]\n# Name = laptop\nSockets = 2\n", ""},
		{"behind an unknown assignment", "[Peer]\n#PresharedKey = Name\n" + key, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, head+tt.text)
			if len(c.Peers) != 1 || c.Peers[0].Name != tt.want {
				t.Fatalf("peers %v, want one called %q", c.Peers, tt.want)
			}
			again := mustParse(t, written(t, c))
			if again.Peers[0].Name != tt.want || !config.Diff(c, again).Empty() {
				t.Errorf("written and read again it is called %q", again.Peers[0].Name)
			}
			var wg strings.Builder
			if err := c.WriteWG(&wg); err != nil || strings.Contains(wg.String(), "#") {
				t.Errorf("for wg: %v\n%s", err, &wg)
			}
		})
	}
}

// TestPeerNameRefused: a comment is no reason to refuse a file, but names that would do
// something to a terminal, or are empty, are told of and not used.
func TestPeerNameRefused(t *testing.T) {
	for _, value := range []string{"", "\x1b[2J", "tab\there", "\u202eright to left", strings.Repeat("x", 65), "not \xff utf-8"} {
		c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\n[Peer]\nPublicKey = "+peerA+"\n# Name = "+value+"\n")
		if c.Peers[0].Name != "" {
			t.Errorf("%q: called %q", value, c.Peers[0].Name)
		}
		if len(c.Warnings) != 1 || c.Warnings[0].Line != 5 || c.Warnings[0].Key != "# Name" {
			t.Errorf("%q: warnings %v", value, c.Warnings)
		}
		if config.ValidPeerName(value) {
			t.Errorf("%q is valid", value)
		}
	}
	if name := strings.Repeat("\u00fc", 64); !config.ValidPeerName(name) {
		t.Errorf("%q is not valid", name)
	}
}

// TestPeerNameValidate: a program that sets a name cannot write other lines by it.
func TestPeerNameValidate(t *testing.T) {
	c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\n[Peer]\nPublicKey = "+peerA+"\n")
	for _, name := range []string{"a\nEndpoint = 192.0.2.1:1", " a", "a\x00", "a\r"} {
		c.Peers[0].Name = name
		if err := c.Validate(); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	c.Peers[0].Name = "a = b # c"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
