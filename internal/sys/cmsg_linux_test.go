// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// cmsg encodes a control message in the way of golang.org/x/sys/unix, padded.
func cmsg(level, kind int32, data ...byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	if unix.SizeofPtr == 8 {
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data))))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(unix.CmsgLen(len(data))))
	}
	binary.NativeEndian.PutUint32(b[unix.SizeofPtr:], uint32(level))
	binary.NativeEndian.PutUint32(b[unix.SizeofPtr+4:], uint32(kind))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

var (
	gro1400   = cmsg(unix.IPPROTO_UDP, unix.UDP_GRO, native32(1400)...)
	overflow5 = cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, native32(5)...)
	timestamp = cmsg(unix.SOL_SOCKET, unix.SO_TIMESTAMP, make([]byte, 16)...)
	pktinfo4  = cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, append(native32(3), 192, 0, 2, 1, 255, 255, 255, 255)...)
	local6    = netip.MustParseAddr("2001:db8::5")
	pktinfo6  = cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(local6.AsSlice(), native32(9)...)...)
)

func TestControlParse(t *testing.T) {
	local4 := netip.MustParseAddr("192.0.2.1")
	for _, tc := range []struct {
		name string
		in   [][]byte
		want sys.Control
		err  error
	}{
		{"nothing", nil, sys.Control{}, nil},
		{"padding only", [][]byte{make([]byte, unix.SizeofCmsghdr-1)}, sys.Control{}, nil},
		{"gro", [][]byte{gro1400}, sys.Control{Segment: 1400}, nil},
		{"gro without padding", [][]byte{gro1400[:unix.CmsgLen(4)]}, sys.Control{Segment: 1400}, nil},
		{"overflow", [][]byte{overflow5}, sys.Control{Overflow: 5, HasOverflow: true}, nil},
		{"pktinfo v4", [][]byte{pktinfo4}, sys.Control{Local: local4, IfIndex: 3}, nil},
		{"pktinfo v6", [][]byte{pktinfo6}, sys.Control{Local: local6, IfIndex: 9}, nil},
		{"unknown", [][]byte{timestamp}, sys.Control{}, nil},
		{"wanted at head", [][]byte{gro1400, timestamp, timestamp}, sys.Control{Segment: 1400}, nil},
		{"wanted at tail", [][]byte{timestamp, timestamp, gro1400}, sys.Control{Segment: 1400}, nil},
		{"all v4", [][]byte{pktinfo4, overflow5, gro1400},
			sys.Control{Local: local4, IfIndex: 3, Segment: 1400, Overflow: 5, HasOverflow: true}, nil},
		{"all v6", [][]byte{gro1400, overflow5, timestamp, pktinfo6},
			sys.Control{Local: local6, IfIndex: 9, Segment: 1400, Overflow: 5, HasOverflow: true}, nil},
		{"negative segment", [][]byte{cmsg(unix.IPPROTO_UDP, unix.UDP_GRO, native32(1<<31)...)},
			sys.Control{Segment: -1 << 31}, nil},
		{"same number, other level", [][]byte{cmsg(unix.SOL_SOCKET, unix.UDP_GRO, native32(1400)...)}, sys.Control{}, nil},

		{"length 0", [][]byte{make([]byte, unix.SizeofCmsghdr)}, sys.Control{}, sys.ErrControl},
		{"length beyond the end", [][]byte{gro1400[:unix.CmsgLen(4)-1]}, sys.Control{}, sys.ErrControl},
		{"length huge", [][]byte{slices.Concat(slices.Repeat([]byte{0xff}, unix.SizeofPtr), make([]byte, 8))}, sys.Control{}, sys.ErrControl},
		{"good, then bad", [][]byte{pktinfo4, gro1400[:unix.CmsgLen(4)-1]}, sys.Control{}, sys.ErrControl},
		{"gro of 2 bytes", [][]byte{cmsg(unix.IPPROTO_UDP, unix.UDP_GRO, 1, 2)}, sys.Control{}, sys.ErrControl},
		{"overflow of 8 bytes", [][]byte{cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, make([]byte, 8)...)}, sys.Control{}, sys.ErrControl},
		{"pktinfo v4 short", [][]byte{cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, 1, 2, 3)}, sys.Control{}, sys.ErrControl},
		{"pktinfo v6 empty", [][]byte{cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO)}, sys.Control{}, sys.ErrControl},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := sys.Control{Local: local6, IfIndex: 77, Segment: 77, Overflow: 77, HasOverflow: true}
			err := got.Parse(slices.Concat(tc.in...))
			if !errors.Is(err, tc.err) {
				t.Errorf("error: got %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("control (-want +got):\n%s", diff)
			}
		})
	}
}

