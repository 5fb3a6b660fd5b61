// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/uapi"
)

// Lines of the WireGuard device are counted by their formats, so these must be the
// formats that it has.
func TestDeviceFormats(t *testing.T) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("no name of a file")
	}
	// Without it there are no sources of modules either.
	if !filepath.IsAbs(file) {
		testutil.Missing(t, "the tests were built with -trimpath")
	}
	at := runtime.FuncForPC(engine.PCOf(device.NewDevice))
	name, _ := at.FileLine(at.Entry())
	text, err := os.ReadFile(filepath.Join(filepath.Dir(name), "receive.go"))
	if err != nil {
		t.Fatal(err)
	}
	formats := engine.DeviceFormats()
	if len(formats) == 0 {
		t.Fatal("no formats")
	}
	for _, f := range formats {
		if n := bytes.Count(text, fmt.Appendf(nil, "Verbosef(%q", f)); n != 1 {
			t.Errorf("the device has %d lines %q, want one", n, f)
		}
	}
	// And whatever it says of a packet that it drops is counted.
	for line := range strings.Lines(string(text)) {
		_, call, is := strings.Cut(line, `log.Verbosef("`)
		if !is || strings.Contains(call, "Routine:") {
			continue
		}
		format, _, _ := strings.Cut(call, `"`)
		if !slices.Contains(formats, format) && !slices.Contains(uncounted, format) {
			t.Errorf("nothing counts %q", format)
		}
	}
}

// uncounted are lines that stand for no packet that was dropped.
var uncounted = []string{
	"Failed to receive %s packet: %v",
	"Received message with unknown type", // the Bind hands none on
	"Receiving cookie response from %s",
	"%v - Received handshake initiation",
	"%v - Received handshake response",
}

// A script is a TUN device whose host sends what it is told to.
type script struct {
	send   chan []byte
	events chan tun.Event
	closed chan struct{}
	once   sync.Once
}

func newScript() *script {
	s := &script{send: make(chan []byte), events: make(chan tun.Event, 1), closed: make(chan struct{})}
	s.events <- tun.EventUp
	return s
}

func (s *script) File() *os.File                       { return nil }
func (s *script) MTU() (int, error)                    { return 1420, nil }
func (s *script) Name() (string, error)                { return "script0", nil }
func (s *script) Events() <-chan tun.Event             { return s.events }
func (s *script) BatchSize() int                       { return 128 }
func (s *script) Write(b [][]byte, _ int) (int, error) { return len(b), nil }

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed); close(s.events) })
	return nil
}

func (s *script) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	select {
	case <-s.closed:
		return 0, os.ErrClosed
	case p := <-s.send:
		packets[0] = tun.ReadPacket{Offset: tun.ReadPacketSpacing, Size: copy(slab[tun.ReadPacketSpacing:], p)}
		return 1, nil
	}
}

// dropsOf returns the drops of a router by "stage reason".
func dropsOf(s *metrics.Snapshot) map[string]uint64 {
	out := make(map[string]uint64)
	for _, d := range s.Drops() {
		if d.Packets > 0 {
			out[d.Stage+" "+d.Reason] = d.Packets
		}
	}
	return out
}

// Packets of every kind that a netstack does not take are drops, each in one place, and
// what was sent is what arrived and what was dropped. The status says the same.
func TestNetstackAccounts(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	host := newScript()
	// Elsewhere: the router is up when New returns, and not only when it hears of the
	// link. A router that is down drops what it is sent.
	e, err := engine.New(a.cfg, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}, Device: host, Elsewhere: true})
	if err != nil {
		t.Fatal(err)
	}
	a.Engine = e
	t.Cleanup(func() { e.Close() })
	c, err := b.Net().ListenPacket("udp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	to := netip.AddrPortFrom(b.inner, 7)
	good := testutil.UDP(netip.AddrPortFrom(a.inner, 9), to, []byte("good"))
	payload := bytes.Clone(good)
	payload[len(payload)-1] ^= 1 // the UDP checksum is wrong
	header := bytes.Clone(good)
	header[10] ^= 1 // that of the IP header
	spoofed := testutil.UDP(netip.MustParseAddrPort("10.9.0.77:9"), to, []byte("spoofed"))
	nobody := testutil.UDP(netip.AddrPortFrom(a.inner, 9), netip.MustParseAddrPort("203.0.113.1:7"), []byte("nobody"))
	const rounds = 20
	for range rounds {
		for _, p := range [][]byte{good, payload, header, spoofed, nobody} {
			host.send <- p
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for i := range rounds {
		buf := make([]byte, 100)
		n, _, err := c.ReadFrom(buf)
		if err != nil || string(buf[:n]) != "good" {
			t.Fatalf("datagram %d: %q, %v", i, buf[:n], err)
		}
	}
	want := map[string]uint64{
		"netstack_in checksum": rounds, "netstack_in ip_checksum": rounds, "decrypt source": rounds,
	}
	testutil.Eventually(t, patience, "balance", func() error {
		sa, sb := a.Snapshot(), b.Snapshot()
		if diff := cmp.Diff(map[string]uint64{"hub no_peer": rounds}, dropsOf(sa)); diff != "" {
			return fmt.Errorf("the sender (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, dropsOf(sb)); diff != "" {
			return fmt.Errorf("the receiver (-want +got):\n%s", diff)
		}
		if g := sa.WireGuard; g.PendingTransmit != 0 || g.PacketsIn != 4*rounds {
			return fmt.Errorf("%+v", g)
		}
		if g := sb.WireGuard; g.PendingReceive != 0 || g.PacketsOut != 3*rounds {
			return fmt.Errorf("%+v", g)
		}
		return nil
	})
	d, err := b.Status()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, s := range engine.DropsOf(d) {
		for reason, n := range s.Dropped {
			got[s.Stage+" "+reason] += n
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the status (-want +got):\n%s", diff)
	}
	// A peer that is removed takes nothing with it.
	if err := a.Apply(&uapi.SetRequest{ReplacePeers: true}); err != nil {
		t.Fatal(err)
	}
	if s := a.Snapshot(); s.Transmit.Messages[1].N != 4*rounds || s.WireGuard.PendingTransmit != 0 {
		t.Errorf("after the peer is removed %+v were sent, %d are on their way", s.Transmit.Messages, s.WireGuard.PendingTransmit)
	}
	host.send <- good
	testutil.Eventually(t, patience, "a packet to the removed peer has none", func() error {
		if n := dropsOf(a.Snapshot())["hub no_peer"]; n != rounds+1 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}
