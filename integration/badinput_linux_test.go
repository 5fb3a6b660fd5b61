// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Topology of this file: a single host a with an interface eth0, whose other
// end is host b.

// valid is a file without mistakes.
func valid() string {
	return fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.77.0.1/24\nListenPort = 51820\n[Peer]\nPublicKey = %s\nAllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.2:51820\n",
		lab.NewKey(), lab.NewKey().Public())
}

// TestBadInput starts the router where it cannot work. Each time it says in a
// line or two what is wrong and what helps, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	bin := router(t)
	testutil.NeedTool(t, "setpriv", "mount")
	unprivileged := []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"}
	file := func(name, text string) func(*testing.T, *lab.Host) {
		return func(_ *testing.T, h *lab.Host) { h.WriteFile("/etc/wireguard/"+name, text, 0o600) }
	}
	noTUN := func(_ *testing.T, h *lab.Host) {
		h.Output("mount", "-t", "tmpfs", "none", "/dev/net")
	}
	both := func(f ...func(*testing.T, *lab.Host)) func(*testing.T, *lab.Host) {
		return func(t *testing.T, h *lab.Host) {
			for _, f := range f {
				f(t, h)
			}
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(*testing.T, *lab.Host)
		args    []string // BIN stands for the router
		code    int
		want    []string // all of them in the error
	}{
		{
			"missing file", nil, []string{"BIN", "up", "wg0"}, 2,
			[]string{"/etc/wireguard/wg0.conf"},
		}, {
			"short key", file("wg0.conf", strings.Replace(valid(), "PublicKey = ", "PublicKey = abc", 1)),
			[]string{"BIN", "up", "wg0"}, 2, []string{"wg0.conf:6", "PublicKey"},
		}, {
			"typo in AllowedIPs", file("wg0.conf", strings.Replace(valid(), "0.0.0.0/0", "10.0.0.0/33", 1)),
			[]string{"BIN", "up", "wg0"}, 2, []string{"wg0.conf:7", "AllowedIPs", "10.0.0.0/33"},
		}, {
			"unknown key", file("wg0.conf", strings.Replace(valid(), "ListenPort", "ListenProt", 1)),
			[]string{"BIN", "up", "wg0"}, 2, []string{"wg0.conf:4", "ListenProt", "ListenPort"},
		}, {
			"busy port", both(file("wg0.conf", valid()), func(t *testing.T, h *lab.Host) {
				c := must(listenUDP(h, lab.Port))(t)
				t.Cleanup(func() { c.Close() })
			}),
			[]string{"BIN", "up", "wg0"}, 1, []string{"51820", "in use"},
		}, {
			"taken interface name", file("eth0.conf", valid()),
			[]string{"BIN", "up", "eth0"}, 1, []string{"eth0"},
		}, {
			"no CAP_NET_ADMIN", file("wg0.conf", valid()),
			append(unprivileged, "BIN", "up", "wg0"), 1, []string{"CAP_NET_ADMIN", "netstack"},
		}, {
			"no CAP_NET_ADMIN for an interface", nil,
			append(unprivileged, "BIN", "wg0"), 1, []string{"CAP_NET_ADMIN"},
		}, {
			"no TUN", both(file("wg0.conf", valid()), noTUN),
			[]string{"BIN", "up", "wg0"}, 1, []string{"/dev/net/tun"},
		}, {
			"no TUN for an interface", noTUN,
			[]string{"BIN", "wg0"}, 1, []string{"/dev/net/tun"},
		}, {
			"failing hook", file("wg0.conf", strings.Replace(valid(), "ListenPort", "PostUp = exit 3\nListenPort", 1)),
			[]string{"BIN", "up", "wg0"}, 1, []string{"PostUp", "exit 3"},
		}, {
			"failing resolvconf", both(
				file("wg0.conf", strings.Replace(valid(), "ListenPort", "DNS = 10.77.0.2\nListenPort", 1)),
				func(_ *testing.T, h *lab.Host) {
					h.AddTool("resolvconf", "", "#!/bin/sh\n[ $1 = -d ] || { echo no room >&2; exit 1; }\n")
				}),
			[]string{"BIN", "up", "wg0"}, 1, []string{"resolvconf"},
		}, {
			"bad address", file("wg0.conf", strings.Replace(valid(), "10.77.0.1/24", "10.77.0.1/24, fd77::1/129", 1)),
			[]string{"BIN", "up", "wg0"}, 2, []string{"wg0.conf:3", "Address", "fd77::1/129"},
		}, {
			"no name", nil, []string{"BIN", "up"}, 2, []string{"up"},
		}, {
			"interface name too long", nil, []string{"BIN", "a-name-that-is-too-long"}, 1, []string{"a-name-that-is-too-long"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := lab.TwoHosts(1500).Build(t).Host("a")
			if test.prepare != nil {
				test.prepare(t, h)
			}
			before := h.Snapshot()
			args := append([]string{}, test.args...)
			for i := range args {
				if args[i] == "BIN" {
					args[i] = bin
				}
			}
			r := h.Exec(lab.Command{Path: args[0], Args: args[1:]})
			if r.Code != test.code {
				t.Errorf("exit code %d, want %d", r.Code, test.code)
			}
			message := withoutLog(r.Stderr)
			for _, want := range test.want {
				if !strings.Contains(message, want) {
					t.Errorf("the error does not say %q", want)
				}
			}
			if n := strings.Count(message, "\n"); n < 1 || n > 2 {
				t.Errorf("the error has %d lines, want one or two", n)
			}
			if r.Stdout != "" {
				t.Errorf("standard output: %q, want nothing", r.Stdout)
			}
			if diff := lab.Diff(before, h.Snapshot()); diff != "" {
				t.Errorf("before and after differ:\n%s", diff)
			}
			if t.Failed() {
				t.Logf("standard error:\n%s", r.Stderr)
			}
		})
	}
}

// withoutLog returns the lines that are not of the log.
func withoutLog(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "time=") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestWorldReadable warns of a file with keys that everybody can read, and runs.
func TestWorldReadable(t *testing.T) {
	bin := router(t)
	t.Parallel()
	h := lab.NewHost(t, "a")
	before := prepare(h, valid())
	if err := os.Chmod(h.Path("/etc/wireguard/wg0.conf"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.Path("/etc/wireguard"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := up(t, bin, h)
	warned := false
	for line := range strings.Lines(d.Process.Output()) {
		warned = warned || strings.Contains(line, "WARN") && strings.Contains(line, "wg0.conf")
	}
	if !warned {
		t.Errorf("no warning that names the file:\n%s", d.Process.Output())
	}
	down(t, d, before)
}
