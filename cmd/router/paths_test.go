// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/peers/relay"
	"github.com/tunrouter/tunrouter/uapi"
)

// viaPath is a path as tests write it; 0 is no VNI.
func viaPath(t *testing.T, addr string, vni uint32) path.Path {
	t.Helper()
	p := path.Path{Addr: netip.MustParseAddrPort(addr)}
	if vni > 0 {
		v, err := geneve.MakeVNI(vni)
		if err != nil {
			t.Fatal(err)
		}
		p.VNI = v
	}
	return p
}

// peerWith is a peer whose line of the control socket says s.
func peerWith(t *testing.T, s *path.PeerStatus) *uapi.Peer {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return &uapi.Peer{
		PublicKey: mustKey(t, "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="),
		Extra:     []uapi.KeyValue{{Key: "tunrouter_path", Value: strings.ReplaceAll(string(text), "=", `\u003d`)}},
	}
}

// relayedStatus is a peer behind a relay, with a direct path that was better once.
func relayedStatus(t *testing.T, now time.Time) *path.PeerStatus {
	relayed, direct := viaPath(t, "198.51.100.1:3479", 7), viaPath(t, "[2001:db8::1]:51820", 0)
	return &path.PeerStatus{
		Router: "yes", Choice: path.Choice{Primary: relayed, Why: "dead"}, Since: now.Add(-3 * time.Minute), Latency: 12 * time.Millisecond,
		Switches: 2,
		Paths: []path.PathStatus{
			{Path: relayed, Kind: "relay", Trusted: true, Latency: 12 * time.Millisecond, Loss: 0.0625, Width: 1464, Last: now.Add(-2 * time.Second), RelayName: "relay.example:3479"},
			{Path: direct, Kind: "configured", Latency: 1240 * time.Microsecond, Loss: 1, Width: 1456, Last: now.Add(-4 * time.Minute)},
			{Path: viaPath(t, "192.168.1.7:51820", 0), Kind: "local"},
		},
	}
}

