// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"errors"
	"net/netip"
	"testing"
)

func TestOptions(t *testing.T) {
	addrs := func(s ...string) (out []netip.Addr) {
		for _, a := range s {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, tt := range []struct {
		name string
		o    *Options
		want error // nil: fine
	}{
		{"nil", nil, nil},
		{"hosts", &Options{Addresses: addrs("10.0.0.1", "fe80::1%eth0", "::ffff:1.2.3.4", "::1")}, nil},
		{"as many as fit", &Options{Addresses: addrs("10.0.0.1", "::ffff:10.0.0.1", "fe80::1%a", "fe80::1%b"), MaxAddresses: 2}, nil},
		{"too many", &Options{Addresses: addrs("10.0.0.1", "10.0.0.2"), MaxAddresses: 1}, ErrTooManyAddresses},
		{"invalid", &Options{Addresses: []netip.Addr{{}}}, ErrAddress},
		{"unspecified", &Options{Addresses: addrs("0.0.0.0")}, ErrAddress},
		{"unspecified v6", &Options{Addresses: addrs("::")}, ErrAddress},
		{"multicast", &Options{Addresses: addrs("224.0.0.1")}, ErrAddress},
		{"multicast v6", &Options{Addresses: addrs("ff02::1")}, ErrAddress},
		{"broadcast", &Options{Addresses: addrs("255.255.255.255")}, ErrAddress},
	} {
		if _, err := tt.o.withDefaults(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, o := range []Options{{Queues: -1}, {Queues: maxQueues + 1}, {MaxAddresses: -1}, {VLAN: maxVLAN + 1}, {VLAN: 0xffff}, {MaxFrame: -1}, {MaxFrame: maxFrame + 1}, {MaxAddresses: maxAddresses + 1}} {
		if _, err := o.withDefaults(); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for v := range verdicts {
		if s := v.String(); s == "" || seen[s] {
			t.Errorf("verdict %d: name %q is empty or taken", v, s)
		}
		seen[v.String()] = true
	}
	if s := verdicts.String(); s != "verdict(15)" {
		t.Errorf("unknown verdict: %q", s)
	}
	for m, want := range map[Mode]string{ModeAuto: "auto", ModeNative: "native", ModeGeneric: "generic", 9: "mode(9)"} {
		if m.String() != want {
			t.Errorf("mode %q, want %q", m, want)
		}
	}
	c := Counts{Redirected: 5, PassNoSocket: 2, PassAddress: 1}
	if n := c.Passed(); n != 3 {
		t.Errorf("passed %d, want 3", n)
	}
}
