// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tunrouter/tunrouter/config"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// Keys of the examples in wg(8), and the public key of the first.
const (
	testPrivate = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	testPublic  = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
	peerA       = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	peerB       = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
	peerC       = "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="
	testPSK     = "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="
)

// same compares configurations without what is no part of them.
func same() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b config.Key) bool { return a == b }),
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{}),
		cmpopts.IgnoreFields(config.Config{}, "Path", "Warnings"),
		cmpopts.IgnoreFields(config.Peer{}, "Line"),
		cmpopts.IgnoreFields(config.FilterName{}, "Line"),
		cmpopts.IgnoreFields(config.FilterRule{}, "Line", "Text"),
		cmpopts.IgnoreFields(config.SubnetRouter{}, "Line"),
		cmpopts.IgnoreFields(config.SOCKS5{}, "Line"),
		cmpopts.IgnoreFields(config.HTTP{}, "Line"),
		cmpopts.IgnoreFields(config.TCPForward{}, "Line"),
		cmpopts.IgnoreFields(config.UDPForward{}, "Line"),
		cmpopts.IgnoreFields(config.STDIO{}, "Line"),
		cmpopts.IgnoreFields(config.Resolve{}, "Line"),
		cmpopts.IgnoreFields(config.Relay{}, "Line"),
		cmpopts.IgnoreFields(config.RelayServer{}, "Line"),
	}
}

func mustKey(tb testing.TB, text string) config.Key {
	tb.Helper()
	k, err := config.ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func mustParse(tb testing.TB, text string) *config.Config {
	tb.Helper()
	c, err := config.Parse(strings.NewReader(text), "wg0.conf")
	if err != nil {
		tb.Fatalf("Parse: %v", err)
	}
	return c
}

// environment are options with variables, given as name and value.
func environment(pairs ...string) *config.LoadOptions {
	return &config.LoadOptions{LookupEnv: func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}}
}

// problems returns what is wrong with text, and fails when nothing is.
func problems(tb testing.TB, text string) []config.Problem {
	tb.Helper()
	c, err := config.Parse(strings.NewReader(text), "wg0.conf")
	var e *config.Error
	if !errors.As(err, &e) || c != nil {
		tb.Fatalf("Parse = %v, %v, want nil and an *Error", c, err)
	}
	return e.Problems
}

// used returns warnings without those about keys that nothing uses yet, and about relays
// without discovery.
func used(warnings []config.Problem) []config.Problem {
	return slices.DeleteFunc(slices.Clone(warnings), func(w config.Problem) bool { return strings.HasPrefix(w.Key, "CheckAlive") || w.Key == "[Relay]" })
}

// lines joins problems as a program would print them.
func lines(ps []config.Problem) string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// golden compares got with testdata/name, or writes it there with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update accepts it:\n%s", path, diff)
	}
}