// What is appended is what golang.org/x/sys/unix reads, and fits the room.
func TestAppend(t *testing.T) {
	for _, tc := range []struct {
		name  string
		local string
		want  []byte
	}{
		{"v4", "192.0.2.7", cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, 0, 0, 0, 0, 192, 0, 2, 7, 0, 0, 0, 0)},
		{"v6", "2001:db8::5", pktinfo6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var room [sys.SendControlSpace]byte
			b := sys.AppendPktinfo(room[:0], netip.MustParseAddr(tc.local), 9)
			if diff := cmp.Diff(tc.want, b); diff != "" {
				t.Errorf("pktinfo (-want +got):\n%s", diff)
			}
			start := len(b)
			b = sys.AppendSegment(b, 1)
			sys.SetSegment(b[start:], 1452)
			if len(b) != start+sys.SegmentSpace || len(b) > len(room) || &b[0] != &room[0] {
				t.Errorf("length: got %d, want %d within the room of %d", len(b), start+sys.SegmentSpace, len(room))
			}
			msgs, err := unix.ParseSocketControlMessage(b)
			if err != nil || len(msgs) != 2 {
				t.Fatalf("got %d messages, %v, want 2", len(msgs), err)
			}
			m := msgs[1]
			if m.Header.Level != unix.IPPROTO_UDP || m.Header.Type != unix.UDP_SEGMENT ||
				!slices.Equal(m.Data, binary.NativeEndian.AppendUint16(nil, 1452)) {
				t.Errorf("segment: got %+v", m)
			}
		})
	}
	if b := sys.AppendPktinfo(nil, netip.Addr{}, 1); len(b) != 0 {
		t.Errorf("no address: got %x, want nothing", b)
	}
}

// The room for what is received is exactly one of each.
func TestRecvControlSpace(t *testing.T) {
	if got := len(pktinfo6) + len(gro1400) + len(overflow5); sys.RecvControlSpace != got {
		t.Errorf("got %d, want %d", sys.RecvControlSpace, got)
	}
}

func TestControlNoAllocs(t *testing.T) {
	in := slices.Concat(pktinfo6, gro1400, overflow5)
	var c sys.Control
	var room [sys.SendControlSpace]byte
	if n := testing.AllocsPerRun(100, func() {
		if c.Parse(in) != nil {
			t.Error("parse failed")
		}
		sys.AppendSegment(sys.AppendPktinfo(room[:0], c.Local, 0), 1400)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// The reference is the parser of golang.org/x/sys/unix: what it cannot parse is
// an error here, and the other way round but for data of a wrong length.
func FuzzControlParse(f *testing.F) {
	f.Add(slices.Concat(pktinfo4, overflow5, gro1400))
	f.Add(slices.Concat(timestamp, pktinfo6, gro1400[:unix.CmsgLen(4)]))
	f.Add(make([]byte, unix.SizeofCmsghdr))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := sys.Control{Segment: 77, HasOverflow: true}
		err := c.Parse(b)
		if err != nil && c != (sys.Control{}) {
			t.Fatalf("error with %+v", c)
		}
		want, ok := reference(b)
		if !ok {
			if err == nil {
				t.Fatalf("got %+v, want an error", c)
			}
			return
		}
		if err != nil || c != want {
			t.Fatalf("got %+v, %v, want %+v", c, err, want)
		}
	})
}

func reference(b []byte) (c sys.Control, ok bool) {
	msgs, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return c, false
	}
	for _, m := range msgs {
		type key struct{ level, kind int32 }
		switch (key{m.Header.Level, m.Header.Type}) {
		case key{unix.IPPROTO_UDP, unix.UDP_GRO}:
			if len(m.Data) != 4 {
				return c, false
			}
			c.Segment = int(int32(binary.NativeEndian.Uint32(m.Data)))
		case key{unix.SOL_SOCKET, unix.SO_RXQ_OVFL}:
			if len(m.Data) != 4 {
				return c, false
			}
			c.Overflow, c.HasOverflow = binary.NativeEndian.Uint32(m.Data), true
		case key{unix.IPPROTO_IP, unix.IP_PKTINFO}:
			if len(m.Data) != 12 {
				return c, false
			}
			c.IfIndex = binary.NativeEndian.Uint32(m.Data)
			c.Local, _ = netip.AddrFromSlice(m.Data[4:8])
		case key{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}:
			if len(m.Data) != 20 {
				return c, false
			}
			c.Local, _ = netip.AddrFromSlice(m.Data[:16])
			c.Local = c.Local.Unmap()
			c.IfIndex = binary.NativeEndian.Uint32(m.Data[16:])
		}
	}
	return c, true
}
