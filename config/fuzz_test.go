// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

func glob(tb testing.TB, pattern string) []string {
	tb.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		tb.Fatalf("Glob(%s) = %v, %v", pattern, paths, err)
	}
	return paths
}

// FuzzParse: Parse takes any text without a panic; what it accepts is written and
// parsed to the same Config, and what it refuses is explained without showing keys.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/files/*.conf", "testdata/mistakes/*.conf", "testdata/all.conf", "testdata/wireproxy.conf", "../docs/router.conf"} {
		for _, path := range glob(f, pattern) {
			f.Add(readFile(f, path))
		}
	}
	f.Fuzz(checkParse)
}

// FuzzValue gives one key of a file that is otherwise right any value. It gets
// further than FuzzParse, which loses most of its files to a wrong line elsewhere.
func FuzzValue(f *testing.F) {
	values := []string{
		"", "off", "auto", "true", "0", "00080", "65536", "0xCa6C", "51820 # comment", "echo '#1'; x=1 # two", "7M", "512k",
		"10.0.0.1/24, fd00::1/64", "10.0.0.77", "10.0.0.1/255.255.254.0", "::ffff:10.0.0.0/104", "0.0.0.0/0,::/0", "10.0.0.0/24,",
		"1.1.1.1 corp.example ~. fe80::1%eth0", "192.0.2.1:51820", "[2001:DB8::1]:51820", "2001:db8::1:51820", "[fe80::1%a]b]:1",
		"vpn.b\u00fccher.example:1", "localhost.:1", "/run/my router.sock", "netstack", "debug",
		"any", "from host to peers", "to 10.0.0.0/8, fd00::/8 proto tcp port 22, 8000-8080", "proto udp sport 53", "proto 47",
		"from " + peerA + "," + peerB + " to any", "from laptop to host proto icmp", "laptop " + peerA, "both " + peerA + ", " + peerB, "isolated",
		"on, 169.254.169.254/32", "rack", "reno", ":1080", "[::1]:0", "localhost:1", "`a # b`", "'a;b'", "$$x", "ipv6", "cert.pem",
		"16", "64K", "65535", "50us", "1.5ms", "1s", "250.001\u00b5s", "-1ms", "1e3us", testPrivate, testPublic,
		"eth0", "eth0.5:4", "auto:17", "Auto : 2", "$$eth0", "a b:1", "eth0:", "off:1", "\u00a0",
		"peers", "PEERS, " + peerC + "," + peerA, peerC + ",", "4096M", "65536",
	}
	// What a section needs beside the key.
	required := map[string]string{
		"Socks5": "BindAddress = :1", "http": "BindAddress = :1", "TCPClientTunnel": "BindAddress = :1\nTarget = a.example:1",
		"TCPServerTunnel": "ListenPort = 1\nTarget = a.example:1", "UDPProxyTunnel": "BindAddress = :1\nTarget = a.example:1",
		"UDPServerTunnel": "ListenPort = 1\nTarget = a.example:1", "STDIOTunnel": "Target = a.example:1",
		"Relay": "PublicKey = " + peerC + "\nEndpoint = a.example:1", "RelayServer": "ListenPort = 1",
	}
	for section, keys := range config.KnownKeys() {
		for _, key := range keys {
			for _, value := range values {
				f.Add(section, key, value)
			}
		}
	}
	f.Fuzz(func(t *testing.T, section, key, value string) {
		if before, ok := required[section]; ok {
			key = before + "\n" + key
		}
		checkParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\n[Peer]\nPublicKey = "+peerA+
			"\n["+section+"]\n"+key+" = "+value+"\n[Peer]\nPublicKey = "+peerB+"\nAllowedIPs = 10.0.0.0/24, ::/0\n")
	})
}

// checkParse checks what FuzzParse promises for one text.
func checkParse(t *testing.T, text string) {
	c, err := config.Parse(strings.NewReader(text), "fuzz.conf")
	if err != nil {
		checkError(t, c, err, regexp.MustCompile(`[A-Za-z0-9+/]{43}=`).FindAllString(text, -1))
		return
	}
	for _, w := range c.Warnings {
		checkProblem(t, w, nil)
	}
	checkWritten(t, c)
}

// checkWritten writes c, parses it again and wants the same Config.
func checkWritten(t *testing.T, c *config.Config) {
	first := written(t, c)
	again, err := config.Parse(strings.NewReader(first), "again.conf")
	if err != nil {
		t.Fatalf("written file does not parse: %v\n%s", err, first)
	}
	if diff := cmp.Diff(c, again, same()); diff != "" {
		t.Fatalf("parsed again (-want +got):\n%s\n%s", diff, first)
	}
	if second := written(t, again); second != first {
		t.Fatalf("written again:\n%s\nat first:\n%s", second, first)
	}
	if changes := config.Diff(c, again); !changes.Empty() {
		t.Fatalf("Diff = %+v", changes)
	}
}