func TestPathLine(t *testing.T) {
	now := time.Now()
	relayed := relayedStatus(t, now)
	direct := &path.PeerStatus{Router: "yes", Choice: path.Choice{Primary: viaPath(t, "192.0.2.1:51820", 0)}, Since: now.Add(-3 * time.Minute), Latency: 1240 * time.Microsecond}
	doubted := relayedStatus(t, now)
	doubted.Choice.Primary, doubted.Choice.Also = doubted.Paths[1].Path, doubted.Paths[0].Path
	tests := []struct {
		name string
		s    *path.PeerStatus
		want string
	}{
		{"direct", direct, "  path: direct 192.0.2.1:51820, 1.2 ms, since 3 minutes ago\n"},
		{"relay", relayed, "  path: relay 198.51.100.1:3479 vni 7 (relay.example:3479), 12 ms, since 3 minutes ago\n"},
		{"doubt", doubted, "  path: direct [2001:db8::1]:51820, 12 ms, since 3 minutes ago, in doubt, also relay 198.51.100.1:3479 vni 7 (relay.example:3479)\n"},
		{"nothing but the path", &path.PeerStatus{Router: "yes", Choice: path.Choice{Primary: viaPath(t, "192.0.2.1:1", 0)}}, "  path: direct 192.0.2.1:1\n"},
		{"none", &path.PeerStatus{Router: "yes"}, "  path: none that answers; packets go to the endpoint\n"},
		{"plain", &path.PeerStatus{Router: "no"}, ""},
		{"unknown", &path.PeerStatus{Router: "unknown"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			writePath(&b, peerWith(t, tt.s), now)
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	var b strings.Builder
	writePath(&b, &uapi.Peer{}, now)
	writePath(&b, &uapi.Peer{Extra: []uapi.KeyValue{{Key: "tunrouter_path", Value: "not JSON"}}}, now)
	if b.Len() > 0 {
		t.Errorf("peers of another program: %q", b.String())
	}
}

func TestPathTable(t *testing.T) {
	now := time.Now()
	const relayed = `    path                                                from        state           latency  loss   width  last answer
  * relay 198.51.100.1:3479 vni 7 (relay.example:3479)  relay       answers         12 ms    6 %    1464   2 seconds ago
    direct [2001:db8::1]:51820                          configured  silent          1.2 ms   100 %  1456   4 minutes ago
    direct 192.168.1.7:51820                            local       never answered  -        0 %    -      -
  path changes: 2, the last one because: dead
`
	doubted := relayedStatus(t, now)
	doubted.Choice.Primary, doubted.Choice.Also, doubted.Switches = doubted.Paths[1].Path, doubted.Paths[0].Path, 0
	doubted.Paths = doubted.Paths[:2]
	tests := []struct {
		name string
		p    *uapi.Peer
		want string
	}{
		{"relayed", peerWith(t, relayedStatus(t, now)), relayed},
		{"doubted", peerWith(t, doubted), `    path                                                from        state    latency  loss   width  last answer
  + relay 198.51.100.1:3479 vni 7 (relay.example:3479)  relay       answers  12 ms    6 %    1464   2 seconds ago
  * direct [2001:db8::1]:51820                          configured  silent   1.2 ms   100 %  1456   4 minutes ago
`},
		{"plain", &uapi.Peer{}, "  paths: not looked for: a plain WireGuard peer, or discovery is off\n"},
		{"unknown", peerWith(t, &path.PeerStatus{Router: "unknown"}), "  paths: not known yet whether the peer is a router\n"},
		{"none", peerWith(t, &path.PeerStatus{Router: "yes"}), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			writePaths(&b, tt.p, now)
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestStatusPaths: the status has the line of each peer, with --paths the table too, and
// with --json all of it.
func TestStatusPaths(t *testing.T) {
	s := relayedStatus(t, time.Now())
	s.Since, s.Paths[0].Last = time.Unix(1700000000, 0), time.Unix(1700000001, 0)
	s.Paths = s.Paths[:1]
	p := peerWith(t, s)
	dir := serve(t, map[string]*uapi.Device{"wg0": {Peers: []uapi.Peer{*p, {PublicKey: mustKey(t, "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=")}}}})
	plain, _, code := call(t, "status", "--socket-dir", dir)
	if code != 0 || strings.Count(plain, "\n  path: relay 198.51.100.1:3479 vni 7 (relay.example:3479), 12 ms, since ") != 1 || strings.Contains(plain, "last answer") {
		t.Errorf("status: exit code %d\n%s", code, plain)
	}
	table, _, code := call(t, "status", "--socket-dir", dir, "wg0", "--paths")
	if code != 0 || strings.Count(table, "  * relay") != 1 || strings.Count(table, "paths: not looked for") != 1 {
		t.Errorf("status --paths: exit code %d\n%s", code, table)
	}
	const want = `{
	"wg0": {
		"peers": {
			"TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=": {
				"allowedIps": []
			},
			"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=": {
				"allowedIps": [],
				"paths": {
					"router": "yes",
					"path": "relay 198.51.100.1:3479 vni 7",
					"why": "dead",
					"since": 1700000000,
					"latency": 12,
					"switches": 2,
					"all": [
						{
							"path": "relay 198.51.100.1:3479 vni 7",
							"endpoint": "198.51.100.1:3479",
							"vni": 7,
							"relay": "relay.example:3479",
							"from": "relay",
							"trusted": true,
							"latency": 12,
							"loss": 0.0625,
							"width": 1464,
							"last": 1700000001
						}
					]
				}
			}
		}
	}
}
`
	got, _, code := call(t, "status", "--socket-dir", dir, "--json")
	if diff := cmp.Diff(want, got); diff != "" || code != 0 {
		t.Errorf("json: exit code %d (-want +got):\n%s", code, diff)
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.00 ms", 123 * time.Microsecond: "0.12 ms", 1240 * time.Microsecond: "1.2 ms", 9949 * time.Microsecond: "9.9 ms",
		9950 * time.Microsecond: "10 ms", 123456 * time.Microsecond: "123 ms", 3 * time.Second: "3000 ms",
	} {
		if got := millis(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestDiscoveryLines(t *testing.T) {
	line := func(key string, v any) uapi.KeyValue {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return uapi.KeyValue{Key: key, Value: string(text)}
	}
	d := &uapi.Device{Extra: []uapi.KeyValue{
		line("tunrouter_discovery", &path.Stats{Routers: 3, Direct: 2, Relayed: 1, Relays: 2}),
		line("tunrouter_relay", &engine.RelayInfo{
			TableStats: relay.TableStats{Clients: 5, Registrations: 4, Sessions: 2, Bound: 1, Dropped: map[string]uint64{"geneve": 3, "unknown_vni": 4}},
			Bytes:      5 << 30,
		}),
	}}
	var b strings.Builder
	writeDiscovery(&b, d)
	const want = `  routers: 3, reached directly 2, over relays 1; registered with relays: 2
  relay server: sessions 1, registered 4 of 5, forwarded 5.00 GiB, dropped 7
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.Reset()
	writeDiscovery(&b, &uapi.Device{Extra: []uapi.KeyValue{line("tunrouter_discovery", &path.Stats{})}})
	if b.Len() > 0 {
		t.Errorf("with nothing to tell: %q", b.String())
	}
}
