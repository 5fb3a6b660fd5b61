// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"encoding/binary"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
)

// Packets come in order, each described as it arrived.
func TestReadDescribes(t *testing.T) {
	r := newActiveRig(t, 8)
	payload := []byte("hello")
	r.sock.deliver(
		frameOf(far4, our4, payload, nil),
		frameOf(far6, our6, payload, nil),
		frameOf(farLL, ourLL, payload, nil),
		append(frameOf(far4, our4, []byte("x"), nil), make([]byte, 17)...), // padded to 60 bytes
	)
	want := []packet{
		{batching.Packet{Offset: 0, Size: 5, Remote: far4, Local: our4, IfIndex: ourIndex}, "hello"},
		{batching.Packet{Offset: 5, Size: 5, Remote: far6, Local: our6, IfIndex: ourIndex}, "hello"},
		{batching.Packet{Offset: 10, Size: 5, Remote: netip.AddrPortFrom(farLL.Addr().WithZone(ourName), farLL.Port()), Local: ourLL, IfIndex: ourIndex}, "hello"},
		{batching.Packet{Offset: 15, Size: 1, Remote: far4, Local: our4, IfIndex: ourIndex}, "x"},
	}
	got, err := readOnce(r.c, 1<<16, 64)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
	if n := r.sock.lent(); n != 0 {
		t.Errorf("%d frames not given back", n)
	}
	if st := r.c.Stats().Rx; st.Packets != 4 || st.Bytes != 16 || st.Calls != 1 || st.Messages != 4 || st.PacketsPerCall[2] != 1 || st.PacketsPerMessage[0] != 4 {
		t.Errorf("counted %+v", st)
	}
}

// What does not fit slab or pkts comes with the next calls.
func TestReadInParts(t *testing.T) {
	payloads := numbered(150)
	for _, tt := range []struct{ slab, pkts int }{
		{1 << 16, 64}, {1 << 16, 1}, {1 << 16, 7}, {10, 64}, {11, 64}, {25, 64}, {100, 3}, {1 << 16, 1000},
	} {
		r := newActiveRig(t, 200)
		for _, p := range payloads {
			r.sock.deliver(plain(p))
		}
		if err := r.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r.c, tt.slab, tt.pkts)
		wantError(t, err, os.ErrDeadlineExceeded)
		// The slab of 10 bytes is too small for "packet 100" alone, which is not 10.
		want := slices.DeleteFunc(slices.Clone(payloads), func(p string) bool { return len(p) > tt.slab })
		if !slices.Equal(got, want) {
			t.Errorf("slab %d, %d pkts: got %d packets %q, want %d", tt.slab, tt.pkts, len(got), got, len(want))
		}
		if n := dropCounts(r.c)["slab"]; n != uint64(len(payloads)-len(want)) {
			t.Errorf("slab %d: %d counted as larger, want %d", tt.slab, n, len(payloads)-len(want))
		}
		if n := r.sock.lent(); n != 0 {
			t.Errorf("slab %d, %d pkts: %d frames not given back", tt.slab, tt.pkts, n)
		}
	}
}

// Frames that wait for a larger slab stay borrowed, once, until they are read.
func TestReadKeepsRest(t *testing.T) {
	r := newActiveRig(t, 8)
	r.sock.deliver(plain("1111"), plain("2222"), plain("3333"))
	for i, want := range []string{"1111", "2222", "3333"} {
		got, err := readOnce(r.c, 7, 64)
		if err != nil || len(got) != 1 || got[0].data != want || got[0].Offset != 0 {
			t.Fatalf("got %v, %v, want %s", got, err, want)
		}
		if n := r.sock.lent(); n != 2-i {
			t.Errorf("%d frames borrowed, want %d", n, 2-i)
		}
	}
}

