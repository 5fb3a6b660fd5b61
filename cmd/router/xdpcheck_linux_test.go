// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tunrouter/tunrouter/batching/xdp/check"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestXDPCheck asks about a veth pair, which has native mode and no zero-copy.
func TestXDPCheck(t *testing.T) {
	testutil.NeedNetNS(t)
	ns := testutil.NewNS(t)
	ns.Run(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "near"
		mustXDP(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far"}))
		near, err := netlink.LinkByName("near")
		mustXDP(t, err)
		addr, err := netlink.ParseAddr("10.9.0.1/24")
		mustXDP(t, err)
		mustXDP(t, netlink.AddrAdd(near, addr))
		mustXDP(t, netlink.LinkSetUp(near))
	})
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"near"}, exitOK, []string{
			"interface: near\n  driver: veth\n  queues: 1 of 1\n",
			"  ok      driver     driver veth has native mode, and no zero-copy\n",
			"\nverdict: native copy, as the driver says of itself; --try would tell\n",
		}},
		{[]string{"near:2", "--try"}, exitOK, []string{
			"  ok      native     native mode works\n",
			"  ok      copy       a socket in copy mode works\n",
			"\nverdict: native copy\n",
		}},
		{[]string{"far", "--try"}, exitRuntime, []string{
			"  stops   interface  far is down\n" + strings.Repeat(" ", 21) + "what helps: ip link set far up\n",
			"  note    trying     not done",
			"\nverdict: kernel sockets, because far is down; far has no address to receive for\nrouter: no XDP on far\n",
		}},
		{[]string{"auto"}, exitRuntime, []string{"interface: auto\n", "because there is no default route\n"}},
	} {
		var out bytes.Buffer
		var code int
		ns.Run(func() {
			code = run(&app{args: append([]string{"router", "xdp", "check"}, tt.args...), out: &out, err: &out, lookup: os.LookupEnv})
		})
		if code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.args, code, tt.code)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: no %q in\n%s", tt.args, want, &out)
			}
		}
	}
	var out bytes.Buffer
	ns.Run(func() {
		if code := run(&app{args: []string{"router", "xdp", "check", "--json", "near"}, out: &out, err: &out, lookup: os.LookupEnv}); code != exitOK {
			t.Errorf("--json: exit code %d", code)
		}
	})
	var r check.Report
	mustXDP(t, json.Unmarshal(out.Bytes(), &r))
	if r.Verdict != check.NativeCopy || r.Interface != "near" || len(r.Findings) == 0 {
		t.Errorf("%+v", r)
	}
}

func mustXDP(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
