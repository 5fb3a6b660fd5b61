// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// value ends the test on an error.
func value[V any](v V, err error) func(t *testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestPinger checks that a pinger sees an outage, and answers that come twice.
func TestPinger(t *testing.T) {
	a, b := hosts(t)
	testutil.LeakCheck(t)
	for _, dst := range []netip.Addr{lab.B4, lab.B6} {
		p := value(traffic.StartPinger(a, dst, 56, 2*time.Millisecond))(t)
		answered := func(from time.Time) {
			t.Helper()
			lab.Wait(t, lab.Patience, "an answer", func() error {
				if p.Packets().FirstAnswer(from).IsZero() {
					return errors.New("none")
				}
				return nil
			})
		}
		answered(time.Time{})
		b.NFT("table inet cut { chain in { type filter hook input priority 0; meta l4proto { icmp, icmpv6 } drop; }\n}\n")
		cut := time.Now()
		lab.Wait(t, lab.Patience, "lost packets", func() error {
			if n := p.Packets().Lost(cut, time.Now()); n < 50 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		b.NFT("delete table inet cut\n")
		repaired := time.Now()
		answered(repaired)
		got := value(p.Stop())(t)
		if n := got.Lost(repaired, time.Now()); n != 0 {
			t.Errorf("%s: %d lost after the repair", dst, n)
		}
		if n, gap := got.Lost(cut, repaired), got.LongestGap(cut, time.Now()); n < 50 || gap == 0 {
			t.Errorf("%s: %d lost, longest gap %v, want 50 at least: %s", dst, n, gap, got)
		}
		if n := got.Duplicated(); n != 0 {
			t.Errorf("%s: %d answers twice", dst, n)
		}
	}
}

// TestTapKinds sends one datagram of each kind.
func TestTapKinds(t *testing.T) {
	a, b := hosts(t)
	testutil.LeakCheck(t)
	data := func(n int) []byte { return append([]byte{4, 0, 0, 0}, make([]byte, n-4)...) }
	geneve := func(flags, low byte, b []byte) []byte {
		return append([]byte{0, flags, 0x7a, low, 1, 2, 3, 0}, b...)
	}
	frame := append([]byte{0xf3, 't', 'r', 'd'}, make([]byte, 100)...)
	tests := []struct {
		payload []byte
		want    traffic.Frame
		packet  bool
	}{
		{data(32), traffic.Frame{Kind: traffic.FrameKeepalive}, false},
		{data(48), traffic.Frame{Kind: traffic.FrameData}, true},
		{append([]byte{1, 0, 0, 0}, make([]byte, 144)...), traffic.Frame{Kind: traffic.FrameHandshake}, false},
		{frame, traffic.Frame{Kind: traffic.FrameDisco}, false},
		{geneve(0, 0x12, data(32)), traffic.Frame{Kind: traffic.FrameRelayed, VNI: 0x010203}, false},
		{geneve(0, 0x12, data(48)), traffic.Frame{Kind: traffic.FrameRelayed, VNI: 0x010203}, true},
		{geneve(0x80, 0x11, frame), traffic.Frame{Kind: traffic.FrameRelayedDisco, VNI: 0x010203, Control: true}, false},
		{[]byte("plain text"), traffic.Frame{Kind: traffic.FrameUnknown}, false},
	}
	tap := value(traffic.StartTap(b, "eth0"))(t)
	src, dst := netip.AddrPortFrom(lab.A4, 4000), netip.AddrPortFrom(lab.B4, 4001)
	for _, test := range tests {
		// One by a socket, one from an address that the host has not.
		if err := traffic.Send(a, src, dst, test.payload); err != nil {
			t.Fatal(err)
		}
		if err := traffic.Inject(a, traffic.OuterUDP(netip.MustParseAddrPort("192.0.2.99:4000"), dst, test.payload)); err != nil {
			t.Fatal(err)
		}
	}
	lab.Wait(t, lab.Patience, "datagrams", func() error {
		if n := len(tap.Frames(func(f traffic.Frame) bool { return f.Dst == dst })); n != 2*len(tests) {
			return fmt.Errorf("%d of %d", n, 2*len(tests))
		}
		return nil
	})
	frames := value(tap.Stop())(t)
	i := 0
	for _, f := range frames {
		if f.Dst != dst {
			continue
		}
		test := tests[i/2]
		if f.Kind != test.want.Kind || f.VNI != test.want.VNI || f.Control != test.want.Control || f.HasPacket() != test.packet || !bytes.Equal(f.Payload, test.payload) {
			t.Errorf("%x: kind %q VNI %#x control %t packet %t, want %+v", test.payload, f.Kind, f.VNI, f.Control, f.HasPacket(), test.want)
		}
		i++
	}
	if n := traffic.Count(frames)[traffic.FrameRelayed]; n != 4 {
		t.Errorf("%d relayed frames, want 4", n)
	}

	testutil.NeedTool(t, "tshark")
	file := filepath.Join(t.TempDir(), "frames.pcap")
	if err := traffic.WritePcap(file, frames); err != nil {
		t.Fatal(err)
	}
	out := a.Output("tshark", "-r", file, "-d", "udp.port==4001,geneve", "-Y", "geneve.vni == 0x010203", "-T", "fields", "-e", "geneve.proto_type")
	if got := strings.Fields(out); len(got) != 6 || got[0] != "0x7a12" || got[5] != "0x7a11" {
		t.Errorf("tshark finds %q", got)
	}
}
