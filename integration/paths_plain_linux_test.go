// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

const (
	// maxQuestions is how many datagrams that are no WireGuard a peer gets before it is
	// known to be a plain one.
	maxQuestions = 3
	// asked is longer than the questions take.
	asked = 5 * time.Second
)

// TestPlainPeerIsLeftAlone runs a router beside programs that only know WireGuard, and
// beside a router that is told to speak nothing else.
func TestPlainPeerIsLeftAlone(t *testing.T) {
	router(t)
	for _, test := range []struct {
		peer string
		// off and peerOff say who has Discovery = off.
		off, peerOff bool
	}{
		{peer: lab.ForkName}, {peer: lab.UpstreamName}, {peer: lab.DebianName},
		{peer: lab.UpstreamName, off: true}, {peer: lab.RouterName, peerOff: true},
	} {
		t.Run(fmt.Sprintf("%s/off=%t", test.peer, test.off), func(t *testing.T) {
			t.Parallel()
			l := newPathsLab(t, pathsOptions{})
			tap := l.tap(t, l.b)
			im := lab.Implementation{Name: lab.RouterName, Path: l.bin, Learns: true, Sections: discovery(test.off) + l.sections()}
			peer := implementation(t, test.peer)
			if test.peerOff {
				peer.Sections = discovery(true) + l.sections()
			}
			a, b := lab.StartDevice(l.a.Host, im, l.optionsA), lab.StartDevice(l.b.Host, peer, l.optionsB)
			traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
			traffic.WaitPing(t, l.b.Host, lab.TunnelA4)
			ping := l.ping(t, 20*time.Millisecond)
			waitUntil(t, time.Now().Add(asked))
			if n := len(tap.Frames(func(f traffic.Frame) bool { return f.Kind == traffic.FrameData })); n < 100 {
				t.Errorf("%d packets of WireGuard seen", n)
			}
			if packets := must(ping.Stop())(t); packets.Lost(time.Time{}, time.Now()) != 0 {
				t.Errorf("%s", packets)
			}
			checkPlain(t, l, must(tap.Stop())(t), test.off, test.peerOff)
			if got := a.Peer(b.PublicKey()).Endpoint; got != outerPort(l.b.Outer()) {
				t.Errorf("the peer is at %s", got)
			}
		})
	}
}

func discovery(off bool) string {
	if off {
		return section("Router", "Discovery = off")
	}
	return ""
}

// checkPlain checks what was seen at b.
func checkPlain(t *testing.T, l *pathsLab, frames []traffic.Frame, off, peerOff bool) {
	t.Helper()
	most := maxQuestions
	if off {
		most = 0
	}
	var questions int
	for _, f := range frames {
		switch f.Kind {
		case traffic.FrameHandshake, traffic.FrameData, traffic.FrameKeepalive:
			continue
		case traffic.FrameDisco:
			if isDirect(f, l.a, l.b) {
				questions++
				continue
			}
		}
		t.Errorf("%s frame from %s to %s: %x", f.Kind, f.Src, f.Dst, f.Payload)
	}
	if questions > most {
		t.Errorf("%d datagrams that are no WireGuard, want at most %d", questions, most)
	}
	// A test that sees none where there are some would pass always.
	if questions == 0 && !off {
		t.Error("the peer was never asked")
	}
	if n := l.Passed(l.b, l.relay); peerOff && n != 0 {
		t.Errorf("with Discovery = off %d packets to the relay", n)
	}
	if n := l.Passed(l.a, l.relay); off != (n == 0) {
		t.Errorf("%d packets to the relay, off: %t", n, off)
	}
}