// FuzzWrite: a Config that a program made of any strings is either refused or written
// such that it comes back. No string can smuggle a line into the file.
func FuzzWrite(f *testing.F) {
	f.Add("true", "corp.example", "vpn.example.com", "/run/router.sock", "main", uint16(51820), 1420)
	f.Add("true\n[Peer]\nPublicKey = "+peerB, "a b", "1.2.3.4", "off", "off", uint16(0), 0)
	f.Add("echo # x", "~.", "fe80::1%eth0", "/a#b", "5", uint16(1), 68)
	f.Add(" padded", "1.1.1.1", "::ffff:1.2.3.4", "/a\rb", "", uint16(9), 1280)
	f.Fuzz(func(t *testing.T, hook, domain, host, socket, table string, port uint16, mtu int) {
		c := &config.Config{
			Interface: config.Interface{
				PrivateKey: mustKey(t, testPrivate), PostUp: []string{hook}, DNSSearch: []string{domain}, MTU: mtu,
				Table: config.Table{Mode: config.TableID, Name: table},
			},
			Peers:  []config.Peer{{PublicKey: mustKey(t, peerA), Endpoint: config.Endpoint{Host: host, Port: port}}},
			Router: config.Router{ControlSocket: socket},
		}
		err := c.Validate()
		if err != nil {
			var e *config.Error
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("Validate = %#v", err)
			}
			return
		}
		if a, ok := c.Peers[0].Endpoint.AddrPort(); ok {
			c.Peers[0].Endpoint.Host = a.Addr().String() // what a file makes of other spellings
		}
		checkWritten(t, c)
	})
}

// FuzzWriteFilter is FuzzWrite for the names and numbers of a filter.
func FuzzWriteFilter(f *testing.F) {
	f.Add("laptop", "laptop", "Allow = any", uint8(6), uint16(1), uint16(2), true)
	f.Add("laptop", "LAPTOP", "", uint8(0), uint16(0), uint16(0), false)
	f.Add("a\nAllow = any", "a\nAllow = any", "any\nAllow = any", uint8(1), uint16(0), uint16(0), false)
	f.Add("any", "10.0.0.0/8", "#", uint8(17), uint16(9), uint16(8), true)
	f.Add("a "+peerB+"\nPeers = b", "b", "", uint8(47), uint16(1), uint16(1), true)
	f.Fuzz(func(t *testing.T, name, used, text string, protocol uint8, first, last uint16, ranged bool) {
		rule := config.FilterRule{From: config.FilterEnd{Names: []string{used}}, Protocol: protocol, Text: text}
		if ranged {
			rule.Ports = ports(first, last)
		}
		c := &config.Config{
			Interface: config.Interface{PrivateKey: mustKey(t, testPrivate)},
			Peers:     []config.Peer{{PublicKey: mustKey(t, peerA)}},
			Filter: config.Filter{
				Names: []config.FilterName{{Name: name, Keys: []config.Key{mustKey(t, peerA)}}},
				Rules: []config.FilterRule{rule, {Deny: true}},
			},
		}
		if err := c.Validate(); err != nil {
			var e *config.Error
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("Validate = %#v", err)
			}
			return
		}
		checkWritten(t, c)
	})
}

// checkError checks what Parse returned beside an error.
func checkError(t *testing.T, c *config.Config, err error, keys []string) {
	var e *config.Error
	if c != nil || !errors.As(err, &e) || len(e.Problems) == 0 {
		t.Fatalf("Parse = %v, %#v", c, err)
	}
	if !slices.IsSortedFunc(e.Problems, func(a, b config.Problem) int { return a.Line - b.Line }) {
		t.Fatalf("problems are not in the order of lines:\n%v", err)
	}
	for _, p := range e.Problems {
		checkProblem(t, p, keys)
	}
}

func checkProblem(t *testing.T, p config.Problem, keys []string) {
	if p.Message == "" || p.Hint == "" || strings.ContainsAny(p.String(), "\n\r\x00") || len(p.String()) > 400 {
		t.Fatalf("problem %+v", p)
	}
	for _, k := range keys {
		if strings.Contains(p.String(), k) {
			t.Fatalf("problem %q shows a key", p)
		}
	}
}

// FuzzParseKey: only the one base64 form of a key is a key.
func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{testPrivate, testPSK, "", strings.Repeat("A", 43) + "=", strings.Repeat("A", 44), testPrivate[:42] + "l="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := config.ParseKey(text)
		if err == nil && k.String() != text {
			t.Errorf("ParseKey(%q) = %s", text, k)
		}
		if err != nil && !k.IsZero() {
			t.Errorf("ParseKey(%q) = %s beside %v", text, k, err)
		}
	})
}
