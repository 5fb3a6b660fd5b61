// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// writeOffset is where wireguard-go's packets begin.
const writeOffset = 16

// flowOf returns TCP segments with payloads of the given sizes that follow each
// other, behind writeOffset bytes.
func flowOf(v6 bool, sizes ...int) [][]byte {
	src, dst := netip.AddrPortFrom(remoteV4, 4321), netip.AddrPortFrom(hostV4, 80)
	if v6 {
		src, dst = netip.AddrPortFrom(remoteV6, 4321), netip.AddrPortFrom(hostV6, 80)
	}
	rnd := rand.New(rand.NewPCG(1, uint64(len(sizes))))
	var bufs [][]byte
	seq := uint32(0xffff_f000) // wraps
	for _, n := range sizes {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(rnd.Uint32())
		}
		p := (&testutil.TCP{Src: src, Dst: dst, Seq: seq, Ack: 77, Flags: testutil.ACK, Payload: payload}).Packet()
		bufs = append(bufs, append(bytes.Repeat([]byte{0xaa}, writeOffset), p...))
		seq += uint32(n)
	}
	return bufs
}

// repair puts the checksums of a packet right.
func repair(p []byte) {
	start, src, dst := 40, p[8:24], p[24:40]
	if p[0]>>4 == 4 {
		start = int(p[0]&15) * 4
		src, dst = p[12:16], p[16:20]
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^tun.Checksum(p[:start], 0))
	}
	t := p[start:]
	t[16], t[17] = 0, 0
	binary.BigEndian.PutUint16(t[16:], ^tun.Checksum(t, tun.PseudoHeaderChecksum(6, src, dst, uint16(len(t)))))
}

func TestMergeable(t *testing.T) {
	equal := slices.Repeat([]int{1000}, 5)
	// change applies to packet 3 of 5, whose checksums are put right afterwards;
	// damage does not.
	for _, tt := range []struct {
		name           string
		sizes          []int
		change, damage func(p, tcp []byte)
		want4, want6   int
	}{
		{"equal", equal, nil, nil, 5, 5},
		{"alone", equal[:1], nil, nil, 1, 1},
		{"shorter last", []int{1000, 1000, 1}, nil, nil, 3, 3},
		{"shorter ends it", []int{1000, 999, 999}, nil, nil, 2, 2},
		{"longer", []int{1000, 1000, 1001}, nil, nil, 2, 2},
		{"no data", []int{1000, 1000, 0, 1000}, nil, nil, 2, 2},
		{"no data first", []int{0, 1000, 1000}, nil, nil, 1, 1},
		{"push is the last", equal, func(_, tcp []byte) { tcp[13] |= 0x08 }, nil, 4, 4},
		{"fin", equal, func(_, tcp []byte) { tcp[13] |= 0x01 }, nil, 3, 3},
		{"syn", equal, func(_, tcp []byte) { tcp[13] |= 0x02 }, nil, 3, 3},
		{"rst", equal, func(_, tcp []byte) { tcp[13] |= 0x04 }, nil, 3, 3},
		{"no ack", equal, func(_, tcp []byte) { tcp[13] = 0 }, nil, 3, 3},
		{"urgent", equal, func(_, tcp []byte) { tcp[13] |= 0x20 }, nil, 3, 3},
		{"ece", equal, func(_, tcp []byte) { tcp[13] |= 0x40 }, nil, 3, 3},
		{"cwr", equal, func(_, tcp []byte) { tcp[13] |= 0x80 }, nil, 3, 3},
		{"reserved bits", equal, func(_, tcp []byte) { tcp[12] |= 1 }, nil, 3, 3},
		{"header too short", equal, func(_, tcp []byte) { tcp[12] = 4 << 4 }, nil, 3, 3},
		{"header longer than the packet", []int{30, 30, 30, 30}, func(_, tcp []byte) { tcp[12] = 15 << 4 }, nil, 3, 3},
		{"options where others have data", equal, func(_, tcp []byte) { tcp[12] = 6 << 4 }, nil, 3, 3},
		{"gap", equal, func(_, tcp []byte) { tcp[7]++ }, nil, 3, 3},
		{"other ack", equal, func(_, tcp []byte) { tcp[11]++ }, nil, 3, 3},
		{"other window", equal, func(_, tcp []byte) { tcp[14]++ }, nil, 3, 3},
		{"other source port", equal, func(_, tcp []byte) { tcp[1]++ }, nil, 3, 3},
		{"other destination port", equal, func(_, tcp []byte) { tcp[3]++ }, nil, 3, 3},
		{"other source", equal, func(p, _ []byte) { p[15]++ }, nil, 3, 3},
		{"other destination", equal, func(p, tcp []byte) { p[len(p)-len(tcp)-1]++ }, nil, 3, 3},
		{"other class", equal, func(p, _ []byte) { p[1] ^= 0x10 }, nil, 3, 3},
		{"other hop limit", equal, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[8]--
			} else {
				p[7]--
			}
		}, nil, 3, 3},
		{"other protocol", equal, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[9] = 17
			} else {
				p[6] = 17
			}
		}, nil, 3, 3},
		{"wrong length", equal, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[3]--
			} else {
				p[5]--
			}
		}, nil, 3, 3},
		{"ip version", equal, func(p, _ []byte) { p[0] = 5<<4 | p[0]&15 }, nil, 3, 3},
		{"wrong tcp checksum", equal, nil, func(_, tcp []byte) { tcp[len(tcp)-1]++ }, 3, 3},
		{"wrong ip checksum", equal, nil, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[10]++
			}
		}, 3, 5},
		{"fragment", equal, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[6] |= 0x20
			}
		}, nil, 3, 5},
		{"fragment offset", equal, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[7] = 1
			}
		}, nil, 3, 5},
		{"may be fragmented", equal, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[6] = 0
			}
		}, nil, 3, 5},
		{"ip options", equal, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				p[0] = 4<<4 | 6
			}
		}, nil, 3, 5},
		{"65,535 bytes", append(slices.Repeat([]int{1000}, 65), 495), nil, nil, 66, 66},
		{"65,536 bytes of IPv4", append(slices.Repeat([]int{1000}, 65), 496), nil, nil, 65, 65},
	} {
		for _, v6 := range []bool{false, true} {
			if tt.name == "65,535 bytes" && v6 || tt.name == "65,536 bytes of IPv4" && v6 {
				continue // the headers are longer; the limit is the same
			}
			bufs := flowOf(v6, tt.sizes...)
			start := 20
			want := tt.want4
			if v6 {
				start, want = 40, tt.want6
			}
			if i := 3; tt.change != nil {
				i = min(i, len(bufs)-1)
				p := bufs[i][writeOffset:]
				tt.change(p, p[start:])
				if p[0]>>4 == 4 && p[0]&15 == 5 || p[0]>>4 == 6 {
					repair(p)
				}
			}
			if tt.damage != nil {
				p := bufs[3][writeOffset:]
				tt.damage(p, p[start:])
			}
			if got := tunwrap.Mergeable(bufs, writeOffset); got != want {
				t.Errorf("%s, IPv6 %v: %d packets, want %d", tt.name, v6, got, want)
			}
		}
	}
	// The first packet is verified too.
	bufs := flowOf(false, 1000, 1000)
	bufs[0][len(bufs[0])-1]++
	if got := tunwrap.Mergeable(bufs, writeOffset); got != 1 {
		t.Errorf("wrong checksum of the first: %d packets, want 1", got)
	}
	// The last one's PSH is that of all.
	bufs = flowOf(true, 1000, 1000, 500)
	last := bufs[2][writeOffset:]
	last[40+13] |= 0x08
	repair(last)
	frame := tunwrap.Superpacket(bufs, writeOffset)
	if flags := frame[tunwrap.VirtioHeaderLen+40+13]; flags != 0x18 {
		t.Errorf("flags %#x, want ACK and PSH", flags)
	}
	// Identifications count where fragmentation is allowed.
	bufs = flowOf(false, 1000, 1000, 1000)
	for i, id := range []uint16{0xffff, 0, 0} {
		p := bufs[i][writeOffset:]
		p[6] = 0
		binary.BigEndian.PutUint16(p[4:], id)
		repair(p)
	}
	if got := tunwrap.Mergeable(bufs, writeOffset); got != 2 {
		t.Errorf("identifications 65535, 0, 0: %d packets, want 2", got)
	}
}

