// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
)

// packet is a TCP packet to the host, with timestamps as Linux sends them.
type packet struct {
	v6        bool
	port      uint16 // of the far end
	seq, ack  uint32
	flags     byte // 0: ACK
	window    uint16
	ts        uint32
	size      int
	edit      func(b []byte) // before the checksums
	spoilt    func(b []byte) // after them
	ipOptions bool
}

func (p packet) build() []byte {
	if p.flags == 0 {
		p.flags = testutil.ACK
	}
	ip, proto := 20, byte(6)
	if p.v6 {
		ip = 40
	} else if p.ipOptions {
		ip = 24
	}
	const tcp = 32
	b := make([]byte, ip+tcp+p.size)
	var src, dst []byte
	if p.v6 {
		b[0], b[6], b[7] = 6<<4, proto, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		src, dst = b[8:24], b[24:40]
		copy(src, farV6.AsSlice())
		copy(dst, hostV6.AsSlice())
	} else {
		b[0], b[6], b[8], b[9] = 4<<4|byte(ip/4), 0x40, 64, proto
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		src, dst = b[12:16], b[16:20]
		copy(src, farV4.AsSlice())
		copy(dst, hostV4.AsSlice())
		if ip > 20 {
			copy(b[20:], []byte{1, 1, 1, 0})
		}
	}
	t := b[ip:]
	binary.BigEndian.PutUint16(t[0:], p.port)
	binary.BigEndian.PutUint16(t[2:], 80)
	binary.BigEndian.PutUint32(t[4:], p.seq)
	binary.BigEndian.PutUint32(t[8:], p.ack)
	t[12], t[13] = tcp/4<<4, p.flags
	binary.BigEndian.PutUint16(t[14:], p.window)
	t[20], t[21], t[22], t[23] = 1, 1, 8, 10
	binary.BigEndian.PutUint32(t[24:], p.ts)
	for i := range p.size {
		t[tcp+i] = byte(p.seq + uint32(i))
	}
	if p.edit != nil {
		p.edit(b)
	}
	if !p.v6 {
		binary.BigEndian.PutUint16(b[10:], ^tun.Checksum(b[:ip], 0))
	}
	binary.BigEndian.PutUint16(t[16:], ^tun.Checksum(t, tun.PseudoHeaderChecksum(proto, src, dst, uint16(len(t)))))
	if p.spoilt != nil {
		p.spoilt(b)
	}
	return b
}

// delivery is what the stack gets: one TCP packet with size payload bytes.
type delivery struct {
	Port   uint16
	Seq    uint32
	Size   int
	Flags  byte
	Window uint16
}

func (p packet) delivery() delivery {
	return delivery{p.port, p.seq, p.size, max(p.flags, testutil.ACK), p.window}
}

func deliveries(tb testing.TB, packets [][]byte) (out []delivery) {
	tb.Helper()
	for _, b := range packets {
		ip := int(b[0]&15) * 4
		if b[0]>>4 == 6 {
			if ip = 40; int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 {
				tb.Errorf("payload length %d of a packet of %d", binary.BigEndian.Uint16(b[4:]), len(b))
			}
		} else if int(binary.BigEndian.Uint16(b[2:])) != len(b) || tun.Checksum(b[:ip], 0) != 0xffff {
			tb.Errorf("IPv4 header % x of a packet of %d", b[:ip], len(b))
		}
		t := b[ip:]
		d := delivery{binary.BigEndian.Uint16(t), binary.BigEndian.Uint32(t[4:]), len(t) - int(t[12]>>4)*4, t[13], binary.BigEndian.Uint16(t[14:])}
		for i, c := range t[len(t)-d.Size:] {
			if c != byte(d.Seq+uint32(i)) {
				tb.Errorf("byte %d of %+v is wrong", i, d)
				break
			}
		}
		out = append(out, d)
	}
	return out
}

