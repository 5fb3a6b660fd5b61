// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

var (
	here  = frame.MAC{2, 0, 0, 0, 0, 1}
	there = frame.MAC{2, 0, 0, 0, 0, 2}
)

func options4() frame.Options {
	return frame.Options{
		Source: here, Target: there,
		Src: netip.MustParseAddrPort("192.0.2.1:51820"), Dst: netip.MustParseAddrPort("198.51.100.7:443"),
	}
}

func options6() frame.Options {
	return frame.Options{
		Source: here, Target: there,
		Src: netip.MustParseAddrPort("[2001:db8::1]:51820"), Dst: netip.MustParseAddrPort("[2001:db8:1::7]:443"),
	}
}

func mustNew(tb testing.TB, o frame.Options) *frame.Template {
	tb.Helper()
	t, err := frame.New(&o)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func mustVNI(tb testing.TB, v uint32) geneve.VNI {
	tb.Helper()
	vni, err := geneve.MakeVNI(v)
	if err != nil {
		tb.Fatal(err)
	}
	return vni
}

func mustPut(tb testing.TB, t *frame.Template, id uint16, vni geneve.VNI, payload []byte) []byte {
	tb.Helper()
	b := make([]byte, t.HeaderLen(vni)+len(payload))
	n, err := t.Put(b, id, vni, payload)
	if err != nil || n != len(b) {
		tb.Fatalf("Put: got %d, %v, want %d", n, err, len(b))
	}
	return b
}

// pattern returns n bytes that differ.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// What Put writes is what an independent builder writes, and what was asked for.
func TestPut(t *testing.T) {
	tags := []frame.Tag{{}, {Type: frame.TypeCTag, TCI: 7<<13 | 42}, {Type: frame.TypeSTag, TCI: 4094}}
	vnis := []geneve.VNI{0, mustVNI(t, 0), mustVNI(t, geneve.MaxVNI)}
	for _, base := range []frame.Options{options4(), options6()} {
		for _, tag := range tags {
			for _, vni := range vnis {
				for _, size := range []int{0, 1, 2, 31, 32, 148, 1420, 8921} {
					o := base
					o.Tag, o.TrafficClass, o.TTL = tag, 0xb9, 3
					t.Run(fmt.Sprintf("%v/%#x/%v/%d", o.Dst.Addr(), tag.Type, vni, size), func(t *testing.T) {
						tmpl, payload := mustNew(t, o), pattern(size)
						b := mustPut(t, tmpl, 0xfffe, vni, payload)
						checkFrame(t, &o, b, vni, payload)
					})
				}
			}
		}
	}
}

func checkFrame(t *testing.T, o *frame.Options, b []byte, vni geneve.VNI, payload []byte) {
	t.Helper()
	var d frame.Datagram
	if r := d.Parse(b); r != frame.OK {
		t.Fatalf("Parse: %v", r)
	}
	inner := d.Payload(b)
	if vni.IsSet() {
		var h geneve.Header
		if err := h.Decode(inner); err != nil || h != (geneve.Header{VNI: vni, Protocol: geneve.ProtocolWireGuard}) {
			t.Fatalf("Geneve: got %+v, %v", h, err)
		}
		inner = inner[geneve.HeaderLen:]
	}
	if !bytes.Equal(inner, payload) {
		t.Fatalf("payload: got %x, want %x", inner, payload)
	}
	want := frame.Datagram{
		Source: o.Source, Target: o.Target, Tag: o.Tag, Src: o.Src, Dst: o.Dst,
		TrafficClass: o.TrafficClass, TTL: o.TTL, Offset: d.Offset, Size: d.Size,
	}
	if d != want || d.ECN() != o.TrafficClass&3 {
		t.Fatalf("got %+v, want %+v", d, want)
	}
	ip := b[14:]
	if o.Tag.Type != 0 {
		ip = b[18:]
	}
	if !testutil.ChecksumsOK(ip) || !d.ChecksumValid(b) {
		t.Fatalf("checksums are wrong: %x", ip)
	}
	// Except for what the builder of testutil leaves at its defaults.
	ref := testutil.UDP(o.Src, o.Dst, d.Payload(b))
	if !bytes.Equal(ip[len(ip)-8-d.Size:], ref[len(ref)-8-d.Size:]) {
		t.Fatalf("UDP: got %x, want %x", ip, ref)
	}
}

// A tagged frame is the frame without tag and four bytes between the source and
// the EtherType (IEEE 802.1Q).
func TestTag(t *testing.T) {
	for _, base := range []frame.Options{options4(), options6()} {
		plain := mustPut(t, mustNew(t, base), 8, 0, pattern(50))
		for _, tag := range []frame.Tag{{Type: frame.TypeCTag, TCI: 5<<13 | 0xabc}, {Type: frame.TypeSTag, TCI: 1}} {
			o := base
			o.Tag = tag
			want := binary.BigEndian.AppendUint16(bytes.Clone(plain[:12]), tag.Type)
			want = append(binary.BigEndian.AppendUint16(want, tag.TCI), plain[12:]...)
			if got := mustPut(t, mustNew(t, o), 8, 0, pattern(50)); !bytes.Equal(got, want) {
				t.Errorf("%v, tag %+v:\n got %x\nwant %x", o.Dst, tag, got, want)
			}
		}
		if got := (frame.Tag{Type: frame.TypeCTag, TCI: 5<<13 | 0xabc}).VLAN(); got != 0xabc {
			t.Errorf("VLAN: got %#x", got)
		}
	}
}

// A sum that comes out as zero is sent as its equal, 0xffff.
func TestChecksumZero(t *testing.T) {
	for _, o := range []frame.Options{options4(), options6()} {
		tmpl := mustNew(t, o)
		b := mustPut(t, tmpl, 0, 0, []byte{0, 0})
		var d frame.Datagram
		if r := d.Parse(b); r != frame.OK {
			t.Fatal(r)
		}
		at := d.Offset - 2
		// The payload that takes the rest of the sum makes it zero.
		payload := bytes.Clone(b[at : at+2])
		b = mustPut(t, tmpl, 0, 0, payload)
		if got := binary.BigEndian.Uint16(b[at:]); got != 0xffff {
			t.Errorf("%v: got %#04x, want 0xffff", o.Dst, got)
		}
		if !d.ChecksumValid(b) {
			t.Errorf("%v: checksum is wrong", o.Dst)
		}
	}
}

func TestNoChecksum(t *testing.T) {
	o := options4()
	o.NoChecksum = true
	b := mustPut(t, mustNew(t, o), 1, 0, pattern(100))
	var d frame.Datagram
	if r := d.Parse(b); r != frame.OK || !d.ChecksumValid(b) {
		t.Fatalf("got %v, valid %v", r, d.ChecksumValid(b))
	}
	if got := binary.BigEndian.Uint16(b[d.Offset-2:]); got != 0 {
		t.Fatalf("got %#04x, want 0", got)
	}
}

func TestIPv4Flags(t *testing.T) {
	for _, df := range []bool{false, true} {
		o := options4()
		o.DontFragment = df
		b := mustPut(t, mustNew(t, o), 0x1234, 0, nil)
		if got := binary.BigEndian.Uint16(b[18:]); got != 0x1234 {
			t.Errorf("identification: got %#04x", got)
		}
		if got := b[20] == 0x40; got != df || b[20]&^0x40 != 0 || b[21] != 0 || b[22] != 64 {
			t.Errorf("DF %v: flags %x, TTL %d", df, b[20:22], b[22])
		}
	}
}

// The longest datagram is sent, one byte more is refused.
func TestSizes(t *testing.T) {
	vni := mustVNI(t, 5)
	for _, o := range []frame.Options{options4(), options6()} {
		tmpl, header := mustNew(t, o), 28
		if o.Dst.Addr().Is6() {
			header = 48
		}
		if got := tmpl.MaxPayload(1500, 0); got != 1500-header {
			t.Errorf("MaxPayload(1500): got %d, want %d", got, 1500-header)
		}
		if got := tmpl.MaxPayload(1500, vni); got != 1500-header-8 {
			t.Errorf("MaxPayload(1500, VNI): got %d, want %d", got, 1500-header-8)
		}
		limit := tmpl.MaxPayload(1<<20, vni)
		b := mustPut(t, tmpl, 0, vni, pattern(limit))
		var d frame.Datagram
		if r := d.Parse(b); r != frame.OK || !d.ChecksumValid(b) {
			t.Errorf("limit %d: %v", limit, r)
		}
		b = append(b, 0, 0)
		if _, err := tmpl.Put(b, 0, vni, pattern(limit+1)); !errors.Is(err, frame.ErrTooLarge) {
			t.Errorf("Put: got %v, want %v", err, frame.ErrTooLarge)
		}
		if err := tmpl.Finish(b, 0, vni); !errors.Is(err, frame.ErrTooLarge) {
			t.Errorf("Finish: got %v, want %v", err, frame.ErrTooLarge)
		}
		if _, err := tmpl.Put(b[:tmpl.HeaderLen(0)+9], 0, 0, pattern(10)); !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("Put: got %v, want %v", err, io.ErrShortBuffer)
		}
		if err := tmpl.Finish(b[:tmpl.HeaderLen(vni)-1], 0, vni); !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("Finish: got %v, want %v", err, io.ErrShortBuffer)
		}
	}
}

