// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/tunrouter/tunrouter/internal/capture"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// A frame is one packet as another program reads it.
type frame struct {
	at      time.Time
	iface   string
	data    []byte
	length  int
	comment string
	inbound bool
}

// read reads a capture with gopacket.
func read(t *testing.T, b []byte) (frames []frame, r *pcapgo.NgReader) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, ci, o, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return frames, r
		}
		if err != nil {
			t.Fatal(err)
		}
		i, err := r.Interface(ci.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		if i.LinkType != layers.LinkTypeRaw {
			t.Errorf("link type %v", i.LinkType)
		}
		f := frame{at: ci.Timestamp, iface: i.Name, data: data, length: ci.Length}
		if len(o.Comments) > 0 {
			f.comment = o.Comments[0]
		}
		if o.Flags == nil {
			t.Error("a packet without direction")
		} else {
			f.inbound = o.Flags.Direction == pcapgo.NgEpbFlagDirectionInbound
		}
		frames = append(frames, f)
	}
}

// run runs a capture that has taken all it is to take.
func run(t *testing.T, tap *capture.Tap) []byte {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b bytes.Buffer
	if err := tap.Run(ctx, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func nameOf(k capture.Key) string { return string('A' + rune(k[0]-1)) }

func sourceOf(remote netip.Addr) netip.Addr {
	if remote.Is4() {
		return netip.MustParseAddr("203.0.113.9")
	}
	return netip.MustParseAddr("2001:db8::9")
}

func TestRun(t *testing.T) {
	testutil.LeakCheck(t)
	filter, err := capture.ParseFilter("not icmp6", nil)
	if err != nil {
		t.Fatal(err)
	}
	tap := capture.New(&capture.Options{
		Sides: []capture.Side{capture.Outer, capture.Inner}, Filter: filter,
		Interface: "wg0", Application: "tunrouter v1", Name: nameOf, Source: sourceOf,
	})
	s := samples()
	for _, name := range []string{"web", "ping6", "dns", "wg", "wg6", "answer"} {
		tap.Packet(s[name])
	}
	frames, r := read(t, run(t, tap))
	info := r.SectionInfo()
	if info.Application != "tunrouter v1" || info.OS == "" {
		t.Errorf("section %+v", info)
	}
	for i, want := range []frame{
		{iface: "wg0", data: s["web"].Data, comment: "to peer A"},
		{iface: "wg0", data: s["dns"].Data, comment: "to peer B"},
		{iface: "wg0-outer", comment: "to peer A", data: testutil.UDP(at("192.0.2.1:51820"), at("198.51.100.7:443"), s["wg"].Data)},
		{iface: "wg0-outer", data: testutil.UDP(at("[2001:db8::7]:51821"), at("[2001:db8::9]:51820"), s["wg6"].Data), inbound: true},
		{iface: "wg0", data: s["answer"].Data, comment: "from peer A", inbound: true},
	} {
		if i >= len(frames) {
			t.Fatalf("%d packets", len(frames))
		}
		got := frames[i]
		if got.iface != want.iface || got.comment != want.comment || got.inbound != want.inbound || got.length != len(want.data) {
			t.Errorf("packet %d: got %+v, want %+v", i, got, want)
		}
		if !got.at.Equal(time.Unix(1, 0)) {
			t.Errorf("packet %d: at %v", i, got.at)
		}
		if !testutil.ChecksumsOK(got.data) {
			t.Errorf("packet %d: checksums are wrong: %x", i, got.data)
		}
		if got.iface == "wg0" && !bytes.Equal(got.data, want.data) || len(got.data) != len(want.data) || !bytes.Equal(tail(got.data), tail(want.data)) {
			t.Errorf("packet %d:\n got %x\nwant %x", i, got.data, want.data)
		}
	}
	if len(frames) != 5 {
		t.Errorf("%d packets, want 5", len(frames))
	}
	inner, err := r.Interface(0)
	if err != nil || inner.Name != "wg0" || inner.Statistics.PacketsReceived != 4 || inner.Statistics.PacketsDropped != 0 || inner.Filter != "not icmp6" {
		t.Errorf("interface %+v, %v", inner, err)
	}
	if got := tap.Counts(); got != (capture.Counts{Captured: 5}) {
		t.Errorf("counts %+v", got)
	}
}

// tail is addresses, ports and payload of a packet: what is not made up.
func tail(pkt []byte) []byte {
	if pkt[0]>>4 == 4 {
		return append(bytes.Clone(pkt[12:24]), pkt[28:]...)
	}
	return append(bytes.Clone(pkt[8:44]), pkt[48:]...)
}

// TestSnapLen: packets are cut, their length and checksum are those of the whole.
func TestSnapLen(t *testing.T) {
	payload := bytes.Repeat([]byte{1, 2, 3}, 500)
	for _, snap := range []int{1, 20, 28, 60, 1400} {
		tap := capture.New(&capture.Options{Sides: []capture.Side{capture.Inner, capture.Outer}, SnapLen: snap})
		whole := capture.New(&capture.Options{Sides: []capture.Side{capture.Outer}})
		out := &capture.Packet{At: time.Unix(5, 7), Side: capture.Outer, Local: at("192.0.2.1:1"), Remote: at("192.0.2.2:2"), Head: []byte("8 bytes "), Data: payload}
		in := testutil.UDP(at("[fd00::1]:5000"), at("[fd00::2]:53"), payload)
		tap.Packet(out)
		whole.Packet(out)
		tap.Packet(&capture.Packet{Side: capture.Inner, Data: in})
		frames, _ := read(t, run(t, tap))
		full, _ := read(t, run(t, whole))
		if len(frames) != 2 || len(full) != 1 || full[0].length != 20+8+8+1500 || !testutil.ChecksumsOK(full[0].data) {
			t.Fatalf("%d and %d packets", len(frames), len(full))
		}
		if !full[0].at.Equal(time.Unix(5, 7)) {
			t.Errorf("at %v", full[0].at)
		}
		if f := frames[0]; f.length != len(full[0].data) || !bytes.Equal(f.data, full[0].data[:snap]) {
			t.Errorf("snap %d: got %d of %d bytes: %x", snap, len(f.data), f.length, f.data)
		}
		if f := frames[1]; f.length != len(in) || !bytes.Equal(f.data, in[:snap]) {
			t.Errorf("snap %d: got %d of %d bytes", snap, len(f.data), f.length)
		}
	}
}

// TestDrops: what does not fit is counted, in the file too, and the rest is whole.
func TestDrops(t *testing.T) {
	tap := capture.New(&capture.Options{BufferBytes: 1})
	p := samples()["web"]
	for range 1000 {
		tap.Packet(p)
	}
	frames, r := read(t, run(t, tap))
	got := tap.Counts()
	if got.Captured+got.Dropped != 1000 || got.Dropped == 0 || int(got.Captured) != len(frames) {
		t.Errorf("%+v of 1000, %d in the file", got, len(frames))
	}
	i, err := r.Interface(0)
	if err != nil || i.Statistics.PacketsDropped != got.Dropped || i.Statistics.PacketsReceived != 1000 {
		t.Errorf("the file says %+v, %v", i.Statistics, err)
	}
}

// TestCount: a capture ends by itself after so many packets.
func TestCount(t *testing.T) {
	testutil.LeakCheck(t)
	tap := capture.New(&capture.Options{Count: 3})
	var b bytes.Buffer
	done := make(chan error)
	go func() { done <- tap.Run(t.Context(), &b) }()
	for range 5 {
		tap.Packet(samples()["web"])
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if frames, _ := read(t, b.Bytes()); len(frames) != 3 || tap.Counts().Captured != 3 {
		t.Errorf("%d packets, counted %+v", len(frames), tap.Counts())
	}
}

// TestWriterFails: the error of the writer ends a capture.
func TestWriterFails(t *testing.T) {
	tap := capture.New(nil)
	r, w := io.Pipe()
	r.Close()
	if err := tap.Run(t.Context(), w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

// TestStuckWriter: packets are taken and dropped while nobody reads.
func TestStuckWriter(t *testing.T) {
	testutil.LeakCheck(t)
	tap := capture.New(&capture.Options{BufferBytes: 1})
	r, w := io.Pipe()
	done := make(chan error)
	go func() { done <- tap.Run(t.Context(), w) }()
	p := samples()["web"]
	for tap.Counts().Dropped < 1000 {
		tap.Packet(p)
	}
	r.Close()
	if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestPacketNoAllocs(t *testing.T) {
	filter, err := capture.ParseFilter("(tcp port 443 or peer alice) and not host 10.1.1.1", peerNamed)
	if err != nil {
		t.Fatal(err)
	}
	tap := capture.New(&capture.Options{Sides: []capture.Side{capture.Inner, capture.Outer}, Filter: filter})
	for _, name := range []string{"web", "ping", "wg"} {
		p := samples()[name]
		if n := testing.AllocsPerRun(100, func() { tap.Packet(p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkPacket is what a packet of the usual size costs the packet path while it is
// captured, with a reader that keeps up.
func BenchmarkPacket(b *testing.B) {
	for _, bench := range []struct{ name, filter string }{{"all", ""}, {"filter", "tcp port 443"}, {"filtered-out", "tcp port 22"}} {
		b.Run(bench.name, func(b *testing.B) {
			filter, err := capture.ParseFilter(bench.filter, peerNamed)
			if err != nil {
				b.Fatal(err)
			}
			tap := capture.New(&capture.Options{Filter: filter})
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() { done <- tap.Run(ctx, io.Discard) }()
			data := (&testutil.TCP{Src: at("10.0.0.1:1000"), Dst: at("10.9.0.2:443"), Payload: make([]byte, 1380)}).Packet()
			p := &capture.Packet{At: time.Now(), Data: data}
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				tap.Packet(p)
			}
			b.ReportMetric(float64(tap.Counts().Dropped)/float64(b.N), "dropped/op")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
