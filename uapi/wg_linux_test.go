// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// wgTool runs the real wg(8), which looks for sockets in /var/run/wireguard
// only, with a directory of the test mounted at /var/run, in mount and network
// namespaces of its own.
type wgTool struct {
	t   *testing.T
	run string // stands for /var/run
}

func (w *wgTool) output(stdin string, args ...string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	script := `mount --bind "$1" /var/run && shift && exec wg "$@"`
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script, "sh", w.run}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *wgTool) must(stdin string, args ...string) string {
	w.t.Helper()
	out, err := w.output(stdin, args...)
	if err != nil {
		w.t.Fatalf("wg %v: %v\n%s", args, err, out)
	}
	return out
}

// newWG serves a handler as interface wg7 to the wg tool.
func newWG(t *testing.T, h uapi.Handler) *wgTool {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "wg", "mount", "sh")
	run := tempDir(t)
	serve(t, listen(t, filepath.Join(run, "wireguard", "wg7.sock")), h)
	return &wgTool{t: t, run: run}
}

func b64(k uapi.Key) string { return base64.StdEncoding.EncodeToString(k[:]) }

// keyFile writes a key for an option of wg that wants a file.
func keyFile(t *testing.T, k uapi.Key) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(b64(k)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWGShow(t *testing.T) {
	d := fullDevice()
	d.Peers[1].Endpoint = netip.MustParseAddrPort("[2001:db8::1]:51821")
	w := newWG(t, &memory{dev: *d})

	if got := strings.TrimSpace(w.must("", "show", "interfaces")); got != "wg7" {
		t.Errorf("interfaces: %q", got)
	}
	show := w.must("", "show")
	for _, want := range []string{
		"interface: wg7", "private key: (hidden)", "listening port: 51820", "fwmark: 0xca6c",
		"peer: " + b64(key(2)), "preshared key: (hidden)", "endpoint: 192.0.2.1:51820", "endpoint: [2001:db8::1]:51821",
		"allowed ips: 10.0.0.0/8, fd00::/64", "allowed ips: (none)", "persistent keepalive: every 25 seconds",
	} {
		if !strings.Contains(show, want) {
			t.Errorf("wg show has no %q:\n%s", want, show)
		}
	}
	dump := strings.Split(strings.TrimSpace(w.must("", "show", "wg7", "dump")), "\n")
	want := []string{
		b64(key(2)) + "\t" + b64(key(3)) + "\t192.0.2.1:51820\t10.0.0.0/8,fd00::/64\t1700000000\t7\t9223372036854775808\t25",
		b64(key(4)) + "\t(none)\t[2001:db8::1]:51821\t(none)\t0\t0\t0\toff",
	}
	if !strings.HasPrefix(dump[0], b64(key(1))+"\t") || !strings.HasSuffix(dump[0], "\t51820\t0xca6c") {
		t.Errorf("dump of the device: %q", dump[0])
	}
	if diff := cmp.Diff(want, dump[1:]); diff != "" {
		t.Errorf("dump of the peers (-want +got):\n%s", diff)
	}
	conf := w.must("", "showconf", "wg7")
	for _, want := range []string{
		"PrivateKey = " + b64(key(1)), "ListenPort = 51820", "FwMark = 0xca6c", "PresharedKey = " + b64(key(3)),
		"AllowedIPs = 10.0.0.0/8, fd00::/64", "Endpoint = 192.0.2.1:51820", "PersistentKeepalive = 25",
	} {
		if !strings.Contains(conf, want) {
			t.Errorf("wg showconf has no %q:\n%s", want, conf)
		}
	}
}

func TestWGEmptyDevice(t *testing.T) {
	w := newWG(t, new(memory))
	if got := w.must("", "show", "wg7", "dump"); got != "(none)\t(none)\t0\toff\n" {
		t.Errorf("dump: %q", got)
	}
	w.must("", "show", "wg7")
}

func TestWGSet(t *testing.T) {
	h := new(memory)
	w := newWG(t, h)
	check := func(step string, want uapi.Device) {
		t.Helper()
		got, err := h.Get()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, got, cmpNet); diff != "" {
			t.Errorf("%s: device (-want +got):\n%s", step, diff)
		}
	}
	w.must("", "set", "wg7", "private-key", keyFile(t, key(1)), "listen-port", "51820", "fwmark", "0x10",
		"peer", b64(key(2)), "preshared-key", keyFile(t, key(3)), "endpoint", "192.0.2.1:1", "persistent-keepalive", "25", "allowed-ips", "10.1.2.3/8,fd00::/64",
		"peer", b64(key(4)), "endpoint", "[fe80::1%lo]:2")
	check("everything", uapi.Device{PrivateKey: key(1), ListenPort: 51820, FwMark: 16, Peers: []uapi.Peer{
		{
			PublicKey: key(2), PresharedKey: key(3), Endpoint: netip.MustParseAddrPort("192.0.2.1:1"), PersistentKeepalive: 25,
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/64")},
		},
		{PublicKey: key(4), Endpoint: netip.MustParseAddrPort("[fe80::1%lo]:2")},
	}})
	w.must("", "set", "wg7", "private-key", "/dev/null", "fwmark", "off",
		"peer", b64(key(2)), "preshared-key", "/dev/null", "persistent-keepalive", "off", "allowed-ips", "",
		"peer", b64(key(4)), "remove", "peer", b64(key(5)), "remove")
	check("zeros", uapi.Device{ListenPort: 51820, Peers: []uapi.Peer{{PublicKey: key(2), Endpoint: netip.MustParseAddrPort("192.0.2.1:1")}}})
}