// FuzzMergeable merges what can be merged and cuts it again as the kernel does: the
// same packets, to the byte.
func FuzzMergeable(f *testing.F) {
	f.Add(uint64(1), false, []byte{})
	f.Add(uint64(2), true, []byte{10, 3, 200, 40, 1, 1})
	f.Fuzz(func(t *testing.T, seed uint64, v6 bool, damage []byte) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var sizes []int
		for len(sizes) < 60 {
			size := 1 + rnd.IntN(1400)
			sizes = append(sizes, slices.Repeat([]int{size}, 1+rnd.IntN(30))...)
		}
		bufs := flowOf(v6, sizes...)
		for i := 0; i+2 < len(damage); i += 3 {
			p := bufs[int(damage[i])%len(bufs)][writeOffset:]
			p[int(damage[i+1])%min(len(p), 80)] ^= damage[i+2]
			if damage[i+2]&1 != 0 && (p[0] == 0x45 || p[0]>>4 == 6) {
				repair(p)
			}
		}
		want := make([][]byte, len(bufs))
		for i, b := range bufs {
			want[i] = bytes.Clone(b[writeOffset:])
		}
		for next := 0; next < len(bufs); {
			n := tunwrap.Mergeable(bufs[next:], writeOffset)
			if n < 1 || n > len(bufs)-next {
				t.Fatalf("%d packets of %d", n, len(bufs)-next)
			}
			if n > 1 {
				frame := tunwrap.Superpacket(bufs[next:next+n], writeOffset)
				s := script{frames: [][]byte{frame}}
				d := tunwrap.NewDrain(s.read)
				var got [][]byte
				for len(got) < n {
					more, err := fillOnce(d, deviceSlab, maxBatch)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, more...)
				}
				for i, p := range got {
					w := want[next+i]
					if w[0]>>4 == 4 && w[6] == 0x40 {
						// The kernel numbers what may not be fragmented anew.
						copy(p[4:6], w[4:6])
						copy(p[10:12], w[10:12])
					}
					if !bytes.Equal(p, w) {
						t.Fatalf("packet %d of %d differs:\n got %x\nwant %x", i, n, p[:60], w[:60])
					}
				}
			}
			next += n
		}
	})
}
