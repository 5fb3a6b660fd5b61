// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// A captured packet is one as another program reads it.
type captured struct {
	gopacket.Packet
	iface, comment string
	inbound        bool
}

// ends returns the addresses of a packet.
func (c *captured) ends() (src, dst string) {
	n := c.NetworkLayer()
	if n == nil {
		return "", ""
	}
	return n.NetworkFlow().Src().String(), n.NetworkFlow().Dst().String()
}

// readCapture reads a capture with gopacket.
func readCapture(t *testing.T, r io.Reader) (out []captured) {
	t.Helper()
	ng, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, ci, o, err := ng.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		first := gopacket.Decoder(layers.LayerTypeIPv4)
		if data[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		i, err := ng.Interface(ci.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		c := captured{Packet: gopacket.NewPacket(data, first, gopacket.Default), iface: i.Name}
		if ci.CaptureLength == ci.Length && !testutil.ChecksumsOK(data) {
			t.Errorf("checksums of %x", data)
		}
		if len(o.Comments) > 0 {
			c.comment = o.Comments[0]
		}
		if o.Flags != nil {
			c.inbound = o.Flags.Direction == pcapgo.NgEpbFlagDirectionInbound
		}
		out = append(out, c)
	}
}

// A lockedBuffer is written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Len()
}

// begin starts a capture and returns when it takes packets. end ends it and returns what
// was captured.
func begin(t *testing.T, e *engine.Engine, o *engine.CaptureOptions) (end func() ([]captured, engine.CaptureStats)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := new(lockedBuffer)
	type result struct {
		stats engine.CaptureStats
		err   error
	}
	done := make(chan result, 1)
	go func() {
		stats, err := e.Capture(ctx, out, o)
		done <- result{stats, err}
	}()
	testutil.Eventually(t, patience, "the capture begins", func() error {
		if out.len() == 0 {
			return errors.New("nothing is written")
		}
		return nil
	})
	return func() ([]captured, engine.CaptureStats) {
		t.Helper()
		cancel()
		r := <-done
		if r.err != nil {
			t.Fatal(r.err)
		}
		return readCapture(t, &out.b), r.stats
	}
}

// TestCapture: packets of both sides, each with its peer and direction, and the outer
// ones with the addresses that they had.
func TestCapture(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	a.cfg.Peers[0].Name = "phone"
	a.start()
	a.run()
	b.run()
	b.echo(":7")
	end := begin(t, a.Engine, &engine.CaptureOptions{Inner: true, Outer: true})
	filtered := begin(t, a.Engine, &engine.CaptureOptions{Filter: "outbound and tcp dst port 7 and peer phone"})
	others := begin(t, a.Engine, &engine.CaptureOptions{Filter: "not peer phone"})
	c := a.dial(netip.AddrPortFrom(b.inner, 7).String())
	roundTrip(t, c, "a word that is easy to find")

	key := b.key.Public().String()
	packets, stats := end()
	if int(stats.Captured) != len(packets) || stats.Dropped != 0 {
		t.Errorf("%+v, and %d packets in the file", stats, len(packets))
	}
	port := map[string]netip.AddrPort{"a": netip.AddrPortFrom(loopback, a.ListenPort()), "b": netip.AddrPortFrom(loopback, b.ListenPort())}
	var inner, outer int
	found := map[string]int{}
	for _, p := range packets {
		src, dst := p.ends()
		want := "to peer phone (" + key[:8] + ")"
		if p.inbound {
			want = "from peer phone (" + key[:8] + ")"
		}
		if p.comment != want {
			t.Errorf("%s to %s: comment %q, want %q", src, dst, p.comment, want)
		}
		switch p.iface {
		case a.Name():
			inner++
			if p.inbound != (src == b.inner.String()) || p.inbound == (dst == b.inner.String()) {
				t.Errorf("inner packet from %s to %s, inbound: %v", src, dst, p.inbound)
			}
			if bytes.Contains(p.Data(), []byte("a word that is easy to find")) {
				found[src]++
			}
		case a.Name() + "-outer":
			outer++
			if bytes.Contains(p.Data(), []byte("a word that is easy to find")) {
				t.Error("an outer packet is not encrypted")
			}
			u, ok := p.TransportLayer().(*layers.UDP)
			if !ok {
				t.Fatalf("an outer packet is %v", p)
			}
			from := netip.AddrPortFrom(netip.MustParseAddr(src), uint16(u.SrcPort))
			to := netip.AddrPortFrom(netip.MustParseAddr(dst), uint16(u.DstPort))
			if p.inbound {
				from, to = to, from
			}
			if from != port["a"] || to != port["b"] {
				t.Errorf("outer packet between %v and %v, want %v and %v", from, to, port["a"], port["b"])
			}
		default:
			t.Errorf("interface %s", p.iface)
		}
	}
	if inner == 0 || outer == 0 || found[a.inner.String()] != 1 || found[b.inner.String()] != 1 {
		t.Errorf("%d inner and %d outer packets, the word there and back: %v", inner, outer, found)
	}
	packets, stats = filtered()
	if len(packets) == 0 || len(packets) >= inner {
		t.Errorf("%d packets pass the filter, of %d", len(packets), inner)
	}
	for _, p := range packets {
		if _, dst := p.ends(); dst != b.inner.String() || p.inbound {
			t.Errorf("the filter took %v", p)
		}
	}
	if packets, stats = others(); len(packets) != 0 || stats != (engine.CaptureStats{}) {
		t.Errorf("%d packets of nobody else, %+v", len(packets), stats)
	}
}