// TestJoin checks which packets of one Write enter the stack as one.
func TestJoin(t *testing.T) {
	const size = 1000
	d := func(port uint16, seq uint32, n int) delivery {
		return delivery{Port: port, Seq: seq, Size: n, Flags: testutil.ACK}
	}
	at := func(i uint32) uint32 { return 0xfffffc00 + i*size } // wraps
	for _, tt := range []struct {
		name string
		in   []packet
		want []delivery
	}{
		{"one", []packet{{seq: 1, size: size}}, []delivery{d(0, 1, size)}},
		{"three in order",
			[]packet{{seq: at(0), size: size}, {seq: at(1), size: size}, {seq: at(2), size: size}},
			[]delivery{d(0, at(0), 3*size)}},
		{"short one in the middle",
			[]packet{{seq: 0, size: 10}, {seq: 10, size: 1}, {seq: 11, size: 500}},
			[]delivery{d(0, 0, 511)}},
		{"two flows",
			[]packet{{port: 1, seq: 0, size: 5}, {port: 2, seq: 0, size: 5}, {port: 1, seq: 5, size: 5}, {port: 2, seq: 5, size: 5}},
			[]delivery{d(1, 0, 10), d(2, 0, 10)}},
		{"gap",
			[]packet{{seq: 0, size: 5}, {seq: 6, size: 5}, {seq: 11, size: 5}},
			[]delivery{d(0, 0, 5), d(0, 6, 10)}},
		{"an older one does not go before", // it would, in the first run
			[]packet{{seq: 0, size: 5}, {seq: 100, size: 5}, {seq: 5, size: 5}, {seq: 105, size: 5}},
			[]delivery{d(0, 0, 5), d(0, 100, 5), d(0, 5, 5), d(0, 105, 5)}},
		{"again", []packet{{seq: 0, size: 5}, {seq: 0, size: 5}}, []delivery{d(0, 0, 5), d(0, 0, 5)}},
		{"push goes on, window is the last one's",
			[]packet{{seq: 0, size: 5, flags: testutil.ACK | testutil.PSH, window: 7}, {seq: 5, size: 5, window: 8}},
			[]delivery{{0, 0, 10, testutil.ACK | testutil.PSH, 8}}},
		{"acknowledgement without data ends it",
			[]packet{{seq: 0, size: 5}, {seq: 5}, {seq: 5, size: 5}},
			[]delivery{d(0, 0, 5), d(0, 5, 0), d(0, 5, 5)}},
		{"other acknowledgement", []packet{{seq: 0, size: 5}, {seq: 5, size: 5, ack: 1}}, []delivery{d(0, 0, 5), d(0, 5, 5)}},
		{"other timestamp", []packet{{seq: 0, size: 5}, {seq: 5, size: 5, ts: 1}}, []delivery{d(0, 0, 5), d(0, 5, 5)}},
		{"end",
			[]packet{{seq: 0, size: 5}, {seq: 5, size: 5, flags: testutil.ACK | testutil.FIN}},
			[]delivery{d(0, 0, 5), {0, 5, 5, testutil.ACK | testutil.FIN, 0}}},
		{"congestion mark is kept",
			[]packet{{seq: 0, size: 5}, {seq: 5, size: 5, edit: func(b []byte) { b[1] |= 3 }}},
			[]delivery{d(0, 0, 5), d(0, 5, 5)}},
		{"other time to live",
			[]packet{{seq: 0, size: 5}, {seq: 5, size: 5, edit: func(b []byte) { b[8]-- }}},
			[]delivery{d(0, 0, 5), d(0, 5, 5)}},
		{"at most 65535",
			[]packet{{seq: 0, size: 40000}, {seq: 40000, size: 25535 - 52}, {seq: 65535 - 52, size: 1}},
			[]delivery{d(0, 0, 65535-52), d(0, 65535-52, 1)}},
		{"IP options end all runs",
			[]packet{{port: 1, seq: 0, size: 5}, {port: 1, seq: 5, size: 5, ipOptions: true}, {port: 1, seq: 5, size: 5}},
			[]delivery{d(1, 0, 5), d(1, 5, 5), d(1, 5, 5)}},
		{"bad ones are left out",
			[]packet{{seq: 0, size: 5}, {seq: 5, size: 5, spoilt: func(b []byte) { b[len(b)-1]++ }}, {seq: 5, size: 5}},
			[]delivery{d(0, 0, 10)}},
	} {
		for _, v6 := range []bool{false, true} {
			if v6 && slices.ContainsFunc(tt.in, func(p packet) bool { return p.ipOptions || p.edit != nil || p.size > 30000 }) {
				continue
			}
			name := map[bool]string{false: "v4/", true: "v6/"}[v6] + tt.name
			t.Run(name, func(t *testing.T) {
				var bufs [][]byte
				for _, p := range tt.in {
					p.v6 = v6
					bufs = append(bufs, append(make([]byte, 8), p.build()...))
				}
				before := slices.Clone(bufs)
				for i := range before {
					before[i] = bytes.Clone(bufs[i])
				}
				j := netstack.NewJoiner()
				j.Run(bufs, 8)
				packets, verified := j.Runs()
				if diff := cmp.Diff(tt.want, deliveries(t, packets)); diff != "" {
					t.Errorf("deliveries (-want +got):\n%s", diff)
				}
				if slices.Contains(verified, false) {
					t.Error("not verified")
				}
				if diff := cmp.Diff(before, bufs); diff != "" {
					t.Error("the caller's packets were changed")
				}
			})
		}
	}
}

