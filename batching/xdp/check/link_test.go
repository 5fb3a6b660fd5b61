// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"errors"
	"slices"
	"testing"
)

// goodLink is a device of hardware with everything.
func goodLink() *linkFacts {
	return &linkFacts{
		name: "eth0", kind: kindReal, mtu: 1500, addresses: 2, up: true, carrier: true, ethernet: true,
		device: &deviceFacts{
			name: "eth0", kind: kindReal, driver: "ice", index: 2, queues: 8, table: []uint32{0, 1, 2, 3, 4, 5, 6, 7},
			active: map[string]bool{"rx-gro": true}, changeable: map[string]bool{"rx-gro": true},
			xdp: &xdpFeatures{redirect: true, zeroCopy: true},
		},
	}
}

// reportOn returns what Run would say of the interface without trying.
func reportOn(l *linkFacts, queues int) *Report {
	r := &Report{Queues: queues, Verdict: Unknown}
	l.report(r, 4096)
	if r.Available > 0 {
		l.device.expect(r, l.mtu > nativeMTU(4096))
	}
	return r
}

func TestLink(t *testing.T) {
	for _, tt := range []struct {
		name        string
		change      func(l *linkFacts, d *deviceFacts)
		verdict     Verdict
		level       Level
		about, text string
	}{
		{"good", func(*linkFacts, *deviceFacts) {}, ZeroCopy, OK, "driver", "native mode and zero-copy"},
		{"loopback", func(l *linkFacts, _ *deviceFacts) { l.loopback = true }, Kernel, Stops, "interface", "loopback"},
		{"not Ethernet", func(l *linkFacts, _ *deviceFacts) { l.ethernet = false }, Kernel, Stops, "interface", "no Ethernet"},
		{"no device", func(l *linkFacts, _ *deviceFacts) { l.device, l.deviceErr = nil, errors.New("a VLAN in a VLAN") }, Kernel, Stops, "interface", "a VLAN in a VLAN"},
		{"down", func(l *linkFacts, _ *deviceFacts) { l.up = false }, Kernel, Stops, "interface", "eth0 is down"},
		{"no carrier", func(l *linkFacts, _ *deviceFacts) { l.carrier = false }, ZeroCopy, Note, "interface", "no carrier"},
		{"no address", func(l *linkFacts, _ *deviceFacts) { l.addresses = 0 }, Kernel, Stops, "addresses", "no address"},
		{"bond", func(_ *linkFacts, d *deviceFacts) { d.kind = "bond" }, Kernel, Stops, "interface", "is a bond"},
		{"bridge", func(_ *linkFacts, d *deviceFacts) { d.kind = "bridge" }, Kernel, Stops, "interface", "is a bridge"},
		{"port", func(l *linkFacts, _ *deviceFacts) { l.master, l.masterOf = "br0", "bridge" }, ZeroCopy, Note, "interface", "port of bridge br0"},
		{"in a VRF", func(l *linkFacts, _ *deviceFacts) { l.master, l.masterOf = "red", "vrf" }, ZeroCopy, Note, "interface", "in VRF red"},

		{"MTU fits", func(l *linkFacts, _ *deviceFacts) { l.mtu = 1774 }, ZeroCopy, OK, "mtu", "1774 bytes, fit into frames of 2048"},
		{"MTU fits into large frames", func(l *linkFacts, _ *deviceFacts) { l.mtu = 1775 }, ZeroCopy, OK, "mtu", "1775 bytes, fit into frames of 4096"},
		{"MTU for native", func(l *linkFacts, _ *deviceFacts) { l.mtu = 3506 }, ZeroCopy, OK, "mtu", "3506 bytes, fit into frames of 4096"},
		{"MTU above native", func(l *linkFacts, _ *deviceFacts) { l.mtu = 3822 }, Unknown, Limits, "mtu", "refuse native mode above about 3506"},
		{"MTU above the frame", func(l *linkFacts, _ *deviceFacts) { l.mtu = 3823 }, Unknown, Limits, "mtu", "and packets above 3822 bytes go to the kernel's sockets"},

		{"foreign program", func(_ *linkFacts, d *deviceFacts) { d.program = &programFacts{id: 7, mode: "native", name: "xdp_fw"} }, Kernel, Stops, "program", "id 7, native, xdp_fw"},
		{"several programs", func(_ *linkFacts, d *deviceFacts) { d.program = &programFacts{mode: "several"} }, Kernel, Stops, "program", "(several)"},
		{"our program", func(_ *linkFacts, d *deviceFacts) { d.program = &programFacts{id: 7, mode: "native", ours: true} }, Kernel, Stops, "program", "a router's"},

		{"all queues", func(_ *linkFacts, d *deviceFacts) { d.queues = 4 }, ZeroCopy, OK, "queues", "are used: 4"},
		{"some queues", func(_ *linkFacts, d *deviceFacts) { d.queues, d.table = 8, []uint32{0, 1, 2, 3, 4, 5} }, ZeroCopy, Limits, "queues", "4 of 8 receive queues are used; 33 %"},
		{"some queues, shrunk", func(_ *linkFacts, d *deviceFacts) { d.queues, d.table = 8, []uint32{0, 1, 2, 3, 0} }, ZeroCopy, OK, "queues", "4 of 8 receive queues are used; the device sends"},
		{"some queues, unknown", func(_ *linkFacts, d *deviceFacts) { d.queues, d.table = 8, nil }, ZeroCopy, Limits, "queues", "4 of 8 receive queues are used; what arrives"},

		{"LRO", func(_ *linkFacts, d *deviceFacts) { d.active[featureLRO] = true }, ZeroCopy, Limits, "offloads", "rx-lro is on"},
		{"hardware GRO", func(_ *linkFacts, d *deviceFacts) { d.active[featureGROHW] = true }, ZeroCopy, Note, "offloads", "switches it off"},
		{"offloads unknown", func(_ *linkFacts, d *deviceFacts) { d.active = nil }, ZeroCopy, Note, "offloads", "not known"},
		{"VLAN offload without a VLAN", func(_ *linkFacts, d *deviceFacts) { d.active[featureRxVLAN] = true }, ZeroCopy, OK, "offloads", "nothing is on"},
		{"VLAN offload", func(l *linkFacts, d *deviceFacts) { l.vlan, d.active[featureRxVLAN] = 7, true }, ZeroCopy, Limits, "offloads", "rx-vlan-hw-parse is on"},

		{"no zero-copy", func(_ *linkFacts, d *deviceFacts) { d.xdp.zeroCopy = false }, NativeCopy, OK, "driver", "no zero-copy"},
		{"not known", func(_ *linkFacts, d *deviceFacts) { d.xdp = nil }, Unknown, Note, "driver", "not known"},
		{"no native", func(_ *linkFacts, d *deviceFacts) { d.xdp.redirect = false }, Generic, Limits, "generic", "ice has no native mode; generic"},
		{"no native, xen", func(_ *linkFacts, d *deviceFacts) { d.xdp.redirect, d.driver = false, "vif" }, Kernel, Stops, "generic", "merged packets can arrive on vif"},
		{"no native, macvlan", func(_ *linkFacts, d *deviceFacts) { d.xdp.redirect, d.kind = false, "macvlan" }, Kernel, Stops, "generic", "merged packets can arrive on macvlan"},
		{"virtio", func(_ *linkFacts, d *deviceFacts) { d.driver = driverVirtio }, ZeroCopy, OK, "driver", "virtio_net has"},
		{"virtio that merges", func(_ *linkFacts, d *deviceFacts) { d.driver, d.active[featureGROHW] = driverVirtio, true }, Kernel, Stops, "generic", "virtio_net refuses native mode"},
		{"virtio that can stop", func(_ *linkFacts, d *deviceFacts) {
			d.driver, d.active[featureGROHW], d.changeable[featureGROHW] = driverVirtio, true, true
		}, ZeroCopy, Note, "offloads", "switches it off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := goodLink()
			tt.change(l, l.device)
			r := reportOn(l, map[bool]int{true: 4, false: MaxQueues}[tt.about == "queues"])
			expect(t, r, tt.level, tt.about, tt.text)
			if r.Verdict != tt.verdict {
				t.Errorf("verdict %q, want %q", r.Verdict, tt.verdict)
			}
			if r.Verdict == Kernel && len(r.Because) == 0 || r.Verdict != Kernel && len(r.Because) != 0 {
				t.Errorf("%s", r)
			}
		})
	}
}

