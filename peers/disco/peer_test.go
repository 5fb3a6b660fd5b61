// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/peers/disco"
)

var txid = disco.TxID{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b}

const txidHex = "101112131415161718191a1b"

func TestPing(t *testing.T) {
	for _, tt := range []struct{ pad, want int }{
		{0, 88}, {-1, 88}, {87, 88}, {88, 88}, {89, 89}, {1452, 1452}, {8951, 8951}, {8952, 8952}, {8953, 8952}, {1 << 30, 8952},
	} {
		t.Run(fmt.Sprint(tt.pad), func(t *testing.T) {
			body := appendBody(t, &disco.Ping{TxID: txid, Pad: tt.pad})
			want := unhex(t, "01 00"+txidHex+zeros(tt.want-disco.Overhead-14))
			if !bytes.Equal(body, want) {
				t.Fatalf("got % x, want % x", body, want)
			}
			m := disco.Ping{TxID: disco.TxID{0xff}, Pad: 7}
			if err := m.Decode(body); err != nil || m != (disco.Ping{TxID: txid, Pad: tt.want}) {
				t.Errorf("Decode: got %+v, %v", m, err)
			}
		})
	}
	// Flags that nobody knows yet and padding do not matter.
	var m disco.Ping
	if err := m.Decode(unhex(t, "01ff"+txidHex+"ffffffffffffffffffffffffffffffffffffffffffff")); err != nil || m.TxID != txid {
		t.Errorf("flags and padding: got %+v, %v", m, err)
	}
	m = disco.Ping{TxID: txid, Pad: 99}
	if err := m.Decode(unhex(t, "0100"+txidHex+zeros(21))); !errors.Is(err, disco.ErrShort) || m != (disco.Ping{}) {
		t.Errorf("35 bytes: got %+v, %v, want zero, ErrShort", m, err)
	}
}

func TestPong(t *testing.T) {
	for _, tt := range []struct {
		name, addr, hex string
		size            int
	}{
		{"IPv4", "192.0.2.1:51820", "00000000000000000000ffffc0000201ca6c", 88},
		{"IPv4, highest port", "255.255.255.254:65535", "00000000000000000000fffffffffffeffff", 8952},
		{"IPv6", "[2001:db8::1]:1", "20010db80000000000000000000000010001", 1452},
		{"IPv6 loopback", "[::1]:443", "0000000000000000000000000000000101bb", 1452},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := disco.Pong{TxID: txid, Observed: address(tt.addr), Size: tt.size}
			body := appendBody(t, &want)
			if len(body) != disco.MinBody {
				t.Errorf("got %d bytes, want those of the shortest Ping, %d", len(body), disco.MinBody)
			}
			if b := unhex(t, "02 00"+txidHex+tt.hex+fmt.Sprintf("%04x", tt.size)+"0000"); !bytes.Equal(body, b) {
				t.Errorf("got % x, want % x", body, b)
			}
			m := disco.Pong{TxID: disco.TxID{0xff}, Observed: address("[::1]:9"), Size: 9}
			if err := m.Decode(body); err != nil || m != want {
				t.Errorf("Decode: got %+v, %v", m, err)
			}
		})
	}
}

// TestPongForms: what names the same address in another way arrives as one.
func TestPongForms(t *testing.T) {
	for in, want := range map[string]string{
		"[::ffff:192.0.2.1]:7": "192.0.2.1:7",
		"[fe80::1%eth0]:7":     "[fe80::1]:7",
	} {
		var m disco.Pong
		if err := m.Decode(appendBody(t, &disco.Pong{Observed: address(in), Size: 88})); err != nil || m.Observed != address(want) {
			t.Errorf("%s: got %+v, %v, want %s", in, m, err, want)
		}
	}
}

// impossible are addresses that no single host has.
var impossible = []struct{ name, hex string }{
	{"no port", "00000000000000000000ffffc00002010000"},
	{"unspecified IPv4", "00000000000000000000ffff00000000ca6c"},
	{"unspecified IPv6", "00000000000000000000000000000000ca6c"},
	{"mapped zero", "00000000000000000000ffff000000000000"},
	{"broadcast", "00000000000000000000ffffffffffffca6c"},
	{"multicast IPv4", "00000000000000000000ffffe0000001ca6c"},
	{"multicast IPv6", "ff020000000000000000000000000001ca6c"},
}