// TestJoinV6 checks the header fields that only IPv6 has.
func TestJoinV6(t *testing.T) {
	for name, edit := range map[string]func([]byte){
		"traffic class": func(b []byte) { b[1] |= 0x30 },
		"flow label":    func(b []byte) { b[3] = 1 },
		"hop limit":     func(b []byte) { b[7]-- },
	} {
		bufs := [][]byte{packet{v6: true, size: 5}.build(), packet{v6: true, seq: 5, size: 5, edit: edit}.build()}
		if n := netstack.NewJoiner().Run(bufs, 0); n != 2 {
			t.Errorf("other %s: %d runs, want 2", name, n)
		}
	}
}

// TestJoinNoAllocs covers the checks and joins of 128 packets of 8 flows.
func TestJoinNoAllocs(t *testing.T) {
	bufs := manyFlows(8)
	j := netstack.NewJoiner()
	if n := testing.AllocsPerRun(100, func() {
		if got := j.Run(bufs, 0); got != 8 {
			t.Fatalf("%d runs, want 8", got)
		}
		j.Reset()
	}); n != 0 {
		t.Errorf("%v allocations a Write", n)
	}
}

func manyFlows(flows int) (bufs [][]byte) {
	for i := range netstack.BatchSize {
		bufs = append(bufs, packet{port: uint16(i % flows), seq: uint32(i/flows) * 1340, size: 1340}.build())
	}
	return bufs
}

