// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// merged does to the first packet what wireguard-go's merging does: its header
// claims the payload of the others too. It returns the length claimed.
func merged(header int, pkts ...[]byte) int {
	n := len(pkts[0])
	for _, p := range pkts[1:] {
		n += len(p) - header
	}
	if pkts[0][0]>>4 == 4 {
		binary.BigEndian.PutUint16(pkts[0][2:], uint16(n))
	} else {
		binary.BigEndian.PutUint16(pkts[0][4:], uint16(n-40))
	}
	return n
}

func TestLost(t *testing.T) {
	a, b := netip.AddrPortFrom(remoteV4, 5), netip.AddrPortFrom(hostV4, 6)
	a6, b6 := netip.AddrPortFrom(remoteV6, 5), netip.AddrPortFrom(hostV6, 6)
	udp := func(n int) []byte { return testutil.UDP(a, b, make([]byte, n)) }
	udp6 := func(n int) []byte { return testutil.UDP(a6, b6, make([]byte, n)) }
	tcp := func(seq, n int) []byte {
		return (&testutil.TCP{Src: a, Dst: b, Seq: uint32(seq), Ack: 7, Flags: testutil.ACK, Payload: make([]byte, n)}).Packet()
	}
	const hdr = tunwrap.VirtioHeaderLen
	for _, test := range []struct {
		name string
		// make returns the packets after the write, and what it reported.
		make        func() (bufs [][]byte, written, failed int)
		wantPackets int
		wantBytes   int
	}{
		{"all", func() ([][]byte, int, int) { return [][]byte{udp(10), udp(10)}, 0, 2 }, 2, 76},
		{"all merged", func() ([][]byte, int, int) {
			p := [][]byte{tcp(0, 100), tcp(100, 100), tcp(200, 50)}
			merged(40, p...)
			return p, 0, 1
		}, 3, 370},
		{"one of several alone", func() ([][]byte, int, int) {
			p := [][]byte{udp(10), udp6(77), udp(30)}
			return p, hdr + 38 + hdr + 58, 1
		}, 1, 125},
		{"all merged ones, others written", func() ([][]byte, int, int) {
			p := [][]byte{tcp(0, 100), tcp(100, 100), udp6(20), udp6(20), udp6(5), udp(11)}
			merged(40, p[0:2]...)
			merged(48, p[2:5]...)
			return p, hdr + 39, 2
		}, 5, 140 + 140 + 68 + 68 + 53},
		{"one merged of two", func() ([][]byte, int, int) {
			p := [][]byte{tcp(0, 100), tcp(100, 100), udp6(20), udp6(20), udp6(5), udp(11)}
			merged(40, p[0:2]...)
			n := merged(48, p[2:5]...)
			return p, hdr + 39 + hdr + n, 1
		}, 2, 280},
		{"merged with packets of other flows between", func() ([][]byte, int, int) {
			other := (&testutil.TCP{Src: b, Dst: a, Payload: make([]byte, 100)}).Packet()
			p := [][]byte{tcp(0, 100), other, udp(100), tcp(100, 100)}
			merged(40, p[0], p[3])
			return p, hdr + 140 + hdr + 128, 1
		}, 2, 280},
		{"nothing", func() ([][]byte, int, int) { return [][]byte{udp(10)}, hdr + 38, 0 }, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			bufs, written, failed := test.make()
			for i, p := range bufs {
				bufs[i] = append(make([]byte, 16), p...)
			}
			packets, bytes := tunwrap.Lost(bufs, 16, hdr, written, failed)
			if packets != test.wantPackets || bytes != test.wantBytes {
				t.Errorf("lost %d packets of %d bytes, want %d of %d", packets, bytes, test.wantPackets, test.wantBytes)
			}
		})
	}
}

// TestLost_estimate checks that what cannot be told is between the bounds.
func TestLost_estimate(t *testing.T) {
	bufs := [][]byte{make([]byte, 116), make([]byte, 126), make([]byte, 136), make([]byte, 146)}
	packets, _ := tunwrap.Lost(bufs, 16, 0, 100+110, 2)
	if packets < 2 || packets > 3 {
		t.Errorf("lost %d of 4 packets in 2 failed calls", packets)
	}
}

// FuzzLost feeds packets that peers choose: no panic, never more than all.
func FuzzLost(f *testing.F) {
	f.Add(testutil.UDP(netip.AddrPortFrom(remoteV4, 5), netip.AddrPortFrom(hostV4, 6), make([]byte, 40)), 30, 60, 1)
	f.Add((&testutil.TCP{Src: netip.AddrPortFrom(remoteV6, 5), Dst: netip.AddrPortFrom(hostV6, 6), Payload: make([]byte, 40)}).Packet(), 70, 60, 1)
	f.Fuzz(func(t *testing.T, in []byte, size, written, failed int) {
		var bufs [][]byte
		if size < 1 || size > 100 || failed < 0 {
			t.Skip()
		}
		for n := size; len(in) > 0; in = in[min(n, len(in)):] {
			bufs = append(bufs, in[:min(n, len(in))])
		}
		total := 0
		for _, b := range bufs {
			total += len(b)
		}
		packets, bytes := tunwrap.Lost(bufs, 0, 10, written, failed)
		if packets < 0 || packets > len(bufs) || bytes < 0 || bytes > total {
			t.Errorf("lost %d packets of %d bytes of %d of %d", packets, bytes, len(bufs), total)
		}
	})
}
