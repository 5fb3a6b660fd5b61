// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
)

// gateway asks for everything that there is advice about.
func gateway(changes ...func(*hostnet.AdviceOptions)) hostnet.AdviceOptions {
	o := hostnet.AdviceOptions{Interface: "wg0", ReceiveBuffer: 7 << 20, SendBuffer: 7 << 20,
		Forwards4: true, Forwards6: true, PolicyRouting: true}
	for _, change := range changes {
		change(&o)
	}
	return o
}

// healthy is a host with nothing to say about.
func healthy(changes ...func(*hostnet.Facts)) *hostnet.Facts {
	f := &hostnet.Facts{
		Kernel: "6.18.44", ReceiveBuffer: 7 << 20, SendBuffer: 7 << 20,
		NIC: "eth0.7", Active: []string{"rx-gro", "rx-udp-gro-forwarding"},
		Changeable:  []string{"rx-gro", "rx-udp-gro-forwarding", "rx-gro-list"},
		Forwarding4: new(true), Forwarding6: new(true),
		TxQueueLen: 1000, RPFilterNIC: 1, SrcValidMark: true,
	}
	for _, change := range changes {
		change(f)
	}
	return f
}

func TestDecide(t *testing.T) {
	type (
		facts   = hostnet.Facts
		options = hostnet.AdviceOptions
	)
	netstack := func(o *options) { o.Interface = "" }
	sick := func(f *facts) {
		*f = facts{Kernel: "7.1.4", ReceiveBuffer: 212992, SendBuffer: 212992, NIC: "eth0.7",
			Active: []string{"rx-gro", "rx-gro-list"}, Changeable: f.Changeable,
			Forwarding4: new(false), Forwarding6: new(false), TxQueueLen: 10, RPFilterNIC: 1}
	}
	for _, test := range []struct {
		name  string
		facts *facts
		asked options
		want  []string // severity and ID
	}{
		{"healthy", healthy(), gateway(), nil},
		{"nothing known", &facts{}, gateway(), nil},
		{"nothing asked", healthy(sick), options{NoGSO: true}, nil},
		{"all at once, the worst first", healthy(sick), gateway(), []string{
			"error ip-forward", "error ip6-forward", "error rp-filter",
			"warning socket-buffer-receive", "warning socket-buffer-send", "warning tx-queue-length",
			"info kernel-udp-gso", "info nic-udp-gro-forwarding", "info nic-gro-list"}},
		{"all at once in netstack mode", healthy(sick), gateway(netstack), []string{
			"error rp-filter", "warning socket-buffer-receive", "warning socket-buffer-send", "info kernel-udp-gso"}},

		{"forwards IPv4 only", healthy(sick), options{Interface: "wg0", Forwards4: true, NoGSO: true}, []string{
			"error ip-forward", "warning tx-queue-length", "info nic-udp-gro-forwarding", "info nic-gro-list"}},
		{"forwards IPv6 only", healthy(sick), options{Interface: "wg0", Forwards6: true, NoGSO: true}, []string{
			"error ip6-forward", "warning tx-queue-length", "info nic-udp-gro-forwarding", "info nic-gro-list"}},

		{"one byte less", healthy(func(f *facts) { f.ReceiveBuffer-- }), gateway(), []string{"warning socket-buffer-receive"}},
		{"more than asked", healthy(func(f *facts) { f.SendBuffer++ }), gateway(), nil},
		{"short queue", healthy(func(f *facts) { f.TxQueueLen = 255 }), gateway(), []string{"warning tx-queue-length"}},
		{"queue of two batches", healthy(func(f *facts) { f.TxQueueLen = 256 }), gateway(), nil},

		{"strict, without the mark", healthy(func(f *facts) { f.SrcValidMark = false }), gateway(), []string{"error rp-filter"}},
		{"loose, without the mark", healthy(func(f *facts) { f.RPFilterNIC, f.SrcValidMark = 2, false }), gateway(), nil},
		{"off, without the mark", healthy(func(f *facts) { f.RPFilterNIC, f.SrcValidMark = 0, false }), gateway(), nil},
		{"strict, no rules", healthy(func(f *facts) { f.SrcValidMark = false }), gateway(func(o *options) { o.PolicyRouting = false }), nil},

		{"merging is fixed", healthy(func(f *facts) { f.Active, f.Changeable = f.Active[:1], nil }), gateway(), nil},
		{"nothing is merged", healthy(func(f *facts) { f.Active = nil }), gateway(), nil},
		{"not merged", healthy(func(f *facts) { f.Active = f.Active[:1] }), gateway(), []string{"info nic-udp-gro-forwarding"}},
		{"not merged, of no use before 6.2", healthy(func(f *facts) { f.Kernel, f.Active = "6.1.99", f.Active[:1] }), gateway(), nil},
		{"lists", healthy(func(f *facts) { f.Active = append(f.Active, "rx-gro-list") }), gateway(), []string{"info nic-gro-list"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, a := range hostnet.Decide(test.facts, test.asked) {
				got = append(got, string(a.Severity)+" "+a.ID)
				if a.Text == "" || a.Remedy == "" || strings.Contains(a.Text+a.Remedy, "%!") {
					t.Errorf("%+v", a)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecideKernel(t *testing.T) {
	for _, test := range []struct {
		release string
		change  func(*hostnet.AdviceOptions)
		want    string
	}{
		{release: "6.19.9"},
		{release: "7.0-rc1", want: "info kernel-udp-gso"},
		{release: "7.0.0", want: "info kernel-udp-gso"},
		{release: "7.0.99-amd64", want: "info kernel-udp-gso"},
		{release: "7.1.4", want: "info kernel-udp-gso"},
		{release: "7.1.4", change: func(o *hostnet.AdviceOptions) { o.NoSentinel = true }, want: "warning kernel-udp-gso"},
		{release: "7.1.4", change: func(o *hostnet.AdviceOptions) { o.NoGSO = true }},
		{release: "7.1.5"},
		{release: "6.6.43"},
		{release: "6.6.44-1-lts", want: "warning kernel-tun-write"},
		{release: "6.6.44", change: func(o *hostnet.AdviceOptions) { o.Interface = "" }},
		{release: "6.6.46"},
		{release: "6.10.2"},
		{release: "6.10.3-arch1-2", want: "warning kernel-tun-write"},
		{release: "6.10.5"},
		{release: "5.10.0-30-amd64", want: "warning kernel-udp-gro"},
		{release: "5.10.0", change: func(o *hostnet.AdviceOptions) { o.NoGRO = true }},
		{release: "5.12.0"},
		{release: "4.19.0"}, // has no UDP receive offload
		{release: "something"},
	} {
		o := gateway()
		if test.change != nil {
			test.change(&o)
		}
		var got []string
		for _, a := range hostnet.Decide(healthy(func(f *hostnet.Facts) { f.Kernel = test.release }), o) {
			got = append(got, string(a.Severity)+" "+a.ID)
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s: got %q, want %q", test.release, got, test.want)
		}
	}
}

// TestDecideRemedies checks that a remedy names what to change.
func TestDecideRemedies(t *testing.T) {
	list := hostnet.Decide(healthy(func(f *hostnet.Facts) {
		f.ReceiveBuffer, f.TxQueueLen, f.SrcValidMark, f.Forwarding4 = 212992, 10, false, new(false)
	}), gateway(func(o *hostnet.AdviceOptions) { o.Interface = "wg0.1" }))
	for id, want := range map[string][]string{
		"ip-forward":            {"net.ipv4.conf.wg0/1.forwarding=1"},
		"socket-buffer-receive": {"212992", "7340032", "net.core.rmem_max=7340032"},
		"tx-queue-length":       {"10 packets", "TxQueueLength = 1000", "ip link set wg0.1 txqueuelen 1000"},
		"rp-filter":             {"net.ipv4.conf.eth0/7.rp_filter=2"},
	} {
		i := slices.IndexFunc(list, func(a hostnet.Advice) bool { return a.ID == id })
		if i < 0 {
			t.Errorf("no advice %s in %v", id, list)
			continue
		}
		for _, part := range want {
			if !strings.Contains(list[i].Text+"\n"+list[i].Remedy, part) {
				t.Errorf("%s: no %q in %+v", id, part, list[i])
			}
		}
	}
}

func TestParseKernelVersion(t *testing.T) {
	for release, want := range map[string]hostnet.KernelVersion{
		"6.18.44-fc-v669":        {6, 18, 44},
		"6.6.44-1-lts":           {6, 6, 44},
		"7.0-rc3":                {7, 0, 0},
		"5.10":                   {5, 10, 0},
		"5.10.":                  {5, 10, 0},
		"4.4.0":                  {4, 4, 0},
		"6.1.0.7":                {6, 1, 0},
		"":                       {},
		"6":                      {},
		"6.":                     {},
		".6.1":                   {},
		"v6.1.2":                 {},
		"-6.1.2":                 {},
		"99999999999999999999.1": {},
	} {
		if got := hostnet.ParseKernelVersion(release); got != want {
			t.Errorf("%q: got %v, want %v", release, got, want)
		}
	}
}
