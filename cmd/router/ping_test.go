// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// An asked is a uapi.Handler that answers questions.
type asked struct {
	fixed
	answer func(name string, args []uapi.KeyValue) (any, error)
}

func (a asked) Ask(name string, args []uapi.KeyValue) ([]byte, error) {
	v, err := a.answer(name, args)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// serveAsked makes a router called wg0 available in a directory and returns that.
func serveAsked(t *testing.T, h uapi.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "router")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := uapi.Listen(filepath.Join(dir, "wg0.sock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), h) }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return dir
}

func TestPing(t *testing.T) {
	const key, alike, other = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dw=", "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
	device := &uapi.Device{Peers: []uapi.Peer{{PublicKey: mustKey(t, key), Extra: []uapi.KeyValue{{Key: "tunrouter_name", Value: `"Office\u003d1"`}}}, {PublicKey: mustKey(t, other)}}}
	twins := &uapi.Device{Peers: append([]uapi.Peer{{PublicKey: mustKey(t, alike)}}, device.Peers...)}
	direct := path.PingReply{Path: viaPath(t, "192.0.2.1:51820", 0), Kind: "configured", InUse: true, Answered: true, Latency: 1240 * time.Microsecond}
	relayed := path.PingReply{Path: viaPath(t, "198.51.100.1:3479", 7), Kind: "relay", RelayName: "r.example:3479", Answered: true, Latency: 12 * time.Millisecond}
	silent := path.PingReply{Path: viaPath(t, "10.0.0.1:51820", 0), Kind: "local"}
	tests := []struct {
		name       string
		device     *uapi.Device
		args       string
		results    []path.PingResult // one after the other, the last again and again
		want, fail string            // on stdout and in stderr
		code       int
	}{
		{"direct", device, "-c 1 " + key, []path.PingResult{{Router: "yes", Replies: []path.PingReply{silent, direct}}},
			"pong from xTIBA5rb… via direct 192.0.2.1:51820 in 1.2 ms, in use\n", "", 0},
		{"both, named, twice", device, "-c 2 -i 200ms wg0 xTIBA5", []path.PingResult{{Router: "yes", Replies: []path.PingReply{direct, relayed}}, {Router: "yes", Replies: []path.PingReply{silent, relayed}}},
			"pong from xTIBA5rb… via direct 192.0.2.1:51820 in 1.2 ms, in use\n" +
				"pong from xTIBA5rb… via relay 198.51.100.1:3479 vni 7 (r.example:3479) in 12 ms\n" +
				"pong from xTIBA5rb… via relay 198.51.100.1:3479 vni 7 (r.example:3479) in 12 ms\n", "", 0},
		{"once of two", device, "-c 2 -i 200ms xT", []path.PingResult{{Router: "yes", Replies: []path.PingReply{silent}}, {Router: "yes", Replies: []path.PingReply{direct}}},
			"no answer from xTIBA5rb…: asked over direct 10.0.0.1:51820\n" +
				"pong from xTIBA5rb… via direct 192.0.2.1:51820 in 1.2 ms, in use\n", "", 0},
		{"by name", device, "-c 1 OFFICE=1", []path.PingResult{{Router: "yes", Replies: []path.PingReply{direct}}},
			"pong from xTIBA5rb… via direct 192.0.2.1:51820 in 1.2 ms, in use\n", "", 0},
		{"silent", device, "-c 1 xT", []path.PingResult{{Router: "unknown", Replies: []path.PingReply{silent, silent}}},
			"no answer from xTIBA5rb…: asked over 2 paths\n", "xTIBA5rb… did not answer\nit may be a plain WireGuard peer", 1},
		{"plain", device, "-c 1 xT", []path.PingResult{{Router: "no", Replies: []path.PingReply{silent}}},
			"no answer from xTIBA5rb…: it is not a router, or its discovery is off\n", "did not answer\nit is a plain WireGuard peer", 1},
		{"nowhere", device, "-c 1 xT", []path.PingResult{{Router: "yes"}},
			"no answer from xTIBA5rb…: no path is known; it needs an Endpoint, or has to speak first\n", "router: xTIBA5rb… did not answer\n", 1},
		{"unknown peer", device, "yAnz", nil, "", "no peer of wg0 is called this or has a public key that begins with it\npeers: " + key + ", " + other, 2},
		{"ambiguous", twins, "xTIB", nil, "", "2 peers of wg0 are called this or have public keys that begin with it, write more of the key\npeers: " + alike + ", " + key, 2},
		{"no peers", &uapi.Device{}, "x", nil, "", "it has no peers", 2},
		{"no such router", device, "wg1 x", nil, "", "no router answers at", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			results := tt.results
			dir := serveAsked(t, asked{fixed{tt.device}, func(name string, args []uapi.KeyValue) (any, error) {
				if name != "ping" || len(args) != 1 || args[0] != (uapi.KeyValue{Key: "peer", Value: key}) {
					return nil, fmt.Errorf("asked %s %v", name, args)
				}
				r := results[0]
				if len(results) > 1 {
					results = results[1:]
				}
				return r, nil
			}})
			stdout, stderr, code := call(t, append([]string{"ping", "--socket-dir", dir}, strings.Fields(tt.args)...)...)
			if diff := cmp.Diff(tt.want, stdout); diff != "" || code != tt.code || !strings.Contains(stderr, tt.fail) || (tt.fail == "") != (stderr == "") {
				t.Errorf("exit code %d, stderr %q, stdout (-want +got):\n%s", code, stderr, diff)
			}
		})
	}
}

// TestPingRefused: a router that cannot answer the question, and one that does not want to.
func TestPingRefused(t *testing.T) {
	const key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	device := fixed{&uapi.Device{Peers: []uapi.Peer{{PublicKey: mustKey(t, key)}}}}
	for want, h := range map[string]uapi.Handler{
		"it is another program, or an older version": device,
		"discovery is off":                           asked{device, func(string, []uapi.KeyValue) (any, error) { return nil, errors.New("discovery is off") }},
		"read the answer":                            asked{device, func(string, []uapi.KeyValue) (any, error) { return "text", nil }},
	} {
		stdout, stderr, code := call(t, "ping", "--socket-dir", serveAsked(t, h), key)
		if stdout != "" || code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, %q, %q; want %q", code, stdout, stderr, want)
		}
	}
}

