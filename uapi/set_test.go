// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/uapi"
)

var cmpNet = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func hex32(b byte) string { return strings.Repeat(fmt.Sprintf("%02x", b), 32) }

func TestParseSet(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want uapi.SetRequest
	}{
		{name: "empty", in: "\n"},
		{
			name: "device",
			in:   "private_key=" + hex32(1) + "\nlisten_port=51820\nfwmark=4294967295\nreplace_peers=true\n\n",
			want: uapi.SetRequest{PrivateKey: ptr(key(1)), ListenPort: ptr(uint16(51820)), FwMark: ptr(uint32(1<<32 - 1)), ReplacePeers: true},
		},
		{
			name: "zeros",
			in:   "private_key=" + hex32(0) + "\nlisten_port=0\nfwmark=0\n\n",
			want: uapi.SetRequest{PrivateKey: ptr(key(0)), ListenPort: ptr(uint16(0)), FwMark: ptr(uint32(0))},
		},
		{
			name: "peers",
			in: "public_key=" + hex32(2) + "\nupdate_only=true\npreshared_key=" + hex32(3) + "\nendpoint=192.0.2.1:51820\n" +
				"persistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.0.0.0/8\nallowed_ip=-fd00::/64\nprotocol_version=1\n" +
				"public_key=" + strings.ToUpper(hex32(0xab)) + "\nremove=true\n\n",
			want: uapi.SetRequest{Peers: []uapi.PeerRequest{
				{
					PublicKey: key(2), UpdateOnly: true, PresharedKey: ptr(key(3)),
					Endpoint: ptr(netip.MustParseAddrPort("192.0.2.1:51820")), PersistentKeepalive: ptr(uint16(25)),
					ReplaceAllowedIPs: true, AllowedIPs: []uapi.AllowedIPChange{
						{Prefix: netip.MustParsePrefix("10.0.0.0/8")},
						{Prefix: netip.MustParsePrefix("fd00::/64"), Remove: true},
					},
				},
				{PublicKey: key(0xab), Remove: true},
			}},
		},
		{
			name: "v6 zone endpoint",
			in:   "public_key=" + hex32(2) + "\nendpoint=[fe80::1%eth0]:1\n\n",
			want: uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: key(2), Endpoint: ptr(netip.MustParseAddrPort("[fe80::1%eth0]:1"))}}},
		},
		{
			name: "4in6 endpoint is v4",
			in:   "public_key=" + hex32(2) + "\nendpoint=[::ffff:192.0.2.1]:1\n\n",
			want: uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: key(2), Endpoint: ptr(netip.MustParseAddrPort("192.0.2.1:1"))}}},
		},
		{
			name: "prefix is masked",
			in:   "public_key=" + hex32(2) + "\nallowed_ip=10.1.2.3/8\n\n",
			want: uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: key(2), AllowedIPs: []uapi.AllowedIPChange{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}}},
		},
		{
			name: "replace takes back what came before it",
			in:   "public_key=" + hex32(2) + "\nallowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=11.0.0.0/8\n\n",
			want: uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: key(2), ReplaceAllowedIPs: true, AllowedIPs: []uapi.AllowedIPChange{{Prefix: netip.MustParsePrefix("11.0.0.0/8")}}}}},
		},
		{
			name: "last value counts, same peer twice",
			in:   "listen_port=1\nlisten_port=2\npublic_key=" + hex32(2) + "\npublic_key=" + hex32(2) + "\nremove=true\n\n",
			want: uapi.SetRequest{ListenPort: ptr(uint16(2)), Peers: []uapi.PeerRequest{{PublicKey: key(2)}, {PublicKey: key(2), Remove: true}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const next = "get=1\n\n"
			// The smallest buffer that bufio has makes every key line a long one.
			r := bufio.NewReaderSize(strings.NewReader(tt.in+next), 16)
			got, err := uapi.ParseSet(r)
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpNet); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if rest, _ := io.ReadAll(r); string(rest) != next {
				t.Errorf("rest of the stream is %q, want %q", rest, next)
			}
		})
	}
}

