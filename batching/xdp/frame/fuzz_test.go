// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/geneve"
)

// Parse never panics, never returns bytes beyond the frame or its IP packet, and
// what it accepts can be written again and is the same datagram then.
func FuzzParse(f *testing.F) {
	for _, o := range []frame.Options{options4(), options6()} {
		for _, tag := range []frame.Tag{{}, {Type: frame.TypeSTag, TCI: 3}} {
			o.Tag = tag
			b := mustPut(f, mustNew(f, o), 7, 0, pattern(40))
			f.Add(b)
			f.Add(append(b, 0, 0, 0))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d frame.Datagram
		if r := d.Parse(b); r != frame.OK {
			if d != (frame.Datagram{}) {
				t.Fatalf("%v: got %+v", r, d)
			}
			return
		}
		payload := d.Payload(b) // panics when beyond the frame
		if cap(payload) != d.Size || d.Size < 0 {
			t.Fatalf("payload has %d bytes, room for %d", d.Size, cap(payload))
		}
		d.ChecksumValid(b)
		tmpl, err := frame.New(&frame.Options{
			Source: d.Source, Target: d.Target, Tag: d.Tag, Src: d.Src, Dst: d.Dst, TrafficClass: d.TrafficClass, TTL: d.TTL,
		})
		if err != nil {
			return // what may be received but not sent: port 0, group addresses
		}
		again := mustPut(t, tmpl, 0, 0, payload)
		var e frame.Datagram
		if r := e.Parse(again); r != frame.OK || !e.ChecksumValid(again) || !bytes.Equal(e.Payload(again), payload) {
			t.Fatalf("written again: %v, %x", r, again)
		}
		if d.TTL == 0 { // which Options takes for the default
			d.TTL = 64
		}
		if e != d {
			t.Fatalf("written again: got %+v, want %+v", e, d)
		}
	})
}

// Whatever is put comes back, with right checksums, from a buffer full of
// something else.
func FuzzPut(f *testing.F) {
	f.Add([]byte("seed"), []byte("payload"), uint16(9), uint32(0), false)
	f.Add(bytes.Repeat([]byte{0xff}, 48), bytes.Repeat([]byte{0xff}, 1400), uint16(0xffff), uint32(1<<24-1), true)
	f.Fuzz(func(t *testing.T, seed, payload []byte, id uint16, v uint32, v6 bool) {
		var s [64]byte
		copy(s[:], seed)
		o := frame.Options{Source: frame.MAC(s[0:6]), Target: frame.MAC(s[6:12]), TrafficClass: s[12], TTL: s[13]}
		if s[14]&1 != 0 {
			o.Tag = frame.Tag{Type: frame.TypeCTag, TCI: binary.BigEndian.Uint16(s[15:])}
		}
		ports := [2]uint16{binary.BigEndian.Uint16(s[17:]), binary.BigEndian.Uint16(s[19:])}
		if v6 {
			o.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(s[32:48])), ports[0])
			o.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(s[48:64])), ports[1])
		} else {
			o.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[32:36])), ports[0])
			o.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[48:52])), ports[1])
		}
		tmpl, err := frame.New(&o)
		if err != nil {
			return
		}
		var vni geneve.VNI
		if v <= geneve.MaxVNI && v6 == (id&1 == 0) {
			vni = mustVNI(t, v)
		}
		b := bytes.Repeat([]byte{0xa5}, tmpl.HeaderLen(vni)+len(payload)+8)
		n, err := tmpl.Put(b, id, vni, payload)
		if len(payload) > tmpl.MaxPayload(1<<20, vni) {
			if err == nil {
				t.Fatalf("%d bytes of payload were accepted", len(payload))
			}
			return
		}
		if err != nil || !bytes.Equal(b[n:], bytes.Repeat([]byte{0xa5}, 8)) {
			t.Fatalf("Put: %v, behind the frame %x", err, b[n:])
		}
		var d frame.Datagram
		switch r := d.Parse(b[:n]); {
		case r == frame.BadAddress: // loopback may be written, but not received
			return
		case r != frame.OK:
			t.Fatalf("%v: %x", r, b[:n])
		}
		if got := d.Payload(b)[tmpl.HeaderLen(vni)-tmpl.HeaderLen(0):]; !bytes.Equal(got, payload) {
			t.Fatalf("payload: got %x, want %x", got, payload)
		}
		if !d.ChecksumValid(b) || d.Src.Port() != ports[0] || d.Dst.Port() != ports[1] || d.Tag != o.Tag {
			t.Fatalf("checksum valid: %v; got %+v for %+v", d.ChecksumValid(b), d, o)
		}
	})
}