// FuzzJoin makes packets of a few flows from the input and checks that each
// flow's data comes out as it went in, in order, whatever was joined.
func FuzzJoin(f *testing.F) {
	f.Add([]byte{0, 0, 10, 0, 0, 10, 1, 0, 10, 0, 0, 10})
	f.Add([]byte{0x10, 0, 10, 0x20, 0, 10, 0x41, 0, 200, 0x81, 0, 7, 1, 5, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		type flow struct {
			v6   bool
			port uint16
		}
		next := map[flow]uint32{}
		var bufs [][]byte
		want := map[flow][]delivery{}
		for ; len(in) >= 3 && len(bufs) < netstack.BatchSize; in = in[3:] {
			fl := flow{in[0]&1 != 0, uint16(in[0] >> 1 & 3)}
			p := packet{v6: fl.v6, port: fl.port, seq: next[fl], size: int(in[2]) * 8}
			p.seq += uint32(in[1] & 3) // perhaps a gap
			p.ts, p.ack = uint32(in[1]>>2&1), uint32(in[1]>>3&1)
			if in[0]&0x08 != 0 {
				p.flags = testutil.ACK | testutil.PSH
			}
			if in[0]&0x10 != 0 {
				p.flags = testutil.ACK | testutil.FIN
			}
			p.ipOptions = in[0]&0x20 != 0 && !fl.v6
			next[fl] = p.seq + uint32(p.size)
			bufs = append(bufs, p.build())
			want[fl] = append(want[fl], p.delivery())
		}
		j := netstack.NewJoiner()
		runs := j.Run(bufs, 0)
		if runs > len(bufs) || j.Dropped() != 0 {
			t.Fatalf("%d runs, %d drops of %d packets", runs, j.Dropped(), len(bufs))
		}
		packets, _ := j.Runs()
		for i, d := range deliveries(t, packets) {
			fl := flow{packets[i][0]>>4 == 6, d.Port}
			// d is the next packets of its flow, as many as its size says.
			for first := true; ; first = false {
				if len(want[fl]) == 0 {
					t.Fatalf("delivery %d, %+v, was never sent", i, d)
				}
				w := want[fl][0]
				if !first && (w.Seq != d.Seq || w.Size == 0) {
					t.Fatalf("delivery %d: %+v left, next is %+v", i, d, w)
				}
				if w.Seq != d.Seq || w.Size > d.Size || first && w.Size == 0 && d.Size != 0 {
					t.Fatalf("delivery %d: %+v, want %+v", i, d, w)
				}
				want[fl] = want[fl][1:]
				d.Seq += uint32(w.Size)
				if d.Size -= w.Size; d.Size == 0 {
					break
				}
			}
		}
		for fl, left := range want {
			if len(left) != 0 {
				t.Fatalf("flow %v: %d packets lost", fl, len(left))
			}
		}
	})
}