func TestReadShortBuffer(t *testing.T) {
	r := newActiveRig(t, 8)
	r.sock.deliver(plain("1"))
	for _, n := range [][2]int{{0, 1}, {1, 0}} {
		_, err := readOnce(r.c, n[0], n[1])
		wantError(t, err, io.ErrShortBuffer)
	}
	if got, err := readOnce(r.c, 1, 1); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

// edited returns a frame of IPv4 or IPv6 with a byte changed, counted from the IP
// header, and the IPv4 checksum made right again unless spoil.
func edited(v6 bool, at int, value byte, spoil bool) []byte {
	b := frameOf(far4, our4, []byte("payload"), nil)
	if v6 {
		b = frameOf(far6, our6, []byte("payload"), nil)
	}
	b[14+at] = value
	if !v6 && !spoil {
		binary.BigEndian.PutUint16(b[24:], 0)
		sum := uint32(0)
		for i := 14; i < 34; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(b[24:], ^uint16(sum))
	}
	return b
}

// Every reason to drop is counted under its name, and does not disturb what comes
// before and behind.
func TestReadDrops(t *testing.T) {
	for want, bad := range map[string][]byte{
		"truncated":       plain("payload")[:20],
		"not_ip":          append(append([]byte(nil), plain("")[:12]...), 8, 6, 0, 0),
		"options":         edited(false, 0, 0x46, false),
		"ip_length":       edited(false, 3, 200, false),
		"fragment":        edited(false, 6, 0x20, false),
		"not_udp":         edited(false, 9, 6, false),
		"ip_checksum":     edited(false, 8, 3, true),
		"udp_length":      edited(false, 24, 200, false),
		"no_udp_checksum": func() []byte { b := edited(true, 46, 0, false); b[14+47] = 0; return b }(),
		"address":         edited(false, 12, 224, false), // a multicast source
		"other_host":      frameOf(far4, our4, []byte("x"), func(o *frame.Options) { o.Target = frame.MAC{2, 9} }),
		"not_ours":        frameOf(far4, netip.MustParseAddr("192.0.2.9"), []byte("x"), nil),
		"empty":           plain(""),
		"slab":            plain(strings.Repeat("x", 101)),
	} {
		r := newActiveRig(t, 8)
		r.sock.deliver(plain("before"), bad, plain("behind"))
		if err := r.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r.c, 100, 64)
		wantError(t, err, os.ErrDeadlineExceeded)
		if !slices.Equal(got, []string{"before", "behind"}) {
			t.Errorf("%s: got %q", want, got)
		}
		if counts := dropCounts(r.c); !maps.Equal(counts, map[string]uint64{want: 1}) {
			t.Errorf("%s: counted %v", want, counts)
		}
		if n := r.sock.lent(); n != 0 {
			t.Errorf("%s: %d frames not given back", want, n)
		}
	}
}

// Which address, port and tag are ours is what they are now, not when the program
// let the frame through.
func TestReadNotOurs(t *testing.T) {
	tagged := frameOf(far4, our4, []byte("tag"), func(o *frame.Options) { o.Tag = frame.Tag{Type: frame.TypeCTag, TCI: 5} })
	priority := frameOf(far4, our4, []byte("tag"), func(o *frame.Options) { o.Tag = frame.Tag{Type: frame.TypeCTag, TCI: 3 << 13} })
	for name, tt := range map[string]struct {
		frame  []byte
		change func(r *rig)
		want   string // reason; empty when it is delivered
	}{
		"other port":      {plain("x"), func(r *rig) { r.listen(1) }, "not_ours"},
		"port is closed":  {plain("x"), func(r *rig) { r.listen(0) }, ""}, // it was for us
		"address is gone": {plain("x"), func(r *rig) { r.site.host.Store(&host{mac: ourMAC}) }, "not_ours"},
		"address of card": {plain("x"), func(r *rig) { r.site.host.Store(&host{mac: farMAC}) }, "other_host"},
		"tag":             {tagged, func(*rig) {}, "not_ours"},
		"no tag":          {plain("x"), func(r *rig) { r.site.tag.TCI = 5 }, "not_ours"},
		"our tag":         {tagged, func(r *rig) { r.site.tag.TCI = 5 }, ""},
		"priority tag":    {priority, func(*rig) {}, ""},
	} {
		r := newActiveRig(t, 8)
		tt.change(r)
		r.sock.deliver(tt.frame)
		if err := r.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r.c, 100, 64)
		wantError(t, err, os.ErrDeadlineExceeded)
		want := map[string]uint64{}
		if tt.want != "" {
			want[tt.want] = 1
		}
		if counts := dropCounts(r.c); !maps.Equal(counts, want) || (len(got) == 1) != (tt.want == "") {
			t.Errorf("%s: got %q, counted %v, want %v", name, got, counts, want)
		}
	}
}
