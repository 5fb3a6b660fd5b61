// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// A dissected frame is what tshark says about one datagram in Geneve.
type dissected struct{ version, control, critical, reserved, protocol, vni, options string }

// dissect runs tshark on the frames and returns what it finds in each.
func dissect(t *testing.T, l *pathsLab, frames []traffic.Frame) []dissected {
	t.Helper()
	file := filepath.Join(t.TempDir(), "relay.pcap")
	if err := traffic.WritePcap(file, frames); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", file, "-d", fmt.Sprintf("udp.port==%d,geneve", lab.RelayPort), "-T", "fields", "-E", "separator=;"}
	for _, field := range []string{"geneve.version", "geneve.flags.oam", "geneve.flags.critical", "geneve.flags.reserved", "geneve.proto_type", "geneve.vni", "geneve.options"} {
		args = append(args, "-e", field)
	}
	var out []dissected
	for line := range strings.Lines(l.relay.Host.Output("tshark", args...)) {
		f := strings.Split(strings.TrimRight(line, "\n"), ";")
		if len(f) != 7 {
			t.Fatalf("tshark: %q", line)
		}
		out = append(out, dissected{f[0], f[1], f[2], f[3], f[4], f[5], f[6]})
	}
	if len(out) != len(frames) {
		t.Fatalf("tshark knows %d of %d frames", len(out), len(frames))
	}
	return out
}

// checkDissection checks that all that passed the relay is what docs/PROTOCOL.md says,
// by what tshark makes of it.
func checkDissection(t *testing.T, l *pathsLab, frames []traffic.Frame) {
	t.Helper()
	var inGeneve []traffic.Frame
	for _, f := range frames {
		switch f.Kind {
		case traffic.FrameDisco: // registration, without Geneve
		case traffic.FrameRelayed, traffic.FrameRelayedDisco:
			inGeneve = append(inGeneve, f)
		default:
			t.Errorf("%s frame from %s to %s at the relay: %x", f.Kind, f.Src, f.Dst, f.Payload)
		}
	}
	kinds := map[string]int{}
	vnis := map[string]bool{}
	for i, d := range dissect(t, l, inGeneve) {
		f := inGeneve[i]
		kinds[d.protocol+"/"+d.control]++
		vnis[d.vni] = true
		if d.version != "0" || d.critical != "0" || d.reserved != "0" || d.options != "" {
			t.Errorf("%x: version %s critical %s reserved %s options %q", f.Payload[:8], d.version, d.critical, d.reserved, d.options)
		}
		if want := fmt.Sprintf("0x%06x", f.VNI); d.vni != want {
			t.Errorf("%x: VNI %s, want %s", f.Payload[:8], d.vni, want)
		}
	}
	// Binding, pings of the routers, WireGuard; and never WireGuard as control.
	for _, want := range []string{"0x7a11/1", "0x7a11/0", "0x7a12/0"} {
		if kinds[want] == 0 {
			t.Errorf("no frames of protocol/control %s: %v", want, kinds)
		}
		delete(kinds, want)
	}
	if len(kinds) != 0 {
		t.Errorf("frames of other protocol/control: %v", kinds)
	}
	if len(vnis) != 1 {
		t.Errorf("VNIs %v, want that of one session", vnis)
	}
}
