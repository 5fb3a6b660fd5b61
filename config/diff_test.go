// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"log/slog"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

func TestDiffEmpty(t *testing.T) {
	a := mustParse(t, readFile(t, "testdata/all.conf"))
	b := mustParse(t, "# moved by a line\n"+readFile(t, "testdata/all.conf"))
	b.Name, b.Path = "other", "/other.conf"
	b.Router.ModeSet = false
	b.Peers[0], b.Peers[1] = b.Peers[1], b.Peers[0]
	b.Peers[1].AllowedIPs[0], b.Peers[1].AllowedIPs[1] = b.Peers[1].AllowedIPs[1], b.Peers[1].AllowedIPs[0]
	if c := config.Diff(a, b); !c.Empty() || c.PeersChanged() {
		t.Errorf("Diff = %+v, want nothing", c)
	}
	if c := config.Diff(nil, nil); !c.Empty() {
		t.Errorf("Diff(nil, nil) = %+v, want nothing", c)
	}
}

// TestDiffFields changes each field of Interface, Router and Peer, one at a time, and
// wants exactly this one reported. It fails for a field that Diff does not know.
func TestDiffFields(t *testing.T) {
	base := func() *config.Config { return mustParse(t, readFile(t, "testdata/all.conf")) }
	values := map[reflect.Type]any{
		reflect.TypeFor[config.Key]():          mustKey(t, peerC),
		reflect.TypeFor[uint16]():              uint16(7),
		reflect.TypeFor[uint32]():              uint32(7),
		reflect.TypeFor[int]():                 7,
		reflect.TypeFor[string]():              "changed",
		reflect.TypeFor[[]netip.Prefix]():      prefixes("10.99.0.0/24"),
		reflect.TypeFor[[]netip.Addr]():        addrs("10.99.0.1"),
		reflect.TypeFor[[]string]():            []string{"changed"},
		reflect.TypeFor[bool]():                false,
		reflect.TypeFor[config.Table]():        config.Table{Mode: config.TableOff},
		reflect.TypeFor[config.Endpoint]():     config.Endpoint{Host: "changed", Port: 7},
		reflect.TypeFor[config.Mode]():         config.ModeTUN,
		reflect.TypeFor[config.XDP]():          config.XDP{On: true, Interface: "eth0.5"},
		reflect.TypeFor[config.Forwarding]():   config.ForwardingIsolated,
		reflect.TypeFor[config.Switch]():       config.SwitchUnset,
		reflect.TypeFor[slog.Level]():          slog.LevelError,
		reflect.TypeFor[[]config.RoomLevel]():  []config.RoomLevel{{Room: "tun", Level: slog.LevelError}},
		reflect.TypeFor[config.LogFormat]():    config.LogFormatText,
		reflect.TypeFor[config.SubnetRouter](): config.SubnetRouter{Any: true},
		reflect.TypeFor[config.Recovery]():     config.RecoveryRACK,
		reflect.TypeFor[config.Congestion]():   config.CongestionCubic,
		reflect.TypeFor[time.Duration]():       7 * time.Millisecond,
	}
	tests := []struct {
		section string
		of      func(*config.Config) any // pointer to the struct to change
		names   func(config.Changes) []string
		not     map[string]string // fields with another name in the changes, or none
	}{
		{"Interface", func(c *config.Config) any { return &c.Interface },
			func(c config.Changes) []string { return c.Interface.Names() }, nil},
		{"Router", func(c *config.Config) any { return &c.Router },
			func(c config.Changes) []string { return c.Router.Names() },
			map[string]string{"LogLevelSet": "LogLevel", "LogRooms": "LogLevel", "LogFormat": "LogLevel", "Metrics": "", "ModeSet": ""}},
		{"Peer", func(c *config.Config) any { return &c.Peers[0] },
			func(c config.Changes) []string {
				if len(c.Changed) != 1 {
					return nil
				}
				return c.Changed[0].Names()
			},
			map[string]string{"PublicKey": "", "Line": ""}},
	}
	for _, tt := range tests {
		fields := reflect.TypeOf(tt.of(base())).Elem()
		for i := range fields.NumField() {
			name := fields.Field(i).Name
			want := name
			if other, ok := tt.not[name]; ok {
				want = other
			}
			if want == "" {
				continue
			}
			t.Run(tt.section+"/"+name, func(t *testing.T) {
				before, after := base(), base()
				value, ok := values[fields.Field(i).Type]
				if !ok {
					t.Fatalf("no value of type %s to change it to", fields.Field(i).Type)
				}
				reflect.ValueOf(tt.of(after)).Elem().Field(i).Set(reflect.ValueOf(value))
				c := config.Diff(before, after)
				if diff := cmp.Diff([]string{want}, tt.names(c)); diff != "" {
					t.Errorf("changed fields (-want +got):\n%s", diff)
				}
				total := len(c.Interface.Names()) + len(c.Router.Names()) + len(c.Added) + len(c.Removed) + len(c.Changed)
				if total != 1 || c.Empty() || c.PeersChanged() != (tt.section == "Peer") {
					t.Errorf("%d changes, Empty %t, PeersChanged %t", total, c.Empty(), c.PeersChanged())
				}
			})
		}
	}
}

