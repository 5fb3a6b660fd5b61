// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// topTime is when the second of two looks of the tests is.
func topTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 10, 0, time.UTC) }

// pathLine is what the status says of a peer that is reached over paths, the first in use.
func pathLine(t *testing.T, doubt bool, paths ...path.PathStatus) uapi.KeyValue {
	t.Helper()
	info := engine.PathInfo{PeerStatus: path.PeerStatus{Router: "yes", Paths: paths, Latency: paths[0].Latency}}
	info.Choice.Primary = paths[0].Path
	if doubt {
		info.Choice.Also = paths[1].Path
	}
	text, err := json.Marshal(&info)
	if err != nil {
		t.Fatal(err)
	}
	return uapi.KeyValue{Key: "tunrouter_path", Value: string(text)}
}

// topDevices are two looks at one router, two seconds apart.
func topDevices(t *testing.T) (before, after *uapi.Device) {
	t.Helper()
	keys := []string{"TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="}
	direct := path.PathStatus{Path: viaPath(t, "192.0.2.1:51820", 0), Latency: 1240 * time.Microsecond, Loss: 0.125}
	relayed := path.PathStatus{Path: viaPath(t, "198.51.100.1:3479", 7), Latency: 31 * time.Millisecond, RelayName: "relay.example:3479"}
	now := topTime()
	device := func(n uint64) *uapi.Device {
		return &uapi.Device{
			ListenPort: 51820,
			Extra: []uapi.KeyValue{
				{Key: "tunrouter_drops", Value: fmt.Sprintf(`{"stage":"hub","dropped":{"loop":3,"full":%d}}`, 10*n)},
				{Key: "tunrouter_drops", Value: fmt.Sprintf(`{"stage":"filter","dropped":{"default":%d}}`, 5+n)},
				{Key: "tunrouter_drops", Value: `{"stage":"tun_link","dropped":{"queue_full":1}}`},
				{Key: "tunrouter_drops", Value: "nonsense"},
			},
			Peers: []uapi.Peer{
				{PublicKey: mustKey(t, keys[0]), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("fd00::/64")}},
				{
					PublicKey: mustKey(t, keys[1]), LastHandshake: now.Add(-5 * time.Second), RxBytes: 2_500_000 * n, TxBytes: 25_000 * n,
					AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}, Extra: []uapi.KeyValue{pathLine(t, false, direct, relayed)},
				},
				{
					PublicKey: mustKey(t, keys[2]), LastHandshake: now.Add(-3 * time.Hour), RxBytes: 100, TxBytes: 5000 * n,
					Extra: []uapi.KeyValue{pathLine(t, true, relayed, direct)}, PersistentKeepalive: 25,
				},
				{PublicKey: mustKey(t, keys[3]), Endpoint: netip.MustParseAddrPort("[2001:db8::1]:51820"), LastHandshake: now.Add(-150 * time.Second), RxBytes: 7000 - n},
			},
		}
	}
	return device(1), device(2)
}

