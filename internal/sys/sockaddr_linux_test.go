// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

func TestSockaddr(t *testing.T) {
	for _, tc := range []struct {
		name  string
		addr  string
		scope uint32
		size  int
	}{
		{"v4", "192.0.2.1:51820", 0, unix.SizeofSockaddrInet4},
		{"v4 port 0", "0.0.0.0:0", 0, unix.SizeofSockaddrInet4},
		{"v6", "[2001:db8::2]:65535", 0, unix.SizeofSockaddrInet6},
		{"v6 link-local", "[fe80::1]:1", 7, unix.SizeofSockaddrInet6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := netip.MustParseAddrPort(tc.addr)
			// What was there before must not show.
			var s sys.Sockaddr
			for i := range s {
				s[i] = 0xff
			}
			n := s.Put(want, tc.scope)
			if n != tc.size {
				t.Errorf("size: got %d, want %d", n, tc.size)
			}
			got, scope, ok := s.Get(n)
			if !ok || got != want || scope != tc.scope {
				t.Errorf("got %v scope %d %v, want %v scope %d", got, scope, ok, want, tc.scope)
			}
		})
	}
}

// An IPv6 address after an IPv4 one in the same memory is whole: wireguard-go's
// bind cuts it.
func TestSockaddrReuse(t *testing.T) {
	var s sys.Sockaddr
	v4, v6 := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("[fd88::2]:2")
	for range 3 {
		for _, want := range []netip.AddrPort{v4, v6} {
			if got, _, ok := s.Get(s.Put(want, 0)); !ok || got != want {
				t.Errorf("got %v, %v, want %v", got, ok, want)
			}
		}
	}
}

func TestSockaddrInvalid(t *testing.T) {
	var s sys.Sockaddr
	if n := s.Put(netip.AddrPort{}, 0); n != 0 || s != (sys.Sockaddr{}) {
		t.Errorf("invalid address: got %d bytes %x, want none", n, s)
	}
	s.Put(netip.MustParseAddrPort("[::1]:1"), 0)
	for _, n := range []int{-1, 0, 1, 2, 8, unix.SizeofSockaddrInet4, 23, len(s) + 1} {
		if ap, _, ok := s.Get(n); ok {
			t.Errorf("Get(%d) of an IPv6 address: got %v, want not ok", n, ap)
		}
	}
	binary.NativeEndian.PutUint16(s[:], unix.AF_UNIX)
	if ap, _, ok := s.Get(len(s)); ok {
		t.Errorf("unix address: got %v, want not ok", ap)
	}
}

func FuzzSockaddr(f *testing.F) {
	f.Add([]byte{2, 0, 0x12, 0x34, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 16)
	f.Add([]byte{10, 0, 0x12, 0x34, 0, 0, 0, 0, 0xfe, 0x80}, 28)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		var s sys.Sockaddr
		copy(s[:], b)
		ap, scope, ok := s.Get(n)
		if !ok {
			if ap != (netip.AddrPort{}) || scope != 0 {
				t.Fatalf("not ok with %v scope %d", ap, scope)
			}
			return
		}
		if ap.Addr().Is4In6() || ap.Addr().Zone() != "" {
			t.Fatalf("got %v, want no 4in6 and no zone", ap)
		}
		var again sys.Sockaddr
		ap2, scope2, ok := again.Get(again.Put(ap, scope))
		if !ok || ap2 != ap || ap.Addr().Is6() && scope2 != scope {
			t.Fatalf("round trip: got %v scope %d, want %v scope %d", ap2, scope2, ap, scope)
		}
	})
}