func TestWGConf(t *testing.T) {
	h := new(memory)
	w := newWG(t, h)
	conf := filepath.Join(t.TempDir(), "wg7.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	peer := func(b byte, more string) string {
		return fmt.Sprintf("[Peer]\nPublicKey = %s\n%s\n", b64(key(b)), more)
	}
	device := "[Interface]\nPrivateKey = " + b64(key(0x40)) + "\nListenPort = 7\n"
	dump := func() string {
		_, peers, _ := strings.Cut(w.must("", "show", "wg7", "dump"), "\n")
		return peers
	}
	write(device + peer(2, "AllowedIPs = 10.0.0.0/8\nEndpoint = 192.0.2.1:1") + peer(3, "AllowedIPs = 11.0.0.0/8"))
	w.must("", "setconf", "wg7", conf)
	want := b64(key(2)) + "\t(none)\t192.0.2.1:1\t10.0.0.0/8\t0\t0\t0\toff\n" + b64(key(3)) + "\t(none)\t(none)\t11.0.0.0/8\t0\t0\t0\toff\n"
	if diff := cmp.Diff(want, dump()); diff != "" {
		t.Errorf("setconf (-want +got):\n%s", diff)
	}
	write(device + peer(3, "AllowedIPs = 12.0.0.0/8") + peer(4, "PersistentKeepalive = 9"))
	w.must("", "syncconf", "wg7", conf)
	want = b64(key(3)) + "\t(none)\t(none)\t12.0.0.0/8\t0\t0\t0\toff\n" + b64(key(4)) + "\t(none)\t(none)\t(none)\t0\t0\t0\t9\n"
	if diff := cmp.Diff(want, dump()); diff != "" {
		t.Errorf("syncconf (-want +got):\n%s", diff)
	}
	write(peer(5, "AllowedIPs = 13.0.0.0/8"))
	w.must("", "addconf", "wg7", conf)
	want += b64(key(5)) + "\t(none)\t(none)\t13.0.0.0/8\t0\t0\t0\toff\n"
	if diff := cmp.Diff(want, dump()); diff != "" {
		t.Errorf("addconf (-want +got):\n%s", diff)
	}
	// What showconf writes sets the same.
	shown := w.must("", "showconf", "wg7")
	write(shown)
	w.must("", "setconf", "wg7", conf)
	if diff := cmp.Diff(shown, w.must("", "showconf", "wg7")); diff != "" {
		t.Errorf("showconf of its own setconf (-want +got):\n%s", diff)
	}
}

// TestWGRefused: wg says what the errno means.
func TestWGRefused(t *testing.T) {
	h := &memory{setErr: syscall.EADDRINUSE}
	w := newWG(t, h)
	out, err := w.output("", "set", "wg7", "listen-port", "7")
	if err == nil || !strings.Contains(out, "Address already in use") {
		t.Errorf("wg set: %v, %q", err, out)
	}
}

// TestWGManyPeers: a configuration of 10,000 peers goes in and out again.
func TestWGManyPeers(t *testing.T) {
	h := new(memory)
	w := newWG(t, h)
	var b strings.Builder
	const n = 10000
	for i := range n {
		k := key(1)
		k[1], k[2] = byte(i), byte(i>>8)
		fmt.Fprintf(&b, "[Peer]\nPublicKey = %s\nAllowedIPs = 10.%d.%d.0/24\n", b64(k), i>>8, i&255)
	}
	conf := filepath.Join(t.TempDir(), "wg7.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("", "addconf", "wg7", conf)
	if got := strings.Count(w.must("", "show", "wg7", "allowed-ips"), "/24"); got != n {
		t.Errorf("%d peers have an allowed IP, want %d", got, n)
	}
}
