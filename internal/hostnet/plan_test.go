// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"net/netip"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

// compareIP lets cmp look at netip values.
var compareIP = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func TestPlan(t *testing.T) {
	auto, off := hostnet.Table{}, hostnet.Table{Mode: hostnet.TableOff}
	id := hostnet.Table{Mode: hostnet.TableID, ID: 1000}
	tests := []struct {
		name            string
		o               hostnet.Options
		noIPv6          bool // on the interface
		noIPv6Elsewhere bool
		want            hostnet.Plan
	}{
		{
			name: "nothing",
		}, {
			name: "longest first, host bits masked, repetitions gone",
			o:    hostnet.Options{AllowedIPs: prefixes("10.0.0.0/8", "10.1.2.3/16", "192.0.2.1/32", "10.0.0.0/8", "fd00::/64")},
			want: hostnet.Plan{Routes: prefixes("fd00::/64", "192.0.2.1/32", "10.1.0.0/16", "10.0.0.0/8"), Table: hostnet.MainTable},
		}, {
			name: "4in6 is IPv4",
			o:    hostnet.Options{Addresses: prefixes("::ffff:10.0.0.1/120"), AllowedIPs: prefixes("::ffff:10.1.0.0/112")},
			want: hostnet.Plan{Addresses: prefixes("10.0.0.1/24"), Routes: prefixes("10.1.0.0/16"), Table: hostnet.MainTable},
		}, {
			name: "default routes go by mark",
			o:    hostnet.Options{Table: auto, AllowedIPs: prefixes("0.0.0.0/0", "::/0", "10.0.0.0/8")},
			want: hostnet.Plan{Routes: prefixes("10.0.0.0/8"), Table: hostnet.MainTable, Default4: true, Default6: true},
		}, {
			name: "one family only",
			o:    hostnet.Options{AllowedIPs: prefixes("::/0")},
			want: hostnet.Plan{Default6: true},
		}, {
			name: "halves of everything are ordinary",
			o:    hostnet.Options{AllowedIPs: prefixes("0.0.0.0/1", "128.0.0.0/1")},
			want: hostnet.Plan{Routes: prefixes("0.0.0.0/1", "128.0.0.0/1"), Table: hostnet.MainTable},
		}, {
			name: "table off",
			o:    hostnet.Options{Table: off, Addresses: prefixes("10.0.0.1/24"), AllowedIPs: prefixes("0.0.0.0/0", "10.0.0.0/8")},
			want: hostnet.Plan{Addresses: prefixes("10.0.0.1/24")},
		}, {
			name: "a table of the operator's: default routes are ordinary",
			o:    hostnet.Options{Table: id, AllowedIPs: prefixes("0.0.0.0/0", "::/0", "10.0.0.0/8")},
			want: hostnet.Plan{Routes: prefixes("10.0.0.0/8", "0.0.0.0/0", "::/0"), Table: 1000},
		}, {
			name: "alone in a namespace: default routes are ordinary, in the main table",
			o:    hostnet.Options{Table: hostnet.Table{Mode: hostnet.TableAlone}, AllowedIPs: prefixes("0.0.0.0/0", "::/0", "10.0.0.0/8")},
			want: hostnet.Plan{Routes: prefixes("10.0.0.0/8", "0.0.0.0/0", "::/0"), Table: hostnet.MainTable},
		}, {
			name:            "no IPv6 at all",
			o:               hostnet.Options{Addresses: prefixes("10.0.0.1/24", "fd00::1/64"), AllowedIPs: prefixes("0.0.0.0/0", "::/0", "fd00::/64")},
			noIPv6:          true,
			noIPv6Elsewhere: true,
			want:            hostnet.Plan{Addresses: prefixes("10.0.0.1/24"), Default4: true, Skipped: true},
		}, {
			name:   "no IPv6 on the interface, but on others: ::/0 would leak",
			o:      hostnet.Options{AllowedIPs: prefixes("0.0.0.0/0", "::/0")},
			noIPv6: true,
			want:   hostnet.Plan{Default4: true, Skipped: true, Leak: true},
		}, {
			name:   "a left out network is no leak",
			o:      hostnet.Options{AllowedIPs: prefixes("fd00::/64")},
			noIPv6: true,
			want:   hostnet.Plan{Skipped: true},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Interface = "wg0"
			got, err := hostnet.NewPlan(&tt.o, 1000, !tt.noIPv6, !tt.noIPv6Elsewhere)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compareIP); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, o := range map[string]*hostnet.Options{
		"nil":            nil,
		"no name":        {},
		"negative mtu":   {Interface: "wg0", MTU: -1},
		"zero prefix":    {Interface: "wg0", AllowedIPs: make([]netip.Prefix, 1)},
		"zero address":   {Interface: "wg0", Addresses: make([]netip.Prefix, 1)},
		"half 4in6 only": {Interface: "wg0", AllowedIPs: prefixes("::ffff:0.0.0.0/90")},
	} {
		if _, err := hostnet.NewPlan(o, 0, true, true); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPlanKeepsOptions(t *testing.T) {
	o := &hostnet.Options{Interface: "wg0", AllowedIPs: prefixes("10.0.0.1/8", "10.0.0.0/8", "10.1.0.0/16")}
	if _, err := hostnet.NewPlan(o, 0, true, true); err != nil {
		t.Fatal(err)
	}
	want := prefixes("10.0.0.1/8", "10.0.0.0/8", "10.1.0.0/16")
	if diff := cmp.Diff(want, o.AllowedIPs, compareIP); diff != "" {
		t.Errorf("the caller's options changed (-want +got):\n%s", diff)
	}
}

func TestCovered(t *testing.T) {
	networks := prefixes("10.0.0.0/24", "fd00::/64")
	for p, want := range map[string]bool{
		"10.0.0.7/32": true, "10.0.0.0/24": true, "10.0.0.0/23": false, "10.0.1.0/24": false,
		"fd00::1/128": true, "fd00::/64": true, "fd00::/63": false, "0.0.0.0/0": false,
	} {
		if got := hostnet.Covered(netip.MustParsePrefix(p), networks); got != want {
			t.Errorf("covered(%s) = %v, want %v", p, got, want)
		}
	}
}

func TestProbeIPv6(t *testing.T) {
	conf := func(values map[string]string) fstest.MapFS {
		root := fstest.MapFS{}
		for name, v := range values {
			root["conf/"+name+"/disable_ipv6"] = &fstest.MapFile{Data: []byte(v + "\n")}
		}
		return root
	}
	tests := []struct {
		name            string
		root            fstest.MapFS
		here, elsewhere bool
	}{
		{"on", conf(map[string]string{"all": "0", "default": "0", "lo": "0", "eth0": "0", "wg0": "0"}), true, true},
		{"off here", conf(map[string]string{"all": "0", "default": "1", "lo": "0", "eth0": "0", "wg0": "1"}), false, true},
		{"off everywhere", conf(map[string]string{"all": "1", "default": "1", "lo": "0", "eth0": "1", "wg0": "1"}), false, false},
		{"only loopback besides", conf(map[string]string{"all": "0", "default": "0", "lo": "0", "wg0": "0"}), true, false},
		{"mtu too small", conf(map[string]string{"all": "0", "default": "0", "eth0": "0"}), false, true},
		{"no IPv6 in the kernel", fstest.MapFS{}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			here, elsewhere := hostnet.ProbeIPv6(tt.root, "wg0")
			if here != tt.here || elsewhere != tt.elsewhere {
				t.Errorf("got %v, %v, want %v, %v", here, elsewhere, tt.here, tt.elsewhere)
			}
		})
	}
}

func TestRulePriorities(t *testing.T) {
	tests := []struct {
		name             string
		others, ours     []int
		tunnel, suppress int
	}{
		{"a plain host", []int{0, 32766, 32767}, nil, 32765, 32764},
		{"IPv6 has no default rule", []int{0, 32766}, nil, 32765, 32764},
		{"before another tunnel", []int{0, 32764, 32765, 32766, 32767}, nil, 32763, 32762},
		{"before the administrator's", []int{0, 100, 32766}, nil, 99, 98},
		{"no room before", []int{0, 2, 32766}, nil, 32765, 32764},
		{"several at zero", []int{0, 0, 32766}, nil, 32765, 32764},
		{"none", nil, nil, 32765, 32764},
		{"beside our own", []int{0, 32766}, []int{32764, 32765}, 32763, 32762},
		{"back when the own ones are elsewhere", []int{0, 32766}, []int{32762, 32763}, 32765, 32764},
		{"one of the own ones", []int{0, 32766}, []int{32764}, 32763, 32762},
		{"no room beside", []int{0, 3, 32766}, []int{1, 2}, 2, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tunnel, suppress := hostnet.RulePriorities(tt.others, tt.ours)
			if tunnel != tt.tunnel || suppress != tt.suppress {
				t.Errorf("got %d, %d, want %d, %d", tunnel, suppress, tt.tunnel, tt.suppress)
			}
		})
	}
}

func TestComputeMTU(t *testing.T) {
	tests := []struct {
		name      string
		paths     []int
		byDefault int
		want      int
	}{
		{"nothing known", nil, 0, 1420},
		{"default route", nil, 9000, 8920},
		{"one endpoint", []int{1492}, 1500, 1412},
		{"the smallest counts", []int{9000, 1400, 1500}, 9000, 1320},
		{"unknown ones do not count", []int{0, 1500, 0}, 1280, 1420},
		{"all unknown", []int{0, 0}, 1400, 1320},
		{"loopback", []int{65536}, 1500, 65456},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := hostnet.ComputeMTU(tt.paths, tt.byDefault); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