func TestNetcheck(t *testing.T) {
	now := time.Now()
	relayKey, peerKey := mustKey(t, "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="), mustKey(t, "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=")
	addr := netip.MustParseAddrPort
	report := &path.NetReport{
		Local:    []netip.AddrPort{addr("192.168.1.7:51820"), addr("[2001:db8::7]:51820")},
		Observed: []path.Observation{{Observer: relayKey, Relay: true, Addr: addr("203.0.113.7:40000"), At: now.Add(-5 * time.Second)}, {Observer: peerKey, Addr: addr("203.0.113.7:40000"), At: now.Add(-time.Minute)}},
		Relays: []path.RelayStatus{
			{Name: "relay.example:3479", Key: relayKey, Addrs: []netip.AddrPort{addr("198.51.100.1:3479")}, Registered: true, Addr: addr("198.51.100.1:3479"), Latency: 12 * time.Millisecond, Sessions: 2, Last: now},
			{Name: "198.51.100.2:3479", Key: peerKey, Addrs: []netip.AddrPort{addr("198.51.100.2:3479")}, Addr: addr("198.51.100.2:3479"), Last: now.Add(-time.Hour)},
			{Name: "gone.example:3479", Key: peerKey},
			{Name: "full.example:3479", Key: peerKey, Addrs: []netip.AddrPort{addr("198.51.100.3:3479")}, Problem: "not on its list"},
		},
		Mapping4: "easy", Mapping6: "unknown",
	}
	const want = `  own addresses: 192.168.1.7:51820, [2001:db8::7]:51820
  IPv4: a NAT that shows the same address to everybody; direct paths work with most peers
  IPv6: not known: two others, relays or peers, have to say what they see
  seen as 203.0.113.7:40000 by relay gN65BkIK…, 5 seconds ago
  seen as 203.0.113.7:40000 by peer xTIBA5rb…, 1 minute ago
  relay gN65BkIK… relay.example:3479 at 198.51.100.1:3479: registered, 12 ms, sessions: 2
  relay xTIBA5rb… 198.51.100.2:3479: not registered: no answer, last answer 1 hour ago
  relay xTIBA5rb… gone.example:3479: not registered: its name is not resolved yet
  relay xTIBA5rb… full.example:3479: not registered: not on its list
`
	var b strings.Builder
	writeReport(&b, report, now)
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	b.Reset()
	writeReport(&b, &path.NetReport{Mapping4: "hard", Mapping6: "none"}, now)
	for _, part := range []string{"own addresses: none that", "IPv4: a NAT that shows everybody another", "IPv6: no NAT", "relays: none in the configuration"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("no %q in:\n%s", part, b.String())
		}
	}
	dir := serveAsked(t, asked{fixed{}, func(name string, _ []uapi.KeyValue) (any, error) {
		if name != "netcheck" {
			return nil, errors.New(name)
		}
		return report, nil
	}})
	text, _, code := call(t, "netcheck", "--socket-dir", dir)
	if code != 0 || !strings.HasPrefix(text, "interface: wg0\n  own addresses: 192.168.1.7") {
		t.Errorf("exit code %d, %s", code, text)
	}
	text, _, code = call(t, "netcheck", "--socket-dir", dir, "wg0", "--json")
	var got jsonReport
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, text)
	}
	r := got.Relays[0]
	if got.Mapping4 != "easy" || got.Observed[0].By != "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA=" || got.Observed[0].At != now.Add(-5*time.Second).Unix() ||
		r.Latency != 12 || r.PublicKey != got.Observed[0].By || !r.Registered || got.Relays[3].Problem != "not on its list" {
		t.Errorf("json: %s", text)
	}
	empty := serveAsked(t, asked{fixed{}, func(string, []uapi.KeyValue) (any, error) { return &path.NetReport{}, nil }})
	if text, _, _ := call(t, "netcheck", "--socket-dir", empty, "--json"); strings.Contains(text, "null") {
		t.Errorf("null in %s", text)
	}
	if _, stderr, code := call(t, "netcheck", "--socket-dir", serveAsked(t, fixed{})); code != 1 || !strings.Contains(stderr, "another program") {
		t.Errorf("another program: exit code %d, %s", code, stderr)
	}
}