// look renders two looks two seconds apart.
func look(t *testing.T, l topLook) string {
	t.Helper()
	before, after := topDevices(t)
	s := sampleOf(after, topTime())
	s.since(sampleOf(before, topTime().Add(-2*time.Second)))
	s.sort(l.order, l.reverse)
	lines, _ := s.render(&l)
	for _, line := range lines {
		if n := visibleLen(line); l.width > 0 && n > l.width {
			t.Errorf("line of %d columns on a screen with %d: %q", n, l.width, line)
		}
	}
	if l.height > 0 && len(lines) > l.height {
		t.Errorf("%d lines on a screen with %d", len(lines), l.height)
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

func TestTopText(t *testing.T) {
	tests := []struct {
		name string
		look topLook
		want string
	}{
		{"as text", topLook{name: "wg0"}, `
wg0, UDP port 51820, peers 4: in session 2, direct 1, over relays 1, at 12:00:10
received 10.0 Mbit/s, sent 120 kbit/s; so far 4.78 MiB and 58.59 KiB

PEER       ADDRESS        RECEIVED         SENT  PATH                           LATENCY   LOSS   HANDSHAKE    TOTAL RX    TOTAL TX
xTIBA5rb…  10.0.0.2    10.0 Mbit/s   100 kbit/s  direct 192.0.2.1:51820          1.2 ms   12 %         5 s    4.77 MiB   48.83 KiB
hSDwCYkw…                  0 bit/s  20.0 kbit/s  ? relay relay.example:3479       31 ms    0 %         3 h       100 B    9.77 KiB
TrMvSoP4…  fd00::/64       0 bit/s      0 bit/s  -                                    -      -       never         0 B         0 B
gN65BkIK…                        -      0 bit/s  endpoint [2001:db8::1]:51820         -      -       2 min    6.83 KiB         0 B

DROPPED BY       REASON                      PACKETS   PER SECOND
hub              full                             20          5.0
filter           default                           7          0.5
hub              loop                              3            0
tun_link         queue_full                        1            0
`},
		{"screen", topLook{name: "wg0", width: 80, height: 14, order: 2, keys: true}, `
wg0, UDP port 51820, peers 4: in session 2, direct 1, over relays 1, at 12:00:10
received 10.0 Mbit/s, sent 120 kbit/s; so far 4.78 MiB and 58.59 KiB

PEER          RECEIVED         SENT  PATH                   LATENCY*   HANDSHAKE
hSDwCYkw…      0 bit/s  20.0 kbit/s  ? relay relay.exampl…     31 ms         3 h
xTIBA5rb…  10.0 Mbit/s   100 kbit/s  direct 192.0.2.1:518…    1.2 ms         5 s
TrMvSoP4…      0 bit/s      0 bit/s  -                             -       never
gN65BkIK…            -      0 bit/s  endpoint [2001:db8::…         -       2 min

DROPPED BY       REASON                      PACKETS   PER SECOND
hub              full                             20          5.0
filter           default                           7          0.5
and 2 more reasons
q quit  r t l h p n sort by latency
`},
		{"scrolled to the end, reversed", topLook{name: "wg0", width: 50, height: 8, order: 3, reverse: true, first: 9, keys: true}, `
wg0, UDP port 51820, peers 4: in session 2, direc…
received 10.0 Mbit/s, sent 120 kbit/s; so far 4.7…

PEER          RECEIVED         SENT  HANDSHAKE'
xTIBA5rb…  10.0 Mbit/s   100 kbit/s         5 s
TrMvSoP4…      0 bit/s      0 bit/s       never

q quit  up down 3-4 of 4  r t l h p n sort by han…
`},
		{"tiny", topLook{name: "wg0", width: 20, height: 4, problem: "no answer, trying\x1b again"}, `
wg0, UDP port 51820…
received 10.0 Mbit/…
no answer, trying? …
PEER          RECEI…
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, look(t, tt.look)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestTopColor: colours change no text, and there are none unless asked for.
func TestTopColor(t *testing.T) {
	l := topLook{name: "wg0", width: 120, height: 20, keys: true}
	plain := look(t, l)
	l.color = true
	painted := look(t, l)
	if strings.Contains(plain, "\x1b") {
		t.Errorf("attributes without colour: %q", plain)
	}
	for _, want := range []string{"\x1b[31m  ? relay relay.example:3479", "\x1b[33m   12 %\x1b[0m", "\x1b[33mhub              full"} {
		if !strings.Contains(painted, want) {
			t.Errorf("not painted: %q in %q", want, painted)
		}
	}
	trimmed := func(text string) (out []string) {
		for line := range strings.Lines(text) {
			out = append(out, strings.TrimRight(line, " \n"))
		}
		return out
	}
	var bare strings.Builder
	inside := false
	for _, r := range painted {
		switch {
		case r == 0x1b:
			inside = true
		case inside:
			inside = r != 'm'
		default:
			bare.WriteRune(r)
		}
	}
	if diff := cmp.Diff(trimmed(plain), trimmed(bare.String())); diff != "" {
		t.Errorf("colour changes the text (-plain +colour):\n%s", diff)
	}
}

func TestTopSince(t *testing.T) {
	before, after := topDevices(t)
	s := sampleOf(after, topTime())
	if s.rxRate != unknown || s.peers[1].rxRate != unknown {
		t.Errorf("rates from one look: %v, %v", s.rxRate, s.peers[1].rxRate)
	}
	s.since(sampleOf(before, topTime()))
	if s.rxRate != unknown {
		t.Errorf("rate of no time: %v", s.rxRate)
	}
	// A peer that is new has no rate; one that is gone does not matter.
	before.Peers = append(before.Peers[:1], uapi.Peer{RxBytes: 1 << 40})
	s.since(sampleOf(before, topTime().Add(-time.Second)))
	if s.rxRate != 0 || s.peers[0].rxRate != 0 || s.peers[1].rxRate != unknown {
		t.Errorf("rates %v, known peer %v, new peer %v, want 0, 0, unknown", s.rxRate, s.peers[0].rxRate, s.peers[1].rxRate)
	}
}

func TestTopOrders(t *testing.T) {
	before, after := topDevices(t)
	for order, want := range []string{"xhTg", "xhTg", "hxTg", "xghT", "xghT", "Tghx"} {
		for _, reverse := range []bool{false, true} {
			s := sampleOf(after, topTime())
			s.since(sampleOf(before, topTime().Add(-time.Second)))
			s.sort(order, reverse)
			got := ""
			for i := range s.peers {
				got += s.peers[i].name()[:1]
			}
			if !reverse && got != want {
				t.Errorf("%s: %s, want %s", topOrders()[order].name, got, want)
			}
			o := topOrders()[order]
			firstUnknown := slices.IndexFunc(s.peers, func(p topPeer) bool { return !o.known(&p) })
			if firstUnknown >= 0 && slices.ContainsFunc(s.peers[firstUnknown:], func(p topPeer) bool { return o.known(&p) }) {
				t.Errorf("%s, reverse %v: what is not known is not last: %s", o.name, reverse, got)
			}
		}
	}
}

func TestBitRate(t *testing.T) {
	for bytes, want := range map[float64]string{
		unknown: "-", 0: "0 bit/s", 1: "8 bit/s", 124.9: "999 bit/s", 125: "1.00 kbit/s", 1249.5: "10.0 kbit/s",
		124937.5: "1.00 Mbit/s", 12.5e6: "100 Mbit/s", 1.5e9: "12.0 Gbit/s", 125e12: "1000 Tbit/s",
	} {
		if got := bitRate(bytes); got != want {
			t.Errorf("%v: %q, want %q", bytes, got, want)
		}
	}
}

func TestShortAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Minute: "future", 0: "now", 119 * time.Second: "119 s", 2 * time.Minute: "2 min", 2 * time.Hour: "2 h", 50 * time.Hour: "2 d",
	} {
		if got := shortAge(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestSplitKeys(t *testing.T) {
	for typed, want := range map[string][]int{
		"":                  nil,
		"rq":                {'r', 'q'},
		"\x1b[A\x1bOBk":     {keyUp, keyDown, 'k'},
		"\x1b[5~\x1b[6~":    {keyPageUp, keyPageDown},
		"\x1b[1;5Cx":        {'x'}, // an unknown one
		"\x1bxl":            {'l'}, // Alt-x
		"\x03":              {3},
		"h\x1b":             {'h'},
		"h\x1b[":            {'h'},
		"h\x1b[1;":          {'h'},
		"\x1b[H\x1b[4~\x1b": {keyHome, keyEnd},
	} {
		// In one piece, and byte by byte as a slow line has it.
		whole, _ := splitKeys([]byte(typed))
		var pieces []int
		var rest []byte
		for i := range len(typed) {
			var found []int
			found, rest = splitKeys(append(rest, typed[i]))
			pieces = append(pieces, found...)
		}
		if !slices.Equal(whole, want) || !slices.Equal(pieces, want) {
			t.Errorf("%q: %v, in pieces %v, want %v", typed, whole, pieces, want)
		}
	}
}

// TestTopPrint: without a terminal the table is printed so often.
func TestTopPrint(t *testing.T) {
	_, device := topDevices(t)
	dir := serve(t, map[string]*uapi.Device{"wg0": device})
	for _, tt := range []struct {
		args   string
		tables int
		fail   string
		code   int
	}{
		{"-i 200ms", 1, "", 0},
		{"-i 200ms -n 3 wg0 --sort path", 3, "", 0},
		{"wg1", 0, "no router answers at", 1},
		{"-n -1", 0, "--count must not be below zero", 2},
		{"-i 1ms", 0, "--interval must be at least 200ms", 2},
		{"--sort size", 0, "must be one of received, sent", 2},
		{"a b", 0, "at most one NAME", 2},
	} {
		stdout, stderr, code := call(t, append([]string{"top", "--socket-dir", dir}, strings.Fields(tt.args)...)...)
		if n := strings.Count(stdout, "PEER "); n != tt.tables || code != tt.code || !strings.Contains(stderr, tt.fail) || (tt.fail == "") != (stderr == "") {
			t.Errorf("%s: %d tables, exit code %d, stderr %q", tt.args, n, code, stderr)
		}
		if strings.Contains(stdout, "\x1b") {
			t.Errorf("%s: attributes where there is no terminal", tt.args)
		}
	}
}
