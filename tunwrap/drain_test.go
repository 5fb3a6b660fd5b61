// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap"
)

const (
	spacing      = tun.ReadPacketSpacing
	deviceSlab   = 2 * (1<<16 - 1) // of wireguard-go
	maxBatch     = 128
	smallestSlab = 2 * spacing
)

// A script is a kernel queue: a list of packets, nil where it is empty once.
type script struct {
	frames [][]byte
	cut    bool // a read had less room than the packet
}

func (s *script) add(packets ...*kernelPacket) (want [][]byte) {
	for _, k := range packets {
		if k == nil {
			s.frames = append(s.frames, nil)
			continue
		}
		s.frames = append(s.frames, k.frame())
		want = append(want, k.want()...)
	}
	return want
}

func (s *script) read(b []byte) (int, error) {
	if len(s.frames) == 0 {
		return 0, tunwrap.ErrNothing
	}
	f := s.frames[0]
	s.frames = s.frames[1:]
	if f == nil {
		return 0, tunwrap.ErrNothing
	}
	s.cut = s.cut || len(f) > len(b)
	return copy(b, f), nil
}

// fillOnce is one fill, checked for its layout.
func fillOnce(d *tunwrap.Drain, slabLen, batch int) ([][]byte, error) {
	slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, batch)
	n, err := d.Fill(slab, packets)
	if n > 0 && err != nil {
		return nil, fmt.Errorf("%d packets with error %w", n, err)
	}
	out, end := make([][]byte, n), 0
	for i, p := range packets[:n] {
		if p.Size < 1 || p.Offset < end+spacing || p.Offset+p.Size > slabLen-spacing {
			return nil, fmt.Errorf("packet %d of %d is at %d..%d of %d, the one before ends at %d", i, n, p.Offset, p.Offset+p.Size, slabLen, end)
		}
		end = p.Offset + p.Size
		out[i] = slab[p.Offset:end]
	}
	return out, err
}

// drainAll fills slabs until the script is at its end and compares what comes
// with want. sizes says how long each slab is and how many descriptors it has.
func drainAll(s *script, want [][]byte, sizes func(i int) (slabLen, batch int)) error {
	d := tunwrap.NewDrain(s.read)
	got := 0
	for i := 0; len(s.frames) > 0 || d.Waiting() > 0; i++ {
		if i > 100_000 {
			return errors.New("no progress")
		}
		slabLen, batch := sizes(i)
		packets, err := fillOnce(d, slabLen, batch)
		if err != nil && err != tunwrap.ErrNothing {
			return fmt.Errorf("fill %d: %w", i, err)
		}
		for _, p := range packets {
			if got == len(want) {
				return fmt.Errorf("fill %d: packet %d, want only %d", i, got, len(want))
			}
			if !samePacket(p, want[got]) {
				return fmt.Errorf("fill %d: packet %d of %d differs:\n got %x\nwant %x", i, got, len(want), clip(p), clip(want[got]))
			}
			got++
		}
	}
	if got != len(want) {
		return fmt.Errorf("%d packets, want %d", got, len(want))
	}
	if s.cut {
		return errors.New("a read had less room than its packet")
	}
	return nil
}

// samePacket compares packets. For TCP the checksums zero and 0xffff are one
// and the same number, of which wireguard-go's code chooses the other.
func samePacket(got, want []byte) bool {
	if bytes.Equal(got, want) {
		return true
	}
	if len(got) != len(want) {
		return false
	}
	at, proto := int(want[0]&15)*4, want[9]
	if want[0]>>4 == 6 {
		if at, proto = 40, want[6]; proto == 60 {
			at, proto = 40+8+int(want[41])*8, want[40]
		}
	}
	at += 16
	if proto != 6 || want[at] != 0xff || want[at+1] != 0xff || got[at] != 0 || got[at+1] != 0 {
		return false
	}
	return bytes.Equal(got[:at], want[:at]) && bytes.Equal(got[at+2:], want[at+2:])
}

func clip(b []byte) []byte { return b[:min(len(b), 100)] }

func deviceSizes(int) (int, int) { return deviceSlab, maxBatch }