// TestCapturePeersChange: packets name the peer that has the address now.
func TestCapturePeersChange(t *testing.T) {
	a, b := pair(t)
	a.run()
	b.echo(":7")
	end := begin(t, a.Engine, nil)
	cfg := *a.cfg
	cfg.Peers = append([]config.Peer(nil), cfg.Peers...)
	cfg.Peers[0].Name = "renamed"
	if err := a.Reload(&cfg); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, a.dial(netip.AddrPortFrom(b.inner, 7).String()), "x")
	packets, _ := end()
	if len(packets) == 0 {
		t.Fatal("no packets")
	}
	for _, p := range packets {
		if !strings.Contains(p.comment, " peer renamed (") {
			t.Errorf("comment %q", p.comment)
		}
	}
}

// TestCaptureEnds: by itself after so many packets, and with the router; one more than
// may be is refused, and so is a filter that is none.
func TestCaptureEnds(t *testing.T) {
	a, b := pair(t)
	b.echo(":7")
	done := make(chan engine.CaptureStats, 1)
	var out bytes.Buffer
	go func() {
		stats, err := a.Capture(t.Context(), &out, &engine.CaptureOptions{Count: 2, SnapLen: 40})
		if err != nil {
			t.Error(err)
		}
		done <- stats
	}()
	c := a.dial(netip.AddrPortFrom(b.inner, 7).String())
	for len(done) == 0 {
		roundTrip(t, c, "x")
	}
	if stats := <-done; stats.Captured != 2 {
		t.Errorf("%+v", stats)
	}
	if n := len(readCapture(t, &out)); n != 2 {
		t.Errorf("%d packets in the file", n)
	}

	for text, want := range map[string]string{
		"tcp prot 7": `filter: "prot" at column 5`, "peer nobody": `filter: peer "nobody": no peer is called this`, "peer \"\"": "filter: ",
	} {
		if _, err := a.Capture(t.Context(), io.Discard, &engine.CaptureOptions{Filter: text}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	var ends []func() ([]captured, engine.CaptureStats)
	for range engine.MaxCaptures {
		ends = append(ends, begin(t, a.Engine, &engine.CaptureOptions{Outer: true}))
	}
	if _, err := a.Capture(t.Context(), io.Discard, nil); !errors.Is(err, engine.ErrTooManyCaptures) {
		t.Errorf("one too many: %v", err)
	}
	a.Close()
	for _, end := range ends {
		end()
	}
	if _, err := a.Capture(t.Context(), io.Discard, nil); err == nil {
		t.Error("a router that has ended captures")
	}
}

// TestCaptureStuck: a client that does not read loses packets of its own; traffic goes
// on, and so does another capture.
func TestCaptureStuck(t *testing.T) {
	a, b := pair(t)
	b.echo(":7")
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := a.Capture(t.Context(), w, &engine.CaptureOptions{BufferBytes: 1})
		done <- err
	}()
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil { // it has begun, and waits
		t.Fatal(err)
	}
	end := begin(t, a.Engine, nil)
	c := a.dial(netip.AddrPortFrom(b.inner, 7).String())
	text := strings.Repeat("0123456789abcdef", 1<<14) // two times what the stuck one may keep
	go io.WriteString(c, text)
	if _, err := io.ReadFull(c, make([]byte, len(text))); err != nil {
		t.Fatal(err)
	}
	packets, stats := end()
	bytes := 0
	for _, p := range packets {
		if p.ApplicationLayer() != nil {
			bytes += len(p.ApplicationLayer().Payload())
		}
	}
	if stats.Dropped != 0 || bytes < 2*len(text) {
		t.Errorf("the other capture has %d bytes, %+v", bytes, stats)
	}
	r.Close()
	if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

// TestCaptureOverControlSocket: the same as a stream, with the counts behind it.
func TestCaptureOverControlSocket(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	b.knows(a)
	b.start()
	a.knows(b)
	c := a.control()
	b.echo(":7")
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		answer, err := c.Stream(t.Context(), &out, "capture", uapi.KeyValue{Key: "filter", Value: "tcp and not port 8"},
			uapi.KeyValue{Key: "count", Value: "10"}, uapi.KeyValue{Key: "snaplen", Value: "60"}, uapi.KeyValue{Key: "inner", Value: "true"})
		if want := `{"captured":10,"dropped":0}`; err == nil && string(answer) != want {
			err = fmt.Errorf("the answer is %s, want %s", answer, want)
		}
		done <- err
	}()
	for traffic := a.dial(netip.AddrPortFrom(b.inner, 7).String()); len(done) == 0; {
		roundTrip(t, traffic, "x")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out.Bytes(), []byte(" peer "+b.key.Public().String()[:8])); n != 10 {
		t.Errorf("%d packets", n)
	}
	for _, arg := range []uapi.KeyValue{{Key: "filter", Value: "x"}, {Key: "snaplen", Value: "-1"}, {Key: "count", Value: "x"}, {Key: "hat", Value: "1"}} {
		c, err := uapi.Dial(a.cfg.Router.ControlSocket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Stream(t.Context(), io.Discard, "capture", arg); err == nil || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v: %v", arg, err)
		}
		c.Close()
	}
}