func TestParseSetErrors(t *testing.T) {
	const secret = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	peer := "public_key=" + hex32(2) + "\n"
	tests := []struct {
		name, in, want string
		errno          int64
	}{
		{"no equals sign", "replace_peers\n", "not key=value", uapi.ErrnoProtocol},
		{"key alone", secret + "\n", "?", uapi.ErrnoInvalid},
		{"unknown device key", "jitter=3\n", "jitter: unknown device key", uapi.ErrnoInvalid},
		{"unknown peer key", peer + "listen_port=3\n", "listen_port: unknown peer key", uapi.ErrnoInvalid},
		{"peer key before a peer", "endpoint=192.0.2.1:1\n", "endpoint: unknown device key", uapi.ErrnoInvalid},
		{"base64 private key", "private_key=" + secret + "\n", "private_key: want 64 hex digits", uapi.ErrnoInvalid},
		{"short key", "private_key=" + hex32(1)[1:] + "\n", "64 hex digits", uapi.ErrnoInvalid},
		{"bad hex", "private_key=" + hex32(1)[:62] + "zz\n", "64 hex digits", uapi.ErrnoInvalid},
		{"bad public key", "public_key=12\n", "public_key: want 64 hex digits", uapi.ErrnoInvalid},
		{"bad preshared key", peer + "preshared_key=" + secret + "\n", "preshared_key: want 64", uapi.ErrnoInvalid},
		{"port", "listen_port=65536\n", "listen_port: want a decimal number", uapi.ErrnoInvalid},
		{"port sign", "listen_port=+1\n", "decimal", uapi.ErrnoInvalid},
		{"mark", "fwmark=0x10\n", "decimal", uapi.ErrnoInvalid},
		{"mark range", "fwmark=4294967296\n", "decimal", uapi.ErrnoInvalid},
		{"keepalive", peer + "persistent_keepalive_interval=off\n", "decimal", uapi.ErrnoInvalid},
		{"replace_peers", "replace_peers=false\n", `"true"`, uapi.ErrnoInvalid},
		{"remove", peer + "remove=1\n", `"true"`, uapi.ErrnoInvalid},
		{"update_only", peer + "update_only=\n", `"true"`, uapi.ErrnoInvalid},
		{"replace_allowed_ips", peer + "replace_allowed_ips=no\n", `"true"`, uapi.ErrnoInvalid},
		{"endpoint name", peer + "endpoint=example.com:1\n", "literal address", uapi.ErrnoInvalid},
		{"endpoint without port", peer + "endpoint=192.0.2.1\n", "PORT", uapi.ErrnoInvalid},
		{"allowed ip", peer + "allowed_ip=10.0.0.0/33\n", "ADDRESS/BITS", uapi.ErrnoInvalid},
		{"allowed ip without bits", peer + "allowed_ip=10.0.0.1\n", "ADDRESS/BITS", uapi.ErrnoInvalid},
		{"allowed ip minus", peer + "allowed_ip=-\n", "ADDRESS/BITS", uapi.ErrnoInvalid},
		{"version", peer + "protocol_version=2\n", "version is 1", uapi.ErrnoInvalid},
		{"carriage return", "replace_peers=true\r\n", `"true"`, uapi.ErrnoInvalid},
		{"long line", "private_key=" + strings.Repeat("0", uapi.MaxLine) + "\n", "longer than", uapi.ErrnoInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const next = "get=1\n\n"
			r := bufio.NewReader(strings.NewReader(tt.in + "replace_peers=true\n" + strings.Repeat("x", 3*uapi.MaxLine) + "\n\n" + next))
			req, err := uapi.ParseSet(r)
			var coded *uapi.Error
			if !errors.As(err, &coded) {
				t.Fatalf("got %v, %v, want an *Error", req, err)
			}
			if req != nil {
				t.Errorf("got %v with the error, want nil", req)
			}
			if coded.Errno != tt.errno {
				t.Errorf("errno %d, want %d", coded.Errno, tt.errno)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), secret[:8]) || strings.Contains(err.Error(), hex32(1)[:8]) {
				t.Errorf("error %q contains a key", err)
			}
			if rest, _ := io.ReadAll(r); string(rest) != next {
				t.Errorf("rest of the stream is %q, want %q", rest, next)
			}
		})
	}
}

func TestParseSetCutOff(t *testing.T) {
	whole := string((&uapi.SetRequest{PrivateKey: ptr(key(1)), Peers: []uapi.PeerRequest{{PublicKey: key(2), Remove: true}}}).AppendTo(nil))
	for n := range len(whole) {
		req, err := uapi.ParseSet(bufio.NewReader(strings.NewReader(whole[:n])))
		if req != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("first %d bytes: got %v, %v, want io.ErrUnexpectedEOF", n, req, err)
		}
	}
}

// repeated is an endless stream of one line.
type repeated string