// TestDrain_shapes cuts every kind of superpacket in the device's slab, with
// few descriptors and in slabs that hold little.
func TestDrain_shapes(t *testing.T) {
	const full = 65535
	for _, k := range []kernelPacket{
		{payload: full - 40, gso: 1380, flags: ack | psh},
		{payload: full - 60, gso: 1368, flags: ack | psh | fin, options: 20, seq: 0xffff0000, id: 0xfff0},
		{payload: full - 80, gso: 536, flags: ack, extension: 40},
		{payload: full - 40, gso: 248, flags: ack | psh}, // 265 segments, more than descriptors
		{payload: full - 40, gso: 8880, flags: ack},
		{payload: 2760, gso: 1380, flags: ack | psh}, // no shorter one at the end
		{payload: 2761, gso: 1380, flags: ack | psh},
		{payload: 1380, gso: 1380, flags: ack | fin}, // one segment
		{payload: 100, gso: 1380, flags: ack},        // less than one
		{payload: 0, gso: 1380, flags: ack},
		{v6: true, payload: full - 20, gso: 1360, flags: ack | psh},
		{v6: true, payload: 30000, gso: 1200, flags: ack | fin, options: 12, extension: 24},
		{udp: true, payload: full - 28, gso: 1392, id: 7},
		{udp: true, payload: full - 28, gso: 100}, // 655 segments
		{udp: true, payload: 50, gso: 1},
		{v6: true, udp: true, payload: full - 8, gso: 1372}, // the longest there is
		{v6: true, udp: true, payload: 9000, gso: 900, extension: 8},
		{payload: 1380, flags: ack},
		{payload: 1380, flags: ack, partial: true},
		{udp: true, payload: 172, partial: true},
		{v6: true, udp: true, payload: 0, partial: true},
		{v6: true, payload: full - 20, partial: true},
	} {
		t.Run(fmt.Sprintf("%+v", k), func(t *testing.T) {
			small := kernelPacket{udp: true, payload: 60, partial: true}
			longest := 0
			for _, p := range append(k.want(), small.want()...) {
				longest = max(longest, len(p))
			}
			for name, sizes := range map[string]func(int) (int, int){
				"device":          deviceSizes,
				"one descriptor":  func(int) (int, int) { return deviceSlab, 1 },
				"odd descriptors": func(i int) (int, int) { return deviceSlab, 1 + i%7 },
				"tight slab":      func(i int) (int, int) { return longest + smallestSlab + i*333%4000, maxBatch },
			} {
				var s script
				want := s.add(&small, &k, &small, nil, &k, &k, &small)
				if err := drainAll(&s, want, sizes); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestDrain_boundary cuts a superpacket in slabs that are just large enough for
// all of it, or a few bytes too small.
func TestDrain_boundary(t *testing.T) {
	k := &kernelPacket{payload: 61600, gso: 1380, flags: ack | psh} // one message
	want := k.want()
	exact := spacing
	for _, p := range want {
		exact += len(p) + spacing
	}
	for missing := range 2 * spacing {
		s := script{frames: [][]byte{k.frame()}}
		if err := drainAll(&s, want, func(int) (int, int) { return exact - missing, maxBatch }); err != nil {
			t.Fatalf("slab %d bytes too small: %v", missing, err)
		}
	}
	s := script{frames: [][]byte{k.frame()}}
	if got, err := fillOnce(tunwrap.NewDrain(s.read), exact, maxBatch); len(got) != len(want) || err != nil {
		t.Errorf("slab of the right size: %d of %d packets, %v", len(got), len(want), err)
	}
}

// TestDrain_zeroChecksum makes the checksum of a UDP segment come out as zero,
// which would mean that there is none: IPv6 hosts drop such packets.
func TestDrain_zeroChecksum(t *testing.T) {
	for _, k := range []kernelPacket{
		{v6: true, udp: true, payload: 300, gso: 100},
		{v6: true, udp: true, payload: 100, partial: true},
	} {
		wrong := k.want()[0]
		sum := binary.BigEndian.Uint16(wrong[46:])
		k.spoil = func(f []byte) { // add what is missing to all ones to a word of the first segment
			at := tunwrap.VirtioHeaderLen + 48
			word := uint32(binary.BigEndian.Uint16(f[at:])) + uint32(sum)
			binary.BigEndian.PutUint16(f[at:], uint16(word>>16+word))
		}
		s := script{frames: [][]byte{k.frame()}}
		got, err := fillOnce(tunwrap.NewDrain(s.read), deviceSlab, maxBatch)
		if err != nil {
			t.Fatal(err)
		}
		if sum := binary.BigEndian.Uint16(got[0][46:]); sum != 0xffff {
			t.Errorf("segment size %d: checksum %#x, want 0xffff", k.gso, sum)
		}
	}
}

// TestDrain_batches pins how much of what waits one fill takes.
func TestDrain_batches(t *testing.T) {
	repeat := func(n int, k *kernelPacket) (s script) {
		for range n {
			s.add(k)
		}
		return s
	}
	for _, test := range []struct {
		name    string
		script  script
		want    int // packets of the first fill
		carried uint64
	}{
		{"200 bytes", repeat(200, &kernelPacket{udp: true, payload: 172, partial: true}), maxBatch, 0},
		{"1420 bytes", repeat(200, &kernelPacket{udp: true, payload: 1392, partial: true}), 88, 1},
		{"8920 bytes", repeat(20, &kernelPacket{udp: true, payload: 8892, partial: true}), 14, 1},
		{"full superpackets", repeat(3, &kernelPacket{payload: 65495, gso: 1380, flags: ack}), 45, 1},
		{"small superpackets", repeat(50, &kernelPacket{payload: 2760, gso: 1380, flags: ack}), 45, 1},
		{"too many segments", repeat(1, &kernelPacket{payload: 65495, gso: 248, flags: ack}), maxBatch, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := tunwrap.NewDrain(test.script.read)
			got, err := fillOnce(d, deviceSlab, maxBatch)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, carried, _ := d.Tally(); len(got) != test.want || carried != test.carried {
				t.Errorf("first fill has %d packets and carries %d, want %d and %d", len(got), carried, test.want, test.carried)
			}
		})
	}
}

// TestDrain_malformed spoils headers in every way there is; what comes before
// and behind them must be delivered.
func TestDrain_malformed(t *testing.T) {
	put := func(at int, v uint16) func([]byte) {
		return func(f []byte) { binary.NativeEndian.PutUint16(f[at:], v) }
	}
	set := func(at int, v byte) func([]byte) { return func(f []byte) { f[at] = v } }
	tcp4 := kernelPacket{payload: 5000, gso: 1000, flags: ack}
	tcp6 := kernelPacket{v6: true, payload: 5000, gso: 1000, flags: ack}
	udp4 := kernelPacket{udp: true, payload: 5000, gso: 1000}
	short := kernelPacket{udp: true, payload: 20, partial: true}
	for name, test := range map[string]struct {
		k     kernelPacket
		spoil func([]byte)
	}{
		"unknown GSO type":           {tcp4, set(1, 2)},
		"ECN bit":                    {tcp4, set(1, 0x81)},
		"UDP fragmentation":          {udp4, set(1, 3)},
		"segment size zero":          {tcp4, put(4, 0)},
		"TCPv4 type, IPv6 packet":    {tcp6, set(1, 1)},
		"TCPv6 type, IPv4 packet":    {tcp4, set(1, 4)},
		"UDP type, TCP packet":       {tcp4, set(1, 5)},
		"TCP type, UDP packet":       {udp4, set(1, 1)},
		"IP version 5":               {tcp4, set(10, 0x55)},
		"header length of IPv4":      {tcp4, set(10, 0x46)},
		"start inside IPv4 header":   {tcp4, put(6, 10)},
		"start inside IPv6 header":   {tcp6, put(6, 24)},
		"start behind packet":        {tcp4, put(6, 6000)},
		"start at the end of 64 KiB": {udp4, put(6, 0xffff)},
		"offset behind header":       {tcp4, put(8, 40)},
		"checksum of UDP in TCP":     {tcp4, put(8, 6)},
		"checksum in UDP ports":      {udp4, put(8, 2)},
		"TCP header too long":        {kernelPacket{payload: 30, gso: 10, flags: ack}, set(10+20+12, 15<<4)},
		"TCP header too short":       {tcp4, set(10+20+12, 4<<4)},
		"checksum behind packet":     {short, put(8, 28)},
		"checksum start behind":      {short, put(6, 0xffff)},
	} {
		t.Run(name, func(t *testing.T) {
			var s script
			good := kernelPacket{udp: true, payload: 60, partial: true}
			bad := test.k
			bad.spoil = test.spoil
			want := s.add(&good, &bad, &good)
			d := tunwrap.NewDrain(s.read)
			got, err := fillOnce(d, deviceSlab, maxBatch)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) {
				t.Errorf("got %d packets, want the 2 good ones", len(got))
			}
			if _, _, _, drops := d.Tally(); drops != (tunwrap.ReadDrops{Malformed: 1}) {
				t.Errorf("drops %+v, want one malformed", drops)
			}
		})
	}
}

func TestDrain_drops(t *testing.T) {
	for _, test := range []struct {
		name string
		len  int // of the frame
		slab int
		want tunwrap.ReadDrops
		err  error
	}{
		{"empty read", 0, deviceSlab, tunwrap.ReadDrops{Malformed: 1}, tunwrap.ErrNothing},
		{"short header", 9, deviceSlab, tunwrap.ReadDrops{Malformed: 1}, tunwrap.ErrNothing},
		{"header alone", 10, deviceSlab, tunwrap.ReadDrops{Malformed: 1}, tunwrap.ErrNothing},
		{"longest packet", tunwrap.VirtioHeaderLen + tunwrap.MaxPacket, deviceSlab, tunwrap.ReadDrops{}, nil},
		{"longer than any packet", tunwrap.VirtioHeaderLen + tunwrap.MaxPacket + 1, deviceSlab, tunwrap.ReadDrops{Truncated: 1}, tunwrap.ErrNothing},
		{"larger than the slab", 10 + 1001, 1000 + smallestSlab, tunwrap.ReadDrops{Oversized: 1}, tun.ErrTooManySegments},
		{"as large as the slab", 10 + 1000, 1000 + smallestSlab, tunwrap.ReadDrops{}, nil},
		{"no slab", 10 + 1000, smallestSlab - 1, tunwrap.ReadDrops{}, tun.ErrTooManySegments},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := script{frames: [][]byte{make([]byte, test.len)}}
			d := tunwrap.NewDrain(s.read)
			got, err := fillOnce(d, test.slab, maxBatch)
			if err != test.err || err == nil && len(got) != 1 {
				t.Fatalf("%d packets, error %v, want error %v", len(got), err, test.err)
			}
			if _, _, _, drops := d.Tally(); drops != test.want {
				t.Errorf("drops %+v, want %+v", drops, test.want)
			}
		})
	}
}

// TestDrain_error checks that an error ends a fill without packets only.
func TestDrain_error(t *testing.T) {
	broken := errors.New("broken")
	good := (&kernelPacket{udp: true, payload: 10}).frame()
	reads := 0
	d := tunwrap.NewDrain(func(b []byte) (int, error) {
		if reads++; reads == 1 {
			return copy(b, good), nil
		}
		return 0, broken
	})
	if got, err := fillOnce(d, deviceSlab, maxBatch); len(got) != 1 || err != nil {
		t.Errorf("first fill: %d packets, %v, want 1", len(got), err)
	}
	if got, err := fillOnce(d, deviceSlab, maxBatch); len(got) != 0 || err != broken {
		t.Errorf("second fill: %d packets, %v, want the error", len(got), err)
	}
	if n, err := d.Fill(make([]byte, deviceSlab), nil); n != 0 || !errors.Is(err, tun.ErrTooManySegments) {
		t.Errorf("fill without descriptors: %d, %v, want ErrTooManySegments", n, err)
	}
}

func TestDrainNoAllocs(t *testing.T) {
	frames := [][]byte{
		(&kernelPacket{udp: true, payload: 172, partial: true}).frame(),
		(&kernelPacket{payload: 40000, gso: 1380, flags: ack}).frame(),
		(&kernelPacket{v6: true, udp: true, payload: 30000, gso: 100}).frame(), // more than descriptors
		(&kernelPacket{udp: true, payload: 1392}).frame(),
		make([]byte, 20), // malformed
	}
	frames[4][1] = 99
	next := 0
	d := tunwrap.NewDrain(func(b []byte) (int, error) {
		next++
		return copy(b, frames[next%len(frames)]), nil
	})
	slab, packets := make([]byte, deviceSlab), make([]tun.ReadPacket, maxBatch)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := d.Fill(slab, packets); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("fill allocates %v times", n)
	}
}

