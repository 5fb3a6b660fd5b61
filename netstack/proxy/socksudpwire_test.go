// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSocksDatagram(t *testing.T) {
	long := strings.Repeat("n", 255)
	for _, tc := range []struct {
		name, in string
		want     string // address or name, port, fragment, data; empty: an error
	}{
		{"ipv4", "\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x35data", "192.0.2.1 53 0 data"},
		{"ipv6", "\x00\x00\x00\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x01\xbbdata", "2001:db8::1 443 0 data"},
		{"mapped", "\x00\x00\x00\x04" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01\x00\x35data", "192.0.2.1 53 0 data"},
		{"name", "\x00\x00\x00\x03\x04host\x00\x50data", "host 80 0 data"},
		{"longest name", "\x00\x00\x00\x03\xff" + long + "\x00\x50data", long + " 80 0 data"},
		{"no data", "\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x35", "192.0.2.1 53 0 "},
		{"fragment", "\x00\x00\x81\x01\xc0\x00\x02\x01\x00\x35data", "192.0.2.1 53 129 data"},
		{"reserved bytes", "\x12\x34\x00\x01\xc0\x00\x02\x01\x00\x35data", "192.0.2.1 53 0 data"},
		{"empty", "", ""},
		{"short", "\x00\x00\x00", ""},
		{"no address", "\x00\x00\x00\x01", ""},
		{"short ipv4", "\x00\x00\x00\x01\xc0\x00\x02\x01\x00", ""},
		{"short ipv6", "\x00\x00\x00\x04" + strings.Repeat("\x00", 17), ""},
		{"no name", "\x00\x00\x00\x03", ""},
		{"name without characters", "\x00\x00\x00\x03\x00\x00\x50data", ""},
		{"short name", "\x00\x00\x00\x03\x05host\x00", ""},
		{"unknown type", "\x00\x00\x00\x02\xc0\x00\x02\x01\x00\x35data", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := socksDatagram{fragment: 7, name: []byte("dirt"), addr: netip.IPv6Unspecified(), port: 7, data: []byte("dirt")}
			err := d.parse([]byte(tc.in))
			if tc.want == "" {
				if err == nil || d.addr.IsValid() || d.name != nil || d.data != nil || d.fragment != 0 || d.port != 0 {
					t.Errorf("got %+v, %v, want an error", d, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, describe(&d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func describe(d *socksDatagram) string {
	host := string(d.name)
	if d.addr.IsValid() {
		host = d.addr.String()
	}
	return strings.Join([]string{host, strconv.Itoa(int(d.port)), strconv.Itoa(int(d.fragment)), string(d.data)}, " ")
}

// FuzzSocksDatagram: what is parsed and written again is the same, except for the
// reserved bytes, the fragment number and addresses of IPv4 in their IPv6 form.
func FuzzSocksDatagram(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x35data"))
	f.Add([]byte("\x00\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbbdata"))
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x00\x35"))
	f.Add([]byte("\x00\x00\x01\x03\x04host\x00\x50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d socksDatagram
		if d.parse(b) != nil {
			if d.addr.IsValid() || d.name != nil || d.data != nil {
				t.Fatalf("an error and %+v", d)
			}
			return
		}
		if d.addr.IsValid() == (d.name != nil) {
			t.Fatalf("both or neither of address and name: %+v", d)
		}
		out := appendSocksUDPHeader(nil, socksTarget{addr: d.addr, name: string(d.name), port: d.port})
		if b[3] != socksIPv6 || d.addr.Is6() {
			want := append([]byte{0, 0, 0}, b[3:len(b)-len(d.data)]...)
			if !bytes.Equal(out, want) {
				t.Fatalf("header %x, want %x", out, want)
			}
		}
		var again socksDatagram
		if err := again.parse(append(out, d.data...)); err != nil {
			t.Fatal(err)
		}
		again.fragment = d.fragment
		if describe(&again) != describe(&d) {
			t.Fatalf("got %+v, want %+v", again, d)
		}
	})
}
