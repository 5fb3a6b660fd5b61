// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/uapi"
)

// named are three peers, the first without a name.
func named() *uapi.Device {
	d := new(uapi.Device)
	for i, name := range []string{"", `"zebra"`, `"Anteater with a name that is very long"`} {
		p := uapi.Peer{PublicKey: uapi.Key{byte(i)}}
		if name != "" {
			p.Extra = []uapi.KeyValue{{Key: "tunrouter_name", Value: name}}
		}
		d.Peers = append(d.Peers, p)
	}
	return d
}

// TestTopNames: peers are called by their names, as far as there is room, and sorted by
// them; those without one come last.
func TestTopNames(t *testing.T) {
	order, ok := topOrderOf(func(o *topOrder) bool { return o.name == "name" })
	if !ok {
		t.Fatal("no order by name")
	}
	for reverse, want := range map[bool]string{false: "Anteater with a nam… zebra AAAAAAAA…", true: "zebra Anteater with a nam… AAAAAAAA…"} {
		s := sampleOf(named(), topTime())
		s.sort(order, reverse)
		var got []string
		for i := range s.peers {
			got = append(got, s.peers[i].name())
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("reverse %v: %s, want %s", reverse, got, want)
		}
	}
}

// TestStatusNames: the status has names as text and as JSON.
func TestStatusNames(t *testing.T) {
	devices := map[string]*uapi.Device{"wg0": named()}
	var text, json strings.Builder
	writeText(&text, devices, new(statusOptions), topTime())
	if err := writeJSON(&json, devices, false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "  name: "); n != 2 || !strings.Contains(text.String(), "\n  name: zebra\n") {
		t.Errorf("as text:\n%s", &text)
	}
	if n := strings.Count(json.String(), `"name": `); n != 2 || !strings.Contains(json.String(), `"name": "zebra"`) {
		t.Errorf("as JSON:\n%s", &json)
	}
}

// TestTopRelay: a relay beside peers has a line of its own, one alone takes that of the
// peers.
func TestTopRelay(t *testing.T) {
	sample := func(at time.Time, bytes uint64, peers []uapi.Peer) *topSample {
		s := sampleOf(&uapi.Device{ListenPort: 3479, Peers: peers}, at)
		s.relay = &topRelay{clients: 9, registered: 5, sessions: 4, bound: 3, bytes: bytes, rate: unknown}
		return s
	}
	const line = "relay: sessions 3 of 4 bound, registered 5 of 9, forwarding 8.00 kbit/s; so far 3.91 KiB"
	for _, tt := range []struct {
		peers []uapi.Peer
		want  string
	}{
		{nil, "wg0, UDP port 3479, no peers, at 12:00:10\n" + line + "\n\n"},
		{make([]uapi.Peer, 1), "wg0, UDP port 3479, peers 1: in session 0, at 12:00:10\nreceived 0 bit/s, sent 0 bit/s; so far 0 B and 0 B\n" + line + "\n"},
	} {
		s := sample(topTime(), 4000, tt.peers)
		s.since(sample(topTime().Add(-2*time.Second), 2000, tt.peers))
		lines, _ := s.render(&topLook{name: "wg0"})
		if got := strings.Join(lines, "\n"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%d peers:\n%s\nwant\n%s", len(tt.peers), got, tt.want)
		}
	}
}
