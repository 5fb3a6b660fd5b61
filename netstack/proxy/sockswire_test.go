// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
)

func TestReadSocksRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want string
		err  error
	}{
		"IPv4":         {"\x05\x01\x00\x01\x0a\x63\x00\x02\x00\x50", "10.99.0.2:80", nil},
		"IPv6":         {"\x05\x01\x00\x04\xfd\x99" + strings.Repeat("\x00", 13) + "\x02\x01\xbb", "[fd99::2]:443", nil},
		"name":         {"\x05\x01\x00\x03\x09b.example\x1f\x90", "b.example:8080", nil},
		"more behind":  {"\x05\x01\x00\x03\x01b\x00\x01early", "b:1", nil},
		"longest name": {"\x05\x01\x00\x03\xff" + strings.Repeat("n", 255) + "\x00\x01", strings.Repeat("n", 255) + ":1", nil},
		"empty name":   {"\x05\x01\x00\x03\x00\x00\x01", "", errSocksName},
		"version":      {"\x04\x01\x00\x01\x0a\x63\x00\x02\x00\x50", "", errSocksVersion},
		"address":      {"\x05\x01\x00\x02\x0a\x63\x00\x02\x00\x50", "", errSocksAddress},
		"nothing":      {"", "", io.ErrUnexpectedEOF},
		"head":         {"\x05\x01\x00", "", io.ErrUnexpectedEOF},
		"no length":    {"\x05\x01\x00\x03", "", io.ErrUnexpectedEOF},
		"half a name":  {"\x05\x01\x00\x03\x09b.ex", "", io.ErrUnexpectedEOF},
		"no port":      {"\x05\x01\x00\x01\x0a\x63\x00\x02", "", io.ErrUnexpectedEOF},
		"half a port":  {"\x05\x01\x00\x01\x0a\x63\x00\x02\x00", "", io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := readSocksRequest(bufio.NewReader(strings.NewReader(tc.in)))
			if !errors.Is(err, tc.err) {
				t.Fatalf("got error %v, want %v", err, tc.err)
			}
			if err == nil && (q.command != socksConnect || q.target.String() != tc.want) {
				t.Errorf("got command %d and %v, want %v", q.command, q.target, tc.want)
			}
			if err != nil && q != (socksRequest{}) {
				t.Errorf("got %v with an error", q)
			}
		})
	}
}

func TestReadSocksPassword(t *testing.T) {
	for in, want := range map[string]struct {
		username, password string
		err                error
	}{
		"\x01\x01u\x02pw": {"u", "pw", nil},
		"\x01\x00\x00":    {"", "", nil},
		"\x05\x01u\x01p":  {"", "", errSocksAuth},
		"\x01\x02u":       {"", "", io.ErrUnexpectedEOF},
		"\x01\x01u\x05p":  {"", "", io.ErrUnexpectedEOF},
		"":                {"", "", io.ErrUnexpectedEOF},
	} {
		u, p, err := readSocksPassword(bufio.NewReader(strings.NewReader(in)))
		if u != want.username || p != want.password || !errors.Is(err, want.err) {
			t.Errorf("%q: got %q, %q, %v; want %v", in, u, p, err, want)
		}
	}
}

// FuzzSocksRequest checks that a request that can be read is the one that was
// written, to the byte, and that nothing behind it is taken.
func FuzzSocksRequest(f *testing.F) {
	for _, q := range []socksRequest{
		{socksConnect, socksTarget{addr: netip.MustParseAddr("10.99.0.2"), port: 80}},
		{socksAssociate, socksTarget{addr: netip.MustParseAddr("fd99::2"), port: 0}},
		{socksBind, socksTarget{name: "b.example", port: 443}},
		{socksConnect, socksTarget{addr: netip.MustParseAddr("::ffff:10.99.0.2"), port: 1}},
	} {
		f.Add(append(q.appendTo(nil), "early data"...))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		src := bytes.NewReader(in)
		r := bufio.NewReaderSize(src, socksMessageSize)
		q, err := readSocksRequest(r)
		if err != nil {
			if q != (socksRequest{}) {
				t.Fatalf("got %v with error %v", q, err)
			}
			return
		}
		out := q.appendTo(nil)
		if len(out) > socksMessageSize {
			t.Fatalf("a request of %d bytes", len(out))
		}
		if want := bytes.Clone(in[:len(out)]); !bytes.Equal(out[:2], want[:2]) || !bytes.Equal(out[3:], want[3:]) {
			t.Fatalf("read %x, would write %x", want, out)
		}
		rest, _ := io.ReadAll(r)
		if !bytes.Equal(rest, in[len(out):]) {
			t.Fatalf("%d bytes are left, want %d", len(rest), len(in)-len(out))
		}
	})
}