// Each option that is wrong is named.
func TestNewErrors(t *testing.T) {
	for want, change := range map[string]func(o *frame.Options){
		"no source":         func(o *frame.Options) { o.Src = netip.AddrPort{} },
		"different famil":   func(o *frame.Options) { o.Src = options6().Src },
		"port 0":            func(o *frame.Options) { o.Dst = netip.AddrPortFrom(o.Dst.Addr(), 0) },
		"not unicast":       func(o *frame.Options) { o.Dst = netip.MustParseAddrPort("224.0.0.1:1") },
		"255.255.255.255":   func(o *frame.Options) { o.Dst = netip.MustParseAddrPort("255.255.255.255:1") },
		"0.0.0.0:1":         func(o *frame.Options) { o.Src = netip.MustParseAddrPort("0.0.0.0:1") },
		"group address":     func(o *frame.Options) { o.Target = frame.MAC{1} },
		"target is not set": func(o *frame.Options) { o.Target = frame.MAC{} },
		"tag type":          func(o *frame.Options) { o.Tag = frame.Tag{TCI: 1} },
		"more than 20 bits": func(o *frame.Options) { o.FlowLabel = 1 << 20 },
		"label for IPv4":    func(o *frame.Options) { o.FlowLabel = 1 },
		"needs the UDP":     func(o *frame.Options) { *o = options6(); o.NoChecksum = true },
		"no DF":             func(o *frame.Options) { *o = options6(); o.DontFragment = true },
	} {
		o := options4()
		change(&o)
		if _, err := frame.New(&o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	mapped := options4()
	mapped.Src = netip.AddrPortFrom(netip.MustParseAddr("::ffff:192.0.2.1"), 1)
	if _, err := frame.New(&mapped); err != nil {
		t.Errorf("IPv4 in its IPv6 form: %v", err)
	}
}
