// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// TestHostilePaths sends forged, truncated, reflected and replayed frames, with every
// header that is wrong, to two routers and their relay while traffic flows. Nothing is
// answered that docs/PROTOCOL.md, section 8, does not name, and nothing moves.
func TestHostilePaths(t *testing.T) {
	router(t)
	t.Parallel()
	l := newHostileLab(t)
	tap := l.tap(t, l.mallory)
	ping := l.ping(t, 20*time.Millisecond)
	f := newForger(3, l.optionsA.PrivateKey.Public())
	for _, to := range []*lab.Site{l.a, l.b, l.relay} {
		l.attack(t, to, l.forged(f, to))
		if got := l.answers(tap); len(got) != 0 {
			t.Errorf("%d answers to what was forged for %s, the first from %s: %x", len(got), to.Name, got[0].Src, got[0].Payload)
		}
	}

	// The same as it was sent, from elsewhere.
	for _, to := range []*lab.Site{l.a, l.relay} {
		before := len(l.answers(tap))
		var replayed [][]byte
		var sent int
		for pair, frames := range l.overheard {
			for _, frame := range frames[:min(10, len(frames))] {
				if pair[1] == to {
					replayed = append(replayed, frame.Payload)
					sent += len(frame.Payload)
				}
			}
		}
		l.attack(t, to, replayed)
		waitUntil(t, time.Now().Add(6*time.Second)) // as long as a candidate is asked
		got, bytes := l.answers(tap)[before:], 0
		for _, frame := range got {
			bytes += len(frame.Payload)
			// The relay answers questions about a session with the session's VNI.
			if frame.Kind != traffic.FrameDisco && (to != l.relay || frame.Kind != traffic.FrameRelayedDisco) {
				t.Errorf("%s frame from %s to who replayed: %x", frame.Kind, to.Name, frame.Payload)
			}
		}
		t.Logf("%s answered %d replayed frames of %d bytes with %d of %d bytes", to.Name, len(replayed), sent, len(got), bytes)
		// A router asks a candidate for some seconds, a relay answers a question at most.
		most := len(replayed)
		if to == l.a {
			most += 30
		} else if bytes > sent {
			t.Errorf("the relay answered %d bytes with %d", sent, bytes)
		}
		if len(got) > most {
			t.Errorf("%s answered %d replayed frames with %d", to.Name, len(replayed), len(got))
		}
	}
	l.spoof(t, f)

	packets := must(ping.Stop())(t)
	if packets.Lost(time.Time{}, time.Now()) != 0 || packets.Duplicated() != 0 {
		t.Errorf("traffic: %s", packets)
	}
	for h, peer := range map[*lab.Host]*lab.Site{l.a.Host: l.b, l.b.Host: l.a} {
		if got := must(l.chosen(h))(t); got.Relayed || got.Addr != l.at(peer) {
			t.Errorf("host %s has moved: %s", h.Name, got)
		}
	}
	if !l.relayProcess.Running() {
		t.Error("the relay has ended")
	}
	wantPings(t, l.a.Host, l.b.Host)
}

// spoof sends garbage and replays to a that seem to come from its peer and its relay.
func (l *hostileLab) spoof(t *testing.T, f *forger) {
	t.Helper()
	to := l.at(l.a)
	var packets [][]byte
	for _, from := range []*lab.Site{l.b, l.relay} {
		for _, frame := range l.overheard[[2]*lab.Site{from, l.a}][:3] {
			packets = append(packets, traffic.OuterUDP(l.at(from), to, frame.Payload))
		}
		for range 50 {
			b := append([]byte{0xf3, 0x74, 0x72, 0x64}, f.bytes(100)...)
			packets = append(packets, traffic.OuterUDP(l.at(from), to, b))
			h := binary.BigEndian.AppendUint32([]byte{0, 0, 0x7a, 0x12}, l.vni<<8)
			packets = append(packets, traffic.OuterUDP(l.at(from), to, append(h, f.typed(4, 128)...)))
		}
	}
	read := l.a.Host.Counter("Udp", "InDatagrams")
	if err := traffic.Inject(l.mallory.Host, packets...); err != nil {
		t.Fatal(err)
	}
	lab.Wait(t, lab.Patience, "a reads what seems to come from others", func() error {
		if n := l.a.Host.Counter("Udp", "InDatagrams") - read; n < int64(len(packets)) {
			return fmt.Errorf("%d of %d", n, len(packets))
		}
		return nil
	})
}
