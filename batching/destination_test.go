// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

func TestNewDestination(t *testing.T) {
	for _, tc := range []struct {
		name, remote, local   string
		wantRemote, wantLocal string
	}{
		{name: "v4", remote: "192.0.2.1:5", wantRemote: "192.0.2.1:5"},
		{name: "v4 with source", remote: "192.0.2.1:5", local: "192.0.2.9", wantRemote: "192.0.2.1:5", wantLocal: "192.0.2.9"},
		{name: "v4 in v6 form", remote: "[::ffff:192.0.2.1]:5", local: "::ffff:192.0.2.9", wantRemote: "192.0.2.1:5", wantLocal: "192.0.2.9"},
		{name: "v6", remote: "[2001:db8::1]:5", local: "2001:db8::9", wantRemote: "[2001:db8::1]:5", wantLocal: "2001:db8::9"},
		{name: "zone of the source", remote: "[fe80::1%1]:5", local: "fe80::9%1", wantRemote: "[fe80::1%1]:5", wantLocal: "fe80::9"},
		{name: "source of the other family", remote: "[2001:db8::1]:5", local: "192.0.2.9", wantRemote: "[2001:db8::1]:5"},
		{name: "multicast source", remote: "192.0.2.1:5", local: "224.0.0.1", wantRemote: "192.0.2.1:5"},
		{name: "unspecified source", remote: "192.0.2.1:5", local: "0.0.0.0", wantRemote: "192.0.2.1:5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var local, wantLocal netip.Addr
			if tc.local != "" {
				local = netip.MustParseAddr(tc.local)
			}
			if tc.wantLocal != "" {
				wantLocal = netip.MustParseAddr(tc.wantLocal)
			}
			d := batching.NewDestination(netip.MustParseAddrPort(tc.remote), local, 7)
			if want := netip.MustParseAddrPort(tc.wantRemote); d.Remote() != want {
				t.Errorf("remote: got %v, want %v", d.Remote(), want)
			}
			if d.Local() != wantLocal {
				t.Errorf("local: got %v, want %v", d.Local(), wantLocal)
			}
			if d.IfIndex() != 7 {
				t.Errorf("interface: got %d, want 7", d.IfIndex())
			}
		})
	}
}

func TestDestinationPause(t *testing.T) {
	d := batching.NewDestination(netip.MustParseAddrPort("192.0.2.1:5"), netip.Addr{}, 0)
	now := time.Now()
	if !d.Segmented(now) {
		t.Error("new destination: not segmented")
	}
	d.Pause(now.Add(time.Minute))
	if d.Segmented(now) || d.Segmented(now.Add(time.Minute-1)) {
		t.Error("paused destination: segmented")
	}
	if !d.Segmented(now.Add(time.Minute)) {
		t.Error("after the pause: not segmented")
	}
	// The pause is over for good, whatever the next caller's clock says.
	if !d.Segmented(now) {
		t.Error("after the pause was found over: not segmented")
	}
	d.Pause(now.Add(-time.Hour))
	if !d.Segmented(now) {
		t.Error("pause that ended in the past: not segmented")
	}
}
