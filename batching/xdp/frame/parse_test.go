// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame_test

import (
	"encoding/binary"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
)

// put16 returns a change that stores v at the offset at.
func put16(at int, v uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], v); return b }
}

// put8 is put16 for a byte.
func put8(at int, v byte) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = v; return b }
}

// put is put16 for several bytes.
func put(at int, v ...byte) func([]byte) []byte {
	return func(b []byte) []byte { copy(b[at:], v); return b }
}

// Each field that differs is found, for its reason.
func TestParseReasons(t *testing.T) {
	const size = 100
	for _, test := range []struct {
		name   string
		v6     bool
		change func([]byte) []byte
		want   frame.Reason
	}{
		{"unchanged", false, put(0), frame.OK},
		{"unchanged 6", true, put(0), frame.OK},
		{"padding", false, func(b []byte) []byte { return append(b, pattern(20)...) }, frame.OK},
		{"padding 6", true, func(b []byte) []byte { return append(b, pattern(20)...) }, frame.OK},
		{"DF", false, put16(20, 0x4000), frame.OK},
		{"reserved bit", false, put16(20, 0x8000), frame.OK},
		{"partial checksum", false, put16(40, 0x1234), frame.OK},
		{"partial checksum 6", true, put16(60, 0x1234), frame.OK},
		{"no checksum", false, put16(40, 0), frame.OK},
		{"empty datagram", false, put16(38, 8), frame.OK},
		{"UDP shorter than IP", true, put16(58, 8+size-1), frame.OK},
		{"class E", false, put8(26, 240), frame.OK},

		{"ARP", false, put16(12, 0x0806), frame.NotIP},
		{"IPv6 type", false, put16(12, 0x86dd), frame.NotIP},
		{"IPv4 type", true, put16(12, 0x0800), frame.NotIP},
		{"version", false, put8(14, 0x55), frame.NotIP},
		{"two tags", false, func(b []byte) []byte {
			tags := []byte{0x88, 0xa8, 0, 1, 0x81, 0, 0, 2}
			return append(append(append([]byte{}, b[:12]...), tags...), b[12:]...)
		}, frame.NotIP},
		{"IHL 6", false, put8(14, 0x46), frame.HasOptions},
		{"hop-by-hop", true, put8(20, 0), frame.HasOptions},
		{"routing", true, put8(20, 43), frame.HasOptions},
		{"IHL 4", false, put8(14, 0x44), frame.IPLength},
		{"total length 19", false, put16(16, 19), frame.IPLength},
		{"total length 27", false, put16(16, 27), frame.IPLength},
		{"total length beyond", false, put16(16, 28+size+1), frame.IPLength},
		{"payload length beyond", true, put16(18, 8+size+1), frame.IPLength},
		{"payload length 7", true, put16(18, 7), frame.IPLength},
		{"jumbogram", true, put16(18, 0), frame.IPLength},
		{"first fragment", false, put16(20, 0x2000), frame.Fragment},
		{"last fragment", false, put16(20, 1), frame.Fragment},
		{"fragment 6", true, put8(20, 44), frame.Fragment},
		{"TCP", false, put8(23, 6), frame.NotUDP},
		{"TCP 6", true, put8(20, 6), frame.NotUDP},
		{"UDP length 7", false, put16(38, 7), frame.UDPLength},
		{"UDP length beyond", false, put16(38, 8+size+1), frame.UDPLength},
		{"UDP length 0", true, put16(58, 0), frame.UDPLength},
		{"UDP in a shorter packet", true, put16(18, 8+size-1), frame.UDPLength},
		{"no checksum 6", true, put16(60, 0), frame.NoChecksum},
		{"loopback", false, put8(26, 127), frame.BadAddress},
		{"to loopback", false, put8(30, 127), frame.BadAddress},
		{"multicast", false, put8(26, 224), frame.BadAddress},
		{"unspecified", false, put(26, 0, 0, 0, 0), frame.BadAddress},
		{"broadcast", false, put(26, 255, 255, 255, 255), frame.BadAddress},
		{"multicast 6", true, put8(22, 0xff), frame.BadAddress},
		{"loopback 6", true, put(22, 0, 0, 0, 0), frame.BadAddress},
		{"mapped", true, put(22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), frame.BadAddress},
		{"to unspecified", true, put(38, make([]byte, 16)...), frame.BadAddress},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options4()
			if test.v6 {
				o = options6()
			}
			b := test.change(mustPut(t, mustNew(t, o), 1, 0, pattern(size)))
			if !test.v6 { // so that only the field itself differs
				put16(24, 0)(b)
				put16(24, ^tun.Checksum(b[14:34], 0))(b)
			}
			var d frame.Datagram
			if got := d.Parse(b); got != test.want {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			if (d == frame.Datagram{}) != (test.want != frame.OK) {
				t.Fatalf("got %+v for %v", d, test.want)
			}
			if want := int(binary.BigEndian.Uint16(b[max(d.Offset-4, 0):])) - 8; test.want == frame.OK && d.Size != want {
				t.Fatalf("size: got %d, want %d", d.Size, want)
			}
		})
	}
}

// Any changed bit of the IPv4 header is noticed.
func TestHeaderChecksum(t *testing.T) {
	whole := mustPut(t, mustNew(t, options4()), 1, 0, pattern(10))
	for bit := range 20 * 8 {
		b := append([]byte{}, whole...)
		b[14+bit/8] ^= 1 << (bit % 8)
		var d frame.Datagram
		if got := d.Parse(b); got == frame.OK {
			t.Errorf("bit %d: accepted", bit)
		}
	}
}

// A frame cut anywhere is no datagram, and the reason says where.
func TestParseTruncated(t *testing.T) {
	tagged4, tagged6 := options4(), options6()
	tagged4.Tag, tagged6.Tag = frame.Tag{Type: frame.TypeCTag}, frame.Tag{Type: frame.TypeSTag}
	for _, o := range []frame.Options{options4(), options6(), tagged4, tagged6} {
		whole := mustPut(t, mustNew(t, o), 1, 0, pattern(9))
		headers := len(whole) - 9 - 8 // up to the end of the IP header
		for n := range whole {
			want := frame.Truncated
			if n >= headers {
				want = frame.IPLength
			}
			var d frame.Datagram
			if got := d.Parse(whole[:n:n]); got != want {
				t.Errorf("%v: %d of %d bytes: got %v, want %v", o.Dst, n, len(whole), got, want)
			}
		}
	}
}

func TestChecksumInvalid(t *testing.T) {
	for _, o := range []frame.Options{options4(), options6()} {
		b := mustPut(t, mustNew(t, o), 1, 0, pattern(33))
		b[len(b)-1] ^= 1
		var d frame.Datagram
		if r := d.Parse(b); r != frame.OK || d.ChecksumValid(b) {
			t.Errorf("%v: got %v, valid %v", o.Dst, r, d.ChecksumValid(b))
		}
	}
}

// Every reason has a word of its own.
func TestReasonString(t *testing.T) {
	seen := map[string]bool{"": true}
	for r := range frame.Reasons + 1 {
		if seen[r.String()] {
			t.Errorf("reason %d: %q is taken or empty", r, r)
		}
		seen[r.String()] = true
	}
}