// FuzzDrain builds a queue of packets of all kinds from the input and reads it
// with slabs and descriptors of all sizes. What comes out is what the oracle
// makes of the packets, in order.
func FuzzDrain(f *testing.F) {
	f.Add([]byte{0, 255, 255, 5, 100, 0, 0, 0, 0, 128, 1, 255, 255, 5, 100, 3, 2, 9, 9, 3})
	f.Add([]byte{2, 200, 0, 0, 50, 0, 0, 0, 0, 1, 3, 255, 0, 1, 0, 1, 1, 1, 1, 2, 5, 9, 9, 9, 9, 9, 9, 9, 9, 9})
	f.Add([]byte{6, 0, 60, 0, 0, 0, 0, 0, 0, 9, 4, 0, 100, 0, 0, 0, 0, 0, 0, 1, 0, 90, 0, 1, 0, 0, 0, 17, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		const record = 10
		if len(in) > 40*record {
			in = in[:40*record]
		}
		var s script
		var want [][]byte
		longest := 1
		for ; len(in) >= record; in = in[record:] {
			r := in[:record]
			k := &kernelPacket{
				v6:      r[0]&1 != 0,
				udp:     r[0]&2 != 0,
				partial: r[0]&8 != 0,
				flags:   ack | r[5]&(fin|psh),
				id:      uint16(r[6]) << 8,
				seq:     uint32(r[7]) << 24,
				seed:    r[8],
			}
			if k.v6 {
				k.extension = int(r[5]>>4&3) * 8
			} else {
				k.extension = int(r[5]>>4&7) * 4
			}
			if !k.udp {
				k.options = int(r[6]&7) * 4
			}
			room := 65535 - k.transportLen()
			if !k.v6 {
				room -= k.ipLen()
			} else {
				room -= k.extension
			}
			k.payload = min(int(binary.BigEndian.Uint16(r[1:])), room)
			if r[0]&4 == 0 {
				// Few enough segments for the fuzzer to be quick.
				k.gso = max(int(binary.BigEndian.Uint16(r[3:])), 1, k.payload/400)
			}
			if r[0]&0x70 == 0x70 {
				k.spoil = func(f []byte) { f[1] = 77 }
			}
			w := s.add(k)
			for _, p := range w {
				longest = max(longest, len(p))
			}
			want = append(want, w...)
			if r[0]&0x80 != 0 {
				s.add(nil)
			}
		}
		sizes := func(i int) (int, int) {
			if len(in) == 0 {
				return deviceSizes(i)
			}
			c := int(in[i%len(in)])
			return longest + smallestSlab + c*c*2, 1 + (c*7+i)%maxBatch
		}
		if err := drainAll(&s, want, sizes); err != nil {
			t.Error(err)
		}
	})
}