// TestGoodLink: nothing is said that would be in the way.
func TestGoodLink(t *testing.T) {
	r := reportOn(goodLink(), MaxQueues)
	for _, f := range r.Findings {
		if f.Level != OK || f.Remedy != "" {
			t.Errorf("%+v", f)
		}
	}
	if r.Interface != "eth0" || r.Device != "eth0" || r.Driver != "ice" || r.Queues != 8 || r.Available != 8 || r.MTU != 1500 || r.VLAN != 0 {
		t.Errorf("%+v", r)
	}
}

// TestRemedies: what stops has a remedy, but for what nobody can change.
func TestRemedies(t *testing.T) {
	l := goodLink()
	l.up, l.addresses, l.masterOf, l.master = false, 0, "bridge", "br0"
	l.device.program = &programFacts{mode: "native"}
	l.device.active = map[string]bool{featureLRO: true, featureGROHW: true}
	for _, f := range reportOn(l, 2).Findings {
		if (f.Level == Stops || f.Level == Limits) && f.Remedy == "" {
			t.Errorf("no remedy: %+v", f)
		}
	}
}

func TestOptions(t *testing.T) {
	for queues, want := range map[int]int{0: MaxQueues, 1: 1, MaxQueues: MaxQueues} {
		if o, err := (&Options{Queues: queues}).withDefaults(); err != nil || o.Queues != want {
			t.Errorf("%d queues: %d, %v", queues, o.Queues, err)
		}
	}
	for _, queues := range []int{-1, MaxQueues + 1} {
		if _, err := (&Options{Queues: queues}).withDefaults(); err == nil {
			t.Errorf("%d queues: no error", queues)
		}
	}
	var o *Options
	if got, err := o.withDefaults(); err != nil || got.Queues != MaxQueues {
		t.Errorf("nil: %+v, %v", got, err)
	}
}

// TestDecide: what stops stays.
func TestDecide(t *testing.T) {
	r := &Report{Verdict: Unknown}
	r.decide(ZeroCopy, "")
	r.stops("x", "", "this")
	r.stops("y", "", "that")
	r.decide(NativeCopy, "other")
	if r.Verdict != Kernel || !slices.Equal(r.Because, []string{"this", "that"}) || r.String() != "kernel sockets, because this; that" {
		t.Errorf("%+v: %s", r, r)
	}
	if s := (&Report{Verdict: ZeroCopy}).String(); s != "zero-copy" {
		t.Errorf("%q", s)
	}
}
