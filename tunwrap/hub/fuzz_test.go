// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/tunrouter/tunrouter/tunwrap/hub"
)

// FuzzWrite gives the Device any packets: each is with the host as it was, or comes
// out for a peer one hop later, or an error is sent about it, or it is counted as
// dropped. Order is kept, and nothing else comes out.
func FuzzWrite(f *testing.F) {
	df := udp(aliceAddr, bobAddr, 1500)
	df[6] |= 0x40
	seeds := [][]byte{
		udp(aliceAddr, bobAddr, 20), udp(aliceAddr, hostAddr, 20), udp(alice6, bob6, 20), udp(bobAddr, carolAddr, 3),
		hopLimit(udp(aliceAddr, bobAddr, 20), 1), sum4(df), {0x45}, udp(aliceAddr, aliceAddr, 2), udp(aliceAddr, bobAddr, 3000),
	}
	join := func(mode byte, pkts ...[]byte) []byte {
		out := []byte{mode}
		for _, p := range pkts {
			out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
			out = append(out, p...)
		}
		return out
	}
	for mode := range byte(3) {
		f.Add(join(mode, seeds...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		l := newLab(t, &hub.Options{Forwarding: hub.Forwarding(data[0] % 3)})
		var pkts [][]byte
		for data = data[1:]; len(data) > 2 && len(pkts) < 128; {
			n := int(binary.BigEndian.Uint16(data))
			data = data[2:]
			n = min(max(n, 1), len(data))
			pkts = append(pkts, bytes.Clone(data[:n]))
			data = data[n:]
		}
		if len(pkts) == 0 {
			return
		}
		n := l.write(pkts...)
		host := l.host.take()
		var cut [][]byte
		for l.waiting() > 0 {
			cut = append(cut, l.cut()...)
		}
		s := l.Stats()
		if n != len(host)+len(cut) {
			t.Errorf("%d took effect; the host got %d, peers %d", n, len(host), len(cut))
		}
		at := 0
		for _, h := range host {
			for at < len(pkts) && !bytes.Equal(pkts[at], h) {
				at++
			}
			if at++; at > len(pkts) {
				t.Fatalf("the host got %x, which was not sent, or out of order", h)
			}
		}
		dropped := s.Dropped.Full + s.Dropped.HopLimit + s.Dropped.TooBig + s.Dropped.Loop + s.Dropped.Source + s.Dropped.Isolated
		for _, m := range s.Malformed {
			dropped += m
		}
		// Fragmented packets are several; errors are sent for dropped ones.
		forwarded := uint64(len(cut)) - s.ICMPSent
		if whole := uint64(len(pkts)-len(host)) - dropped; s.Fragmented == 0 && forwarded != whole || forwarded < whole {
			t.Errorf("%d packets: %d with the host, %d dropped, %d with peers and %d errors", len(pkts), len(host), dropped, forwarded, s.ICMPSent)
		}
		if l.Forwarding() != hub.On && len(cut) > 0 {
			t.Errorf("%d packets went to peers", len(cut))
		}
		if s.Held != 0 {
			t.Errorf("%d bytes are held", s.Held)
		}
		if s.Fragmented > 0 || s.ICMPSent > 0 {
			return
		}
		// Each lane is in order: what is left of the packets, one hop later.
		next := make(map[string]int)
		for _, c := range cut {
			dst := string(c[16:20])
			if c[0]>>4 == 6 {
				dst = string(c[24:40])
			}
			i := next[dst]
			for i < len(pkts) && !(len(pkts[i]) == len(c) && bytes.Equal(less1(pkts[i]), c)) {
				i++
			}
			if next[dst] = i + 1; i >= len(pkts) {
				t.Fatalf("a peer got %x, which was not sent, or out of order", c)
			}
		}
	})
}

// less1 is less for packets that may be none.
func less1(pkt []byte) []byte {
	switch {
	case len(pkt) >= 20 && pkt[0]>>4 == 4 && int(pkt[0]&15)*4 <= len(pkt) && pkt[0]&15 >= 5,
		len(pkt) >= 40 && pkt[0]>>4 == 6:
		return less(pkt)
	}
	return nil
}
