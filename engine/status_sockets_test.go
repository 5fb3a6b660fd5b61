// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/uapi"
)

// The status that goes over the control socket shows every socket, and how many
// were asked for.
func TestStatusShowsSockets(t *testing.T) {
	s := newSite(t, 1)
	s.cfg.Router.Sockets, s.cfg.Router.GSO = 3, config.SwitchOff
	c := s.control()
	d, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	groups := engine.SocketGroups(d)
	stats := s.Stats().Network
	if len(groups) != 1 || groups[0].Network != "udp4" || groups[0].Asked != 3 || len(groups[0].Sockets) != stats.Groups[0].Got {
		t.Fatalf("sockets are %+v, want udp4, 3 asked for, %d there", groups, stats.Groups[0].Got)
	}
	for i, got := range groups[0].Sockets {
		want := stats.Sockets[i]
		if got.Address != netip.AddrPortFrom(loopback, s.ListenPort()) || got.GSO || got.GRO != want.GRO || !slices.Equal(got.Reasons, want.Reasons) {
			t.Errorf("socket %d is %+v, want %+v", i, got, want)
		}
		if !strings.Contains(strings.Join(got.Reasons, "\n"), "gso: ") {
			t.Errorf("socket %d gives no reason for gso off: %q", i, got.Reasons)
		}
	}
}

// Reasons are any text, and other programs take lines with one "=" only.
func TestSocketLines(t *testing.T) {
	stats := &peers.Stats{
		Groups: []peers.GroupStats{{Network: "udp4", Asked: 2, Got: 1}, {Network: "udp6", Asked: 2, Got: 1}},
		Sockets: []peers.SocketStats{
			{Network: "udp4", Local: netip.MustParseAddrPort("0.0.0.0:7"), GSO: true, GRO: true},
			{Network: "udp6", Local: netip.MustParseAddrPort("[::]:7"), Reasons: []string{"a=b \"c\"\n<d>=", "é"}},
		},
	}
	lines, err := engine.SocketLines(stats)
	if err != nil {
		t.Fatal(err)
	}
	text := string((&uapi.Device{Extra: lines}).AppendTo(nil))
	if n := strings.Count(text, "="); n != 2 || strings.Count(text, "\n") != 2 {
		t.Errorf("%d of = in two lines:\n%s", n, text)
	}
	d, err := uapi.ParseDevice(strings.NewReader(text + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.SocketGroup{
		{Network: "udp4", Asked: 2, Sockets: []engine.SocketInfo{{Address: stats.Sockets[0].Local, GSO: true, GRO: true}}},
		{Network: "udp6", Asked: 2, Sockets: []engine.SocketInfo{{Address: stats.Sockets[1].Local, Reasons: stats.Sockets[1].Reasons}}},
	}
	if got := engine.SocketGroups(d); !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v, want %+v", got, want)
	}
}