func TestPongRefuses(t *testing.T) {
	const addr = "00000000000000000000ffffc0000201ca6c"
	type bad struct {
		name, hex string
		want      error
	}
	tests := []bad{
		{"short", "0200" + txidHex + addr + "0058" + "00", disco.ErrShort},
		{"size one too small", "0200" + txidHex + addr + "0057" + "0000", disco.ErrValue},
		{"size one too large", "0200" + txidHex + addr + "22f9" + "0000", disco.ErrValue},
		{"no address", "0200" + txidHex + zeros(18) + "0058" + "0000", disco.ErrValue},
	}
	for _, a := range impossible {
		tests = append(tests, bad{a.name, "0200" + txidHex + a.hex + "0058" + "0000", disco.ErrValue})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := disco.Pong{TxID: txid, Observed: address("[::1]:9"), Size: 9}
			if err := m.Decode(unhex(t, tt.hex)); !errors.Is(err, tt.want) || m != (disco.Pong{}) {
				t.Errorf("got %+v, %v, want zero, %v", m, err, tt.want)
			}
		})
	}
	// Sizes that do not fit in two bytes are no others.
	for _, size := range []int{-1, 0, 1<<16 + 88} {
		var m disco.Pong
		if err := m.Decode(appendBody(t, &disco.Pong{Observed: address("[::1]:9"), Size: size})); !errors.Is(err, disco.ErrValue) {
			t.Errorf("size %d: got %+v, %v, want ErrValue", size, m, err)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, n := range []int{0, 1, 2, 15, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			addrs := addresses(n)
			for _, reply := range []bool{false, true} {
				want := disco.Candidates{Sequence: ^uint64(n), Reply: reply, Addrs: addrs}
				body := appendBody(t, &want)
				if len(body) != max(36, 11+18*n) {
					t.Errorf("got %d bytes", len(body))
				}
				memory := make([]netip.AddrPort, 16)
				m := disco.Candidates{Sequence: 3, Reply: !reply, Addrs: memory[:3]}
				if err := m.Decode(body); err != nil || m.Sequence != want.Sequence || m.Reply != reply || !slices.Equal(m.Addrs, addrs) {
					t.Errorf("Decode: got %+v, %v, want %+v", m, err, want)
				}
				if cap(m.Addrs) != cap(memory) || n > 0 && &m.Addrs[0] != &memory[0] {
					t.Error("Decode did not use the memory that it was given")
				}
			}
		})
	}
	body := appendBody(t, &disco.Candidates{Sequence: 0x0102030405060708, Reply: true, Addrs: []netip.AddrPort{address("192.0.2.1:51820")}})
	if want := unhex(t, "03 01 0102030405060708 01 00000000000000000000ffffc0000201ca6c"+zeros(7)); !bytes.Equal(body, want) {
		t.Errorf("got % x, want % x", body, want)
	}
	body[1] = 0xfe // all flags but the one that is known
	var m disco.Candidates
	if err := m.Decode(body); err != nil || m.Reply {
		t.Errorf("unknown flags: got %+v, %v", m, err)
	}
}

// TestCandidatesLimit: AppendBody never makes what Decode refuses.
func TestCandidatesLimit(t *testing.T) {
	addrs := addresses(20)
	addrs[0] = netip.AddrPort{}
	addrs[2] = address("0.0.0.0:5")
	addrs[4] = address("[ff02::1]:5")
	want := append([]netip.AddrPort{addrs[1], addrs[3]}, addrs[5:19]...)
	var m disco.Candidates
	if err := m.Decode(appendBody(t, &disco.Candidates{Addrs: addrs})); err != nil || !slices.Equal(m.Addrs, want) {
		t.Errorf("got %v, %v, want %v", m.Addrs, err, want)
	}
}

func TestCandidatesRefuses(t *testing.T) {
	const addr = "00000000000000000000ffffc0000201ca6c"
	repeat := func(n int) (s string) {
		for range n {
			s += addr
		}
		return s
	}
	type bad struct {
		name, hex string
		want      error
	}
	tests := []bad{
		{"short", "0300" + zeros(8) + "00" + zeros(24), disco.ErrShort},
		{"one address, 35 bytes", "0300" + zeros(8) + "01" + addr + zeros(6), disco.ErrShort},
		{"two addresses announced, one there", "0300" + zeros(8) + "02" + addr + zeros(17), disco.ErrShort},
		{"sixteen announced, one byte missing", "0300" + zeros(8) + "10" + repeat(15) + addr[2:], disco.ErrShort},
		{"seventeen there", "0300" + zeros(8) + "11" + repeat(17), disco.ErrValue},
		{"255 announced", "0300" + zeros(8) + "ff" + repeat(255), disco.ErrValue},
		{"zeros as address", "0300" + zeros(8) + "02" + addr + zeros(18), disco.ErrValue},
	}
	for _, a := range impossible {
		tests = append(tests, bad{a.name, "0300" + zeros(8) + "02" + addr + a.hex, disco.ErrValue})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := disco.Candidates{Sequence: 1, Reply: true, Addrs: addresses(5)}
			if err := m.Decode(unhex(t, tt.hex)); !errors.Is(err, tt.want) || m.Sequence != 0 || m.Reply || len(m.Addrs) != 0 || cap(m.Addrs) != 5 {
				t.Errorf("got %+v, %v, want zero, %v", m, err, tt.want)
			}
		})
	}
}
