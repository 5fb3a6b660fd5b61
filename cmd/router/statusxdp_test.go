// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/engine"
)

func TestStatusXDP(t *testing.T) {
	queues := func(zeroCopy ...bool) (out []engine.XDPQueueInfo) {
		for i, z := range zeroCopy {
			out = append(out, engine.XDPQueueInfo{Queue: i, ZeroCopy: z})
		}
		return out
	}
	for _, tt := range []struct {
		name string
		info engine.XDPInfo
		want string
	}{
		{"copy", engine.XDPInfo{Interface: "eth0.5", Active: true, Attach: "native", Queues: queues(false)},
			"eth0.5, native, copy, 1 queue"},
		{"as many as asked for", engine.XDPInfo{Interface: "eth0", Active: true, Attach: "native", QueuesAsked: 2, Queues: queues(false, false)},
			"eth0, native, copy, 2 of 2 queues"},
		{"both ways", engine.XDPInfo{Interface: "eth0", Active: true, Attach: "native", Queues: queues(true, false, false)},
			"eth0, native, zero-copy 1 and copy 2, 3 queues"},
		{"generic", engine.XDPInfo{Interface: "eth0", Active: true, Attach: "generic", Refusals: []string{"native: no"}, Queues: queues(false)},
			"eth0, generic, copy, 1 queue (native: no)"},
		{"no interface", engine.XDPInfo{Asked: "eth7", Interface: "eth7", Reason: "no interface eth7"},
			"kernel sockets: no interface eth7"},
		{"refused", engine.XDPInfo{Interface: "eth0", Reason: "native: no\ngeneric: no, too", Refusals: []string{"native: no", "generic: no, too"}},
			"kernel sockets: native: no; generic: no, too"},
		{"ended", engine.XDPInfo{Interface: "eth0", Reason: "program was removed", Refusals: []string{"native: no\nreally"}, Restarts: 3, Kernel: map[string]uint64{"inactive": 9}},
			"kernel sockets: program was removed (native: no; really), through the kernel's sockets 9 (inactive 9), restarts 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			writeXDP(&b, &tt.info)
			if got, want := b.String(), "  xdp: "+tt.want+"\n"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