// TestDiffFilter changes each part of [Filter], one at a time, and wants it reported, but
// not what is no part of it.
func TestDiffFilter(t *testing.T) {
	tests := []struct {
		name   string
		change func(*config.Filter)
		want   bool
	}{
		{"nothing", func(*config.Filter) {}, false},
		{"text", func(f *config.Filter) { f.Rules[0].Text = "other" }, false},
		{"lines", func(f *config.Filter) { f.Rules[0].Line, f.Names[0].Line = 99, 98 }, false},
		{"order", func(f *config.Filter) { f.Rules[0], f.Rules[1] = f.Rules[1], f.Rules[0] }, true},
		{"one less", func(f *config.Filter) { f.Rules = f.Rules[1:] }, true},
		{"action", func(f *config.Filter) { f.Rules[2].Deny = true }, true},
		{"from host", func(f *config.Filter) { f.Rules[0].From.Host = false }, true},
		{"from name", func(f *config.Filter) { f.Rules[0].From.Names = nil }, true},
		{"from key", func(f *config.Filter) { f.Rules[1].From.Keys[0] = mustKey(t, peerC) }, true},
		{"to peers", func(f *config.Filter) { f.Rules[0].To.Peers = false }, true},
		{"to range", func(f *config.Filter) { f.Rules[0].To.Prefixes[0] = prefixes("10.0.0.0/9")[0] }, true},
		{"protocol", func(f *config.Filter) { f.Rules[0].Protocol = 17 }, true},
		{"port", func(f *config.Filter) { f.Rules[0].Ports[0].Last = 23 }, true},
		{"source port", func(f *config.Filter) { f.Rules[1].SourcePorts = nil }, true},
		{"name", func(f *config.Filter) { f.Names[0].Name = "other" }, true},
		{"key of a name", func(f *config.Filter) { f.Names[0].Keys[0] = mustKey(t, peerC) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := mustParse(t, readFile(t, "testdata/all.conf")), mustParse(t, readFile(t, "testdata/all.conf"))
			tt.change(&after.Filter)
			c := config.Diff(before, after)
			if c.Filter != tt.want || c.Empty() == tt.want || c.PeersChanged() {
				t.Errorf("Filter = %t, Empty = %t, PeersChanged = %t; want Filter = %t", c.Filter, c.Empty(), c.PeersChanged(), tt.want)
			}
		})
	}
}

func TestDiffPeers(t *testing.T) {
	head := "[Interface]\nPrivateKey = " + testPrivate + "\n"
	before := mustParse(t, head+`
[Peer]
PublicKey = `+peerA+`
AllowedIPs = 10.0.0.0/24, 10.1.0.0/24
[Peer]
PublicKey = `+peerB+`
AllowedIPs = 10.2.0.0/24
`)
	// 10.1.0.0/24 moves from A to C, B goes.
	after := mustParse(t, head+`
[Peer]
PublicKey = `+peerC+`
AllowedIPs = 10.1.0.0/24
[Peer]
PublicKey = `+peerA+`
AllowedIPs = 10.3.0.0/24, 10.0.0.0/24
`)
	want := config.Changes{
		Added:   after.Peers[:1],
		Removed: before.Peers[1:],
		Changed: []config.PeerChange{{
			Old: before.Peers[0], New: after.Peers[1], AllowedIPs: true,
			AllowedIPsAdded: prefixes("10.3.0.0/24"), AllowedIPsRemoved: prefixes("10.1.0.0/24"),
		}},
	}
	if diff := cmp.Diff(want, config.Diff(before, after), same()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c := config.Diff(nil, before); len(c.Added) != 2 || !c.Interface.PrivateKey {
		t.Errorf("Diff from nothing = %+v", c)
	}
	if c := config.Diff(before, nil); len(c.Removed) != 2 || !c.Interface.PrivateKey {
		t.Errorf("Diff to nothing = %+v", c)
	}
}

// TestDiffSameMeaning: other spellings of a key and of an address change nothing.
func TestDiffSameMeaning(t *testing.T) {
	a := mustParse(t, readFile(t, "testdata/all.conf"))
	b := mustParse(t, readFile(t, "testdata/all.conf"))
	b.Interface.PrivateKey[0] |= 7
	b.Peers[0].Endpoint.Host = "2001:DB8:0::2"
	if c := config.Diff(a, b); !c.Empty() {
		t.Errorf("Diff = %+v, want nothing", c)
	}
	b.Interface.PrivateKey = config.Key{}
	if c := config.Diff(a, b); !c.Interface.PrivateKey {
		t.Error("removed private key is not reported")
	}
}
