// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/conn/bindtest"
	"github.com/tailscale/wireguard-go/device"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// tunnel returns two hosts with wireguard-go between them, over UDP on the
// loopback or, with binds, over those.
func tunnel(tb testing.TB, binds [2]conn.Bind) (hosts [2]*netstack.Device) {
	tb.Helper()
	addrs := [2][]netip.Addr{{netstacktest.A4, netstacktest.A6}, {netstacktest.B4, netstacktest.B6}}
	var private, public [2]string
	var devices [2]*device.Device
	for i := range hosts {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		private[i], public[i] = hex.EncodeToString(key.Bytes()), hex.EncodeToString(key.PublicKey().Bytes())
		hosts[i] = newDevice(tb, &netstack.Options{Addresses: addrs[i]})
		logger := &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf}
		devices[i] = device.NewDevice(hosts[i], binds[i], logger)
		tb.Cleanup(devices[i].Close)
	}
	var ports [2]string
	for i, d := range devices {
		config := fmt.Sprintf("private_key=%s\npublic_key=%s\n", private[i], public[1-i])
		for _, a := range addrs[1-i] {
			config += fmt.Sprintf("allowed_ip=%s\n", netip.PrefixFrom(a, a.BitLen()))
		}
		if err := d.IpcSet(config); err != nil {
			tb.Fatal(err)
		}
		if err := d.Up(); err != nil {
			tb.Fatal(err)
		}
		state, err := d.IpcGet()
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(state) {
			if port, ok := strings.CutPrefix(line, "listen_port="); ok {
				ports[i] = strings.TrimSpace(port)
			}
		}
	}
	for i, d := range devices {
		if err := d.IpcSet(fmt.Sprintf("public_key=%s\nendpoint=127.0.0.1:%s\n", public[1-i], ports[1-i])); err != nil {
			tb.Fatal(err)
		}
	}
	return hosts
}

// TestWireGuard runs the devices under wireguard-go: handshake, ping, and TCP
// and UDP of both families.
func TestWireGuard(t *testing.T) {
	testutil.LeakCheck(t)
	hosts := tunnel(t, bindtest.NewChannelBinds())
	for _, to := range []netip.Addr{netstacktest.B4, netstacktest.B6} {
		if _, err := hosts[0].Net().Ping(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		c, d := connect(t, hosts[0].Net(), hosts[1].Net(), to)
		defer c.Close()
		defer d.Close()
		exchange(t, c, d, 2<<20)
	}
	pc := listenUDP(t, hosts[1].Net(), "udp", ":7")
	go echo(pc)
	u, err := hosts[0].Net().DialContext(t.Context(), "udp", "10.99.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write([]byte("through")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := u.Read(buf); string(buf[:n]) != "through" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	// One ends, the other goes on until it is closed too.
	hosts[1].Close()
	if err := hosts[0].Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkWireGuard is BenchmarkTCP with real WireGuard over UDP on the
// loopback, both ends in one process: what the program's demo does.
func BenchmarkWireGuard(b *testing.B) {
	for _, streams := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams-%d", streams), func(b *testing.B) {
			hosts := tunnel(b, [2]conn.Bind{conn.NewStdNetBind(), conn.NewStdNetBind()})
			benchmarkStreams(b, hosts[0], hosts[1], netstacktest.B4, streams)
		})
	}
}
