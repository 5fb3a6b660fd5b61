// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

// TestEnvironment takes values from variables.
func TestEnvironment(t *testing.T) {
	env := environment("KEY", testPrivate, "PORT", " 5 ", "EMPTY", "", "LINES", "a\nb", "PASSWORD", " a#b;c ", "DOLLAR", "$PORT",
		"QUOTES", "a`\"\"\"#", "COMMENT", "5 # x", "hunter2", "x", "HOST", "a.example")
	c, err := config.ParseWith(strings.NewReader(`[Interface]
PrivateKey = $KEY
ListenPort = $PORT # five
PostUp = $PORT
[Peer]
PublicKey = `+peerA+`
AllowedIPs = $EMPTY
Endpoint = $HOST:1
[Socks5]
BindAddress = 127.0.0.1:1
Username = $DOLLAR
Password = "$PASSWORD"
`), "wg0.conf", env)
	if err == nil || err.Error() != `wg0.conf:8: Endpoint: environment variable "HOST:1" is not set; set and export it; $$ stands for a $ at the beginning` {
		t.Errorf("only whole values are variables: %v, %v", c, err)
	}
	c, err = config.ParseWith(strings.NewReader(`[Interface]
PrivateKey = $KEY
ListenPort = $PORT # five
PostUp = $PORT
[Peer]
PublicKey = `+peerA+`
AllowedIPs = $EMPTY
[Socks5]
BindAddress = 127.0.0.1:1
Username = $DOLLAR
Password = "$PASSWORD"
`), "wg0.conf", env)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Proxy.SOCKS5[0]
	if i := c.Interface; i.PrivateKey.String() != testPrivate || i.ListenPort != 5 || i.PostUp[0] != "$PORT" {
		t.Errorf("Interface = %+v", i)
	}
	if s.Username != "$PORT" || s.Password != " a#b;c " {
		t.Errorf("credentials are %q, %q", s.Username, string(s.Password))
	}
	checkWritten(t, c)

	tests := []struct {
		name, text, want string
	}{
		{"unset", "[Interface]\nMTU = $NONE", `wg0.conf:2: MTU: environment variable "NONE" is not set; set and export it`},
		{"no name", "[Interface]\nMTU = $", `wg0.conf:2: MTU: environment variable "" is not set`},
		{"empty", "[Interface]\nPrivateKey = $EMPTY", `wg0.conf:2: PrivateKey: environment variable "EMPTY" is empty; set it to a value`},
		{"lines", "[Interface]\nDNS = $LINES", `wg0.conf:2: DNS: environment variable "LINES" has a line break or a zero byte; set it to a single line`},
		{"comment", "[Interface]\nListenPort = $COMMENT", "wg0.conf:2: ListenPort: there is a comment or a quotation mark in the value; remove it"},
		{"quotes", "[Socks5]\nUsername = $QUOTES", "wg0.conf:2: Username: no quotation marks can hold the value; remove one kind"},
		{"password", "[Socks5]\nPassword = $hunter2s", "wg0.conf:2: Password: environment variable of this name is not set; set and export it; $$ stands"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.ParseWith(strings.NewReader(tt.text), "wg0.conf", env)
			var e *config.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("ParseWith = %v, want %s", err, tt.want)
			}
		})
	}
}

// TestSemicolon: in a file for WireGuard ; begins no comment, beside those above all sections.
func TestSemicolon(t *testing.T) {
	mustParse(t, "; a comment\n"+netstackHead)
	mustParse(t, netstackHead+"; a comment\n[Socks5]\nBindAddress = 127.0.0.1:1\n")
	if got := lines(problems(t, netstackHead+"; no comment\n")); got != "wg0.conf:6: ; does not begin a comment; begin comments with #\n" {
		t.Errorf("problems: %s", got)
	}
	c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\nPostUp = a; b # c\n[Socks5]\nBindAddress = 127.0.0.1:1\n")
	if got := c.Interface.PostUp[0]; got != "a; b # c" {
		t.Errorf("PostUp = %q", got)
	}
}