// TestWriteDrops checks the reasons for which packets are dropped and that the
// good ones among them are taken.
func TestWriteDrops(t *testing.T) {
	udp4 := func() []byte {
		return testutil.UDP(netip.AddrPortFrom(farV4, 1), netip.AddrPortFrom(hostV4, 2), pattern(40))
	}
	udp6 := func() []byte {
		return testutil.UDP(netip.AddrPortFrom(farV6, 1), netip.AddrPortFrom(hostV6, 2), pattern(40))
	}
	tcp4 := func() []byte { return packet{size: 40}.build() }
	fix4 := func(b []byte) []byte {
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], ^tun.Checksum(b[:20], 0))
		return b
	}
	with := func(b []byte, edit func(b []byte)) []byte { edit(b); return b }
	var keep, short, version, length, ipsum, sum netstack.InboundStats
	keep.Packets, short.DropsShort, version.DropsVersion = 1, 1, 1
	length.DropsLength, ipsum.DropsIPChecksum, sum.DropsChecksum = 1, 1, 1
	for _, tt := range []struct {
		name string
		b    []byte
		want netstack.InboundStats
	}{
		{"udp4", udp4(), keep},
		{"udp6", udp6(), keep},
		{"tcp4", tcp4(), keep},
		{"echo4", testutil.Echo(farV4, hostV4, 1, 1, nil), keep},
		{"echo6", testutil.Echo(farV6, hostV6, 1, 1, nil), keep},
		{"trailing bytes", append(udp4(), 1, 2, 3), keep},
		{"udp4 without checksum", with(udp4(), func(b []byte) { b[26], b[27] = 0, 0 }), keep},
		{"unknown protocol", fix4(with(udp4(), func(b []byte) { b[9] = 99 })), keep},
		{"first fragment, checksum not of it", fix4(with(udp4(), func(b []byte) { b[6], b[7], b[50] = 0x20, 0, 9 })), keep},
		{"later fragment", fix4(with(udp4(), func(b []byte) { b[6], b[7] = 0, 9 })), keep},
		{"one byte", []byte{0x45}, short},
		{"19 bytes", udp4()[:19], short},
		{"39 bytes of IPv6", udp6()[:39], short},
		{"version 0", with(udp4(), func(b []byte) { b[0] = 5 }), version},
		{"version 15", with(udp4(), func(b []byte) { b[0] = 0xf5 }), version},
		{"header of 16", with(udp4(), func(b []byte) { b[0] = 0x44 }), length},
		{"header longer than packet", fix4(with(udp4()[:20], func(b []byte) { b[0] = 0x46; b[3] = 20 })), length},
		{"cut off", udp4()[:40], length},
		{"cut off IPv6", udp6()[:60], length},
		{"IPv4 checksum", with(udp4(), func(b []byte) { b[10]++ }), ipsum},
		{"UDP checksum", with(udp4(), func(b []byte) { b[50]++ }), sum},
		{"UDP over IPv6 checksum", with(udp6(), func(b []byte) { b[70]++ }), sum},
		{"UDP over IPv6 without checksum", with(udp6(), func(b []byte) { b[46], b[47] = 0, 0 }), sum},
		{"TCP checksum", with(tcp4(), func(b []byte) { b[60]++ }), sum},
		{"UDP longer than packet", with(udp4(), func(b []byte) { b[24] = 9 }), length},
		{"UDP shorter than its header", with(udp4(), func(b []byte) { b[24], b[25] = 0, 7 }), length},
		{"UDP cut off", fix4(with(udp4()[:24], func(b []byte) { b[3] = 24 })), short},
		{"TCP cut off", fix4(with(tcp4()[:39], func(b []byte) { b[3] = 39 })), short},
		{"TCP header of 16", with(tcp4(), func(b []byte) { b[32] = 0x40 }), length},
		{"TCP header longer than packet", fix4(with(tcp4()[:50], func(b []byte) { b[3] = 50 })), length},
		{"IPv6 extension cut off", with(udp6()[:44], func(b []byte) { b[5], b[6] = 4, 0 }), length},
		{"IPv6 extension longer than packet", with(udp6(), func(b []byte) { b[6], b[40], b[41] = 60, 17, 200 }), length},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDevice(t, nil)
			b := append(make([]byte, 16), tt.b...)
			n, err := d.Write([][]byte{b}, 16)
			if err != nil || n != int(tt.want.Packets) {
				t.Errorf("wrote %d, %v; want %d", n, err, tt.want.Packets)
			}
			got := d.Stats().Inbound
			tt.want.Writes, tt.want.Delivered = 1, tt.want.Packets
			got.Batches, got.Bytes = netstack.Histogram{}, 0
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("stats (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExtensionHeaders checks that what is behind IPv6 extension headers is
// verified too.
func TestExtensionHeaders(t *testing.T) {
	plain := testutil.UDP(netip.AddrPortFrom(farV6, 1), netip.AddrPortFrom(hostV6, 2), pattern(40))
	extended := slices.Concat(plain[:40], []byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{17, 0, 1, 4, 0, 0, 0, 0}, plain[40:])
	extended[5], extended[6] = byte(len(extended)-40), 0 // hop by hop, then destination options
	j := netstack.NewJoiner()
	spoilt := bytes.Clone(extended)
	spoilt[len(spoilt)-1]++
	j.Run([][]byte{extended, spoilt}, 0)
	packets, verified := j.Runs()
	if len(packets) != 1 || !verified[0] || j.Dropped() != 1 {
		t.Errorf("%d packets, verified %v, %d dropped", len(packets), verified, j.Dropped())
	}
}

// TestWriteCounts checks what Write returns for batches with all kinds of slots
// and longer than BatchSize.
func TestWriteCounts(t *testing.T) {
	d := newDevice(t, nil)
	good := append(make([]byte, 4), testutil.Echo(farV4, hostV4, 1, 1, nil)...)
	bufs := [][]byte{good, make([]byte, 4), {1, 2}, good, {0, 0, 0, 0, 9}}
	if n, err := d.Write(bufs, 4); n != 2 || err != nil {
		t.Errorf("wrote %d, %v; want 2", n, err)
	}
	if s := d.Stats().Inbound; s.DropsShort != 2 || s.Packets != 2 || s.Bytes != 2*28 {
		t.Errorf("stats %+v", s)
	}
	many := slices.Repeat([][]byte{good}, 3*netstack.BatchSize+1)
	if n, err := d.WriteTo(7, many, 4); n != len(many) || err != nil {
		t.Errorf("wrote %d, %v; want %d", n, err, len(many))
	}
	if n, err := d.Write(nil, 0); n != 0 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	d.Close()
	if n, err := d.Write(bufs, 4); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: wrote %d, %v", n, err)
	}
	if got := d.Stats().Inbound.DropsClosed; got != uint64(len(bufs)) {
		t.Errorf("%d counted as dropped by Close", got)
	}
}

// FuzzWrite gives a device anything. Nothing may break, and each packet is
// either taken or counted.
func FuzzWrite(f *testing.F) {
	f.Add(packet{size: 10}.build(), byte(0))
	f.Add(packet{v6: true, size: 10}.build(), byte(1))
	f.Add(testutil.Echo(farV4, hostV4, 1, 1, []byte("ping")), byte(0))
	f.Add(testutil.UDP(netip.AddrPortFrom(farV6, 1), netip.AddrPortFrom(hostV6, 2), []byte("udp")), byte(2))
	f.Add([]byte{0x45}, byte(0))
	d, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{hostV4, hostV6}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	if _, err := d.Net().Listen("tcp", ":80"); err != nil {
		f.Fatal(err)
	}
	go func() { // the answers
		slab, pkts := make([]byte, netstack.SlabSize), make([]tun.ReadPacket, netstack.BatchSize)
		for {
			if _, err := d.Read(slab, pkts); errors.Is(err, os.ErrClosed) {
				return
			}
		}
	}()
	f.Fuzz(func(t *testing.T, b []byte, mend byte) {
		before := d.Stats().Inbound
		if mend&1 == 0 && len(b) >= 20 && b[0]>>4 == 4 { // get past the first checks
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			if hdr := int(b[0]&15) * 4; hdr >= 20 && hdr <= len(b) {
				b[10], b[11] = 0, 0
				binary.BigEndian.PutUint16(b[10:], ^tun.Checksum(b[:hdr], 0))
			}
		}
		n, err := d.Write([][]byte{b}, 0)
		if err != nil {
			t.Fatal(err)
		}
		after := d.Stats().Inbound
		drops := func(s netstack.InboundStats) uint64 {
			return s.DropsShort + s.DropsVersion + s.DropsLength + s.DropsIPChecksum + s.DropsChecksum
		}
		want := uint64(1)
		if len(b) == 0 {
			want = 0
		}
		if got := uint64(n) + drops(after) - drops(before); got != want {
			t.Errorf("took %d, dropped %d", n, drops(after)-drops(before))
		}
	})
}

// TestWriteRandom gives a device packets of every length with random content.
func TestWriteRandom(t *testing.T) {
	d := newDevice(t, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	total := 0
	for n := 0; n <= 65535; n += 1 + n/64 {
		bufs := make([][]byte, 16)
		for i := range bufs {
			bufs[i] = make([]byte, n)
			for j := range bufs[i] {
				bufs[i][j] = byte(rng.Uint32())
			}
			if n > 0 { // mostly IP
				bufs[i][0] = []byte{0x45, 0x60, 0x46, bufs[i][0]}[i%4]
			}
		}
		k, err := d.Write(bufs, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			total += len(bufs)
		}
		total -= k
	}
	s := d.Stats().Inbound
	if got := s.DropsShort + s.DropsVersion + s.DropsLength + s.DropsIPChecksum + s.DropsChecksum; got != uint64(total) {
		t.Errorf("%d drops counted, want %d", got, total)
	}
}

// BenchmarkJoin checks and joins a full batch; flows says how many it has.
func BenchmarkJoin(b *testing.B) {
	for name, flows := range map[string]int{"single-flow": 1, "interleaved-16": 16, "all-different": netstack.BatchSize} {
		b.Run(name, func(b *testing.B) {
			bufs := manyFlows(flows)
			j := netstack.NewJoiner()
			b.SetBytes(int64(len(bufs) * len(bufs[0])))
			b.ReportAllocs()
			for b.Loop() {
				j.Run(bufs, 0)
				j.Reset()
			}
		})
	}
}