// FuzzDrain_raw reads arbitrary bytes: nothing panics, the layout holds, and
// every read ends as packets or as one drop.
func FuzzDrain_raw(f *testing.F) {
	for _, k := range []kernelPacket{
		{payload: 3000, gso: 1000, flags: ack | psh},
		{v6: true, udp: true, payload: 500, gso: 100, extension: 8},
		{udp: true, payload: 60, partial: true},
	} {
		f.Add(k.frame(), uint16(2000), byte(3))
	}
	f.Fuzz(func(t *testing.T, frame []byte, slab uint16, batch byte) {
		if len(frame) > 4000 { // a segment of a byte for each makes many fills
			frame = frame[:4000]
		}
		s := script{frames: [][]byte{bytes.Clone(frame)}}
		d := tunwrap.NewDrain(s.read)
		packets, drops := 0, uint64(0)
		for i := 0; ; i++ {
			got, err := fillOnce(d, int(slab)+smallestSlab, int(batch)+1)
			packets += len(got)
			_, _, _, r := d.Tally()
			drops += r.Total()
			if err != nil && err != tunwrap.ErrNothing && !errors.Is(err, tun.ErrTooManySegments) {
				t.Fatal(err)
			}
			if err == tunwrap.ErrNothing {
				break
			}
			if i > 1<<17 {
				t.Fatal("no progress")
			}
		}
		if (packets > 0) == (drops > 0) || drops > 1 {
			t.Errorf("%d packets and %d drops of one read", packets, drops)
		}
	})
}