func (s repeated) Read(b []byte) (n int, err error) {
	for n+len(s) <= len(b) {
		n += copy(b[n:], s)
	}
	return n, nil
}

func TestParseSetTooLong(t *testing.T) {
	for _, line := range []string{"replace_peers=true\n", "wrong\n", strings.Repeat("x", 100)} {
		_, err := uapi.ParseSet(bufio.NewReader(repeated(line)))
		if err == nil {
			t.Errorf("endless %.20q: no error", line)
		}
	}
}

// TestParseSetManyPeers: the most peers that wireguard-go takes, with every key,
// fit in the limit.
func TestParseSetManyPeers(t *testing.T) {
	const n = 1 << 16
	var req uapi.SetRequest
	for i := range n {
		p := uapi.PeerRequest{
			PresharedKey: ptr(key(7)), Endpoint: ptr(netip.MustParseAddrPort("[2001:db8:1234:5678:9abc:def0:1234:5678]:65535")),
			PersistentKeepalive: ptr(uint16(65535)), ReplaceAllowedIPs: true,
		}
		p.PublicKey[0], p.PublicKey[1] = byte(i), byte(i>>8)
		for j := range 8 {
			a := netip.AddrFrom16([16]byte{0: 0xfd, 5: byte(j), 6: byte(i), 7: byte(i >> 8), 15: 1})
			p.AllowedIPs = append(p.AllowedIPs, uapi.AllowedIPChange{Prefix: netip.PrefixFrom(a, 128)})
		}
		req.Peers = append(req.Peers, p)
	}
	text := req.AppendTo(nil)
	if len(text) > uapi.MaxRequest {
		t.Fatalf("request of %d bytes is above the limit of %d", len(text), uapi.MaxRequest)
	}
	got, err := uapi.ParseSet(bufio.NewReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	if again := got.AppendTo(nil); !bytes.Equal(again, text) {
		t.Errorf("request of %d peers changed on the way", n)
	}
}

func TestNoKeysInText(t *testing.T) {
	secret := key(0xab)
	values := []any{
		uapi.Device{PrivateKey: secret, Peers: []uapi.Peer{{PresharedKey: secret}}},
		&uapi.Device{PrivateKey: secret, Peers: []uapi.Peer{{PresharedKey: secret}}},
		[]uapi.Peer{{PresharedKey: secret}},
		uapi.SetRequest{PrivateKey: &secret, Peers: []uapi.PeerRequest{{PresharedKey: &secret}}},
		&uapi.SetRequest{PrivateKey: &secret},
		[]uapi.PeerRequest{{PresharedKey: &secret}},
	}
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	for _, v := range values {
		fmt.Fprintf(&b, "%v %+v %s\n", v, v, v)
		log.Info("x", "v", v)
	}
	for _, bad := range []string{"abab", "171"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("secret bytes as %q in:\n%s", bad, b.String())
		}
	}
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte("private_key=" + hex32(1) + "\nlisten_port=51820\nfwmark=1\nreplace_peers=true\npublic_key=" + hex32(2) + "\n\nrest"))
	f.Add([]byte("public_key=" + hex32(2) + "\nupdate_only=true\nremove=true\npreshared_key=" + hex32(0) + "\nendpoint=[fe80::1%lo]:1\n" +
		"persistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=-10.0.0.0/8\nallowed_ip=::ffff:1.2.3.4/97\n\n"))
	f.Add([]byte("bad\nset=1\n\nget=1\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), 16)
		req, err := uapi.ParseSet(r)
		if err != nil {
			if req != nil {
				t.Fatal("a request together with an error")
			}
			var coded *uapi.Error
			if !errors.As(err, &coded) || coded.Errno >= 0 {
				t.Fatalf("error %v has no errno", err)
			}
			return
		}
		rest, _ := io.ReadAll(r)
		if used := in[:len(in)-len(rest)]; !bytes.HasSuffix(used, []byte("\n")) || bytes.Contains(used[:len(used)-1], []byte("\n\n")) {
			t.Fatalf("request ends at a wrong place: %q", used)
		}
		text := req.AppendTo([]byte("prefix"))
		text, ok := bytes.CutPrefix(text, []byte("prefix"))
		if !ok {
			t.Fatal("AppendTo does not append")
		}
		again, err := uapi.ParseSet(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			t.Fatalf("own text %q: %v", text, err)
		}
		if diff := cmp.Diff(req, again, cmpNet); diff != "" {
			t.Fatalf("round trip (-first +second):\n%s", diff)
		}
	})
}
