// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun/tuntest"

	"github.com/tunrouter/tunrouter/uapi"
)

func fullDevice() *uapi.Device {
	return &uapi.Device{
		PrivateKey: key(1), ListenPort: 51820, FwMark: 0xca6c,
		Extra: []uapi.KeyValue{{Key: "mode", Value: "tun"}},
		Peers: []uapi.Peer{
			{
				PublicKey: key(2), PresharedKey: key(3), Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"),
				LastHandshake: time.Unix(1700000000, 123456789), TxBytes: 1 << 63, RxBytes: 7, PersistentKeepalive: 25,
				AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/64")},
				Extra:      []uapi.KeyValue{{Key: "path", Value: "direct"}},
			},
			{PublicKey: key(4), Endpoint: netip.MustParseAddrPort("[fe80::1%eth0]:1")},
		},
	}
}

const fullText = "private_key=0101010101010101010101010101010101010101010101010101010101010101\n" +
	"listen_port=51820\n" +
	"fwmark=51820\n" +
	"mode=tun\n" +
	"public_key=0202020202020202020202020202020202020202020202020202020202020202\n" +
	"preshared_key=0303030303030303030303030303030303030303030303030303030303030303\n" +
	"protocol_version=1\n" +
	"endpoint=192.0.2.1:51820\n" +
	"last_handshake_time_sec=1700000000\n" +
	"last_handshake_time_nsec=123456789\n" +
	"tx_bytes=9223372036854775808\n" +
	"rx_bytes=7\n" +
	"persistent_keepalive_interval=25\n" +
	"allowed_ip=10.0.0.0/8\n" +
	"allowed_ip=fd00::/64\n" +
	"path=direct\n" +
	"public_key=0404040404040404040404040404040404040404040404040404040404040404\n" +
	"preshared_key=0000000000000000000000000000000000000000000000000000000000000000\n" +
	"protocol_version=1\n" +
	"endpoint=[fe80::1%eth0]:1\n" +
	"last_handshake_time_sec=0\n" +
	"last_handshake_time_nsec=0\n" +
	"tx_bytes=0\n" +
	"rx_bytes=0\n" +
	"persistent_keepalive_interval=0\n"

func TestDeviceText(t *testing.T) {
	if diff := cmp.Diff(fullText, string(fullDevice().AppendTo(nil))); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	for _, end := range []string{"", "errno=0\n", "errno=0\n\n", "errno=0\n\nerrno=-22\n\n"} {
		got, err := uapi.ParseDevice(strings.NewReader(fullText + end))
		if err != nil {
			t.Fatalf("with end %q: %v", end, err)
		}
		if diff := cmp.Diff(fullDevice(), got, cmpNet); diff != "" {
			t.Errorf("with end %q: device (-want +got):\n%s", end, diff)
		}
	}
	if got := (&uapi.Device{}).AppendTo([]byte("x")); string(got) != "x" {
		t.Errorf("an empty device is %q", got)
	}
}

func TestDeviceExtraLeftOut(t *testing.T) {
	d := &uapi.Device{Extra: []uapi.KeyValue{
		{Key: "a", Value: "x=y"}, {Key: "b", Value: "1\n"}, {Key: "errno", Value: "5"}, {Key: "listen_port", Value: "5"},
		{Key: "", Value: "5"}, {Key: "good", Value: ""},
	}}
	if got := string(d.AppendTo(nil)); got != "good=\n" {
		t.Errorf("got %q", got)
	}
}

func TestParseDeviceErrors(t *testing.T) {
	peer := "public_key=" + hex32(2) + "\n"
	tests := []struct{ name, in, want string }{
		{"errno", "errno=-22\n\n", "invalid"},
		{"errno at the end", "listen_port=1\nerrno=-5\n", "input/output"},
		{"errno text", "errno=x\n\n", "errno"},
		{"unknown errno", "errno=17\n\n", "17"},
		{"no value", "x\n", "key=value"},
		{"half a line", "listen_port=5182", "unexpected EOF"},
		{"private key", "private_key=00\n", "private_key"},
		{"port", "listen_port=70000\n", "listen_port"},
		{"endpoint", peer + "endpoint=x\n", "endpoint"},
		{"nanoseconds", peer + "last_handshake_time_nsec=1000000000\n", "nsec"},
		{"allowed ip", peer + "allowed_ip=x\n", "allowed_ip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := uapi.ParseDevice(strings.NewReader(tt.in))
			var coded *uapi.Error
			if d != nil || !errors.As(err, &coded) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want an *Error with %q", d, err, tt.want)
			}
		})
	}
}

// TestParseIpcGet: what the wireguard-go device says about itself is understood,
// and it understands what SetRequest writes.
func TestParseIpcGet(t *testing.T) {
	tun := tuntest.NewChannelTUN()
	dev := device.NewDevice(tun.TUN(), conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	defer dev.Close()
	private := key(1) // the device clamps it
	req := &uapi.SetRequest{PrivateKey: &private, FwMark: ptr(uint32(0)), Peers: []uapi.PeerRequest{{
		PublicKey: key(9), PresharedKey: ptr(key(3)), Endpoint: ptr(netip.MustParseAddrPort("127.0.0.1:9")),
		PersistentKeepalive: ptr(uint16(21)), ReplaceAllowedIPs: true,
		AllowedIPs: []uapi.AllowedIPChange{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}},
	}}}
	if err := dev.IpcSet(string(req.AppendTo(nil))); err != nil {
		t.Fatal(err)
	}
	text, err := dev.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	got, err := uapi.ParseDevice(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	// The device comes up by itself meanwhile, opens its port and sends.
	want := &uapi.Device{PrivateKey: got.PrivateKey, ListenPort: got.ListenPort, Peers: []uapi.Peer{{
		PublicKey: key(9), PresharedKey: key(3), Endpoint: netip.MustParseAddrPort("127.0.0.1:9"),
		PersistentKeepalive: 21, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		TxBytes: got.Peers[0].TxBytes,
	}}}
	if got.PrivateKey[5] != 1 {
		t.Errorf("private key did not arrive")
	}
	if diff := cmp.Diff(want, got, cmpNet); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(text, string(got.AppendTo(nil))); diff != "" {
		t.Errorf("our text differs from wireguard-go's (-theirs +ours):\n%s", diff)
	}
}

func FuzzParseDevice(f *testing.F) {
	f.Add([]byte(fullText + "errno=0\n\n"))
	f.Add([]byte("errno=-22\n\n"))
	f.Add([]byte("a=b=c\npublic_key=" + hex32(2) + "\nlast_handshake_time_sec=9223372036854775807\nlast_handshake_time_nsec=999999999\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := uapi.ParseDevice(bytes.NewReader(in))
		if err != nil {
			if d != nil {
				t.Fatal("a device together with an error")
			}
			return
		}
		text := d.AppendTo(nil)
		first, err := uapi.ParseDevice(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("own text %q: %v", text, err)
		}
		if again := first.AppendTo(nil); !bytes.Equal(text, again) {
			t.Fatalf("text changed on the way:\n%s\n%s", text, again)
		}
		d.Extra, first.Extra = nil, nil // may lose pairs
		for i := range d.Peers {
			d.Peers[i].Extra, first.Peers[i].Extra = nil, nil
		}
		if diff := cmp.Diff(d, first, cmpNet); diff != "" {
			t.Fatalf("round trip (-first +second):\n%s", diff)
		}
	})
}
