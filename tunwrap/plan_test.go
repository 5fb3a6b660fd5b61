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

	"github.com/google/go-cmp/cmp"
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

// repair puts the checksums of a TCP or UDP packet right.
func repair(p []byte) {
	var src, dst []byte
	start := 40
	if p[0]>>4 == 6 {
		src, dst = p[8:24], p[24:40]
	} else {
		start = int(p[0]&15) * 4
		src, dst = p[12:16], p[16:20]
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^tun.Checksum(p[:start], 0))
	}
	t := p[start:]
	proto, at := uint8(6), 16
	if start == 20 && p[9] == 17 || start == 40 && p[6] == 17 {
		proto, at = 17, 6
	}
	t[at], t[at+1] = 0, 0
	sum := ^tun.Checksum(t, tun.PseudoHeaderChecksum(proto, src, dst, uint16(len(t))))
	if sum == 0 && proto == 17 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(t[at:], sum)
}

// zeroChecksum changes the word of a packet at change so that its checksum at sum comes
// out as 0, or 0xffff, which is the same.
func zeroChecksum(p, sum, change []byte) {
	repair(p)
	word := uint32(binary.BigEndian.Uint16(change)) + uint32(binary.BigEndian.Uint16(sum))
	binary.BigEndian.PutUint16(change, uint16(word>>16+word))
	repair(p)
	if s := binary.BigEndian.Uint16(sum); s != 0 && s != 0xffff {
		panic("the checksum is another")
	}
}

// merged returns how many packets the first run has.
func merged(bufs [][]byte) int { return len(tunwrap.Plan(bufs, writeOffset, true, true)[0]) }

func TestPlan_tcp(t *testing.T) {
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
		{"checksum in its other form", equal, nil, func(p, tcp []byte) {
			zeroChecksum(p, tcp[16:], tcp[20:])
			tcp[16], tcp[17] = 0xff, 0xff
		}, 3, 3},
		{"ip checksum in its other form", equal, nil, func(p, tcp []byte) {
			if len(p)-len(tcp) == 20 {
				zeroChecksum(p, p[10:], p[4:])
				p[10], p[11] = 0xff, 0xff
			}
		}, 3, 5},
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
			if got := merged(bufs); got != want {
				t.Errorf("%s, IPv6 %v: %d packets, want %d", tt.name, v6, got, want)
			}
		}
	}
	// The first packet is verified too.
	bufs := flowOf(false, 1000, 1000)
	bufs[0][len(bufs[0])-1]++
	if got := merged(bufs); got != 1 {
		t.Errorf("wrong checksum of the first: %d packets, want 1", got)
	}
	// Identifications count where fragmentation is allowed.
	bufs = flowOf(false, 1000, 1000, 1000)
	for i, id := range []uint16{0xffff, 0, 0} {
		p := bufs[i][writeOffset:]
		p[6] = 0
		binary.BigEndian.PutUint16(p[4:], id)
		repair(p)
	}
	if got := merged(bufs); got != 2 {
		t.Errorf("identifications 65535, 0, 0: %d packets, want 2", got)
	}
}

// datagrams returns UDP packets of one flow with payloads of the given sizes, behind
// writeOffset bytes.
func datagrams(v6 bool, port uint16, sizes ...int) [][]byte {
	src, dst := netip.AddrPortFrom(remoteV4, port), netip.AddrPortFrom(hostV4, 80)
	if v6 {
		src, dst = netip.AddrPortFrom(remoteV6, port), netip.AddrPortFrom(hostV6, 80)
	}
	rnd := rand.New(rand.NewPCG(2, uint64(port)))
	var bufs [][]byte
	for _, n := range sizes {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(rnd.Uint32())
		}
		bufs = append(bufs, append(bytes.Repeat([]byte{0xaa}, writeOffset), testutil.UDP(src, dst, payload)...))
		if p := bufs[len(bufs)-1][writeOffset:]; !v6 {
			p[6], p[7] = 0x40, 0 // don't fragment
			repair(p)
		}
	}
	return bufs
}

func TestPlan_udp(t *testing.T) {
	equal := slices.Repeat([]int{172}, 5)
	v4 := func(f func(p []byte)) func(p, udp []byte) {
		return func(p, _ []byte) {
			if p[0]>>4 == 4 {
				f(p)
			}
		}
	}
	for _, tt := range []struct {
		name           string
		sizes          []int
		change, damage func(p, udp []byte)
		want4, want6   int
	}{
		{"equal", equal, nil, nil, 5, 5},
		{"alone", equal[:1], nil, nil, 1, 1},
		{"odd sizes", []int{171, 171, 171, 5}, nil, nil, 4, 4},
		{"shorter ends it", []int{172, 171, 171}, nil, nil, 2, 2},
		{"longer", []int{172, 172, 173}, nil, nil, 2, 2},
		{"no data", []int{172, 172, 0, 172}, nil, nil, 2, 2},
		{"no data first", []int{0, 0, 0}, nil, nil, 1, 1},
		{"other source port", equal, func(_, udp []byte) { udp[1]++ }, nil, 4, 4},
		{"other class", equal, func(p, _ []byte) { p[1] ^= 0x10 }, nil, 3, 3},
		{"other hop limit", equal, func(p, udp []byte) {
			if len(p)-len(udp) == 20 {
				p[8]--
			} else {
				p[7]--
			}
		}, nil, 3, 3},
		{"wrong udp length", equal, func(_, udp []byte) { udp[5]-- }, nil, 3, 3},
		{"wrong checksum", equal, nil, func(_, udp []byte) { udp[len(udp)-1]++ }, 3, 3},
		{"no checksum", equal, nil, func(_, udp []byte) { udp[6], udp[7] = 0, 0 }, 3, 3},
		{"no checksum where that is the sum", equal, nil, func(p, udp []byte) {
			zeroChecksum(p, udp[6:], udp[8:])
			udp[6], udp[7] = 0, 0
		}, 3, 3},
		{"wrong ip checksum", equal, nil, v4(func(p []byte) { p[10]++ }), 3, 5},
		{"may be fragmented", equal, v4(func(p []byte) { p[6] = 0 }), nil, 3, 5},
		{"fragment", equal, v4(func(p []byte) { p[6] = 0x20 }), nil, 3, 5},
		{"reserved flag", equal, v4(func(p []byte) { p[6] |= 0x80 }), nil, 3, 5},
		{"any identification", equal, v4(func(p []byte) { p[4] ^= 0x55 }), nil, 5, 5},
		{"65,535 bytes", append(slices.Repeat([]int{1000}, 65), 507), nil, nil, 66, 65},
		{"65,536 bytes of IPv4", append(slices.Repeat([]int{1000}, 65), 508), nil, nil, 65, 65},
	} {
		for _, v6 := range []bool{false, true} {
			bufs := datagrams(v6, 7, tt.sizes...)
			start, want := 20, tt.want4
			if v6 {
				start, want = 40, tt.want6
			}
			p := bufs[min(3, len(bufs)-1)][writeOffset:]
			if tt.change != nil {
				tt.change(p, p[start:])
				repair(p)
			}
			if tt.damage != nil {
				tt.damage(p, p[start:])
			}
			if got := merged(bufs); got != want {
				t.Errorf("%s, IPv6 %v: %d packets, want %d", tt.name, v6, got, want)
			}
		}
	}
}

// TestPlan_flows checks which packets are written together when flows interleave.
func TestPlan_flows(t *testing.T) {
	tcp, udp := flowOf(false, 100, 100, 100, 100), datagrams(true, 7, 50, 50, 50, 50)
	other := datagrams(true, 8, 50, 50, 50)
	icmp := append(make([]byte, writeOffset), testutil.Echo(remoteV4, hostV4, 1, 1, []byte("ping"))...)
	ack := append(make([]byte, writeOffset), (&testutil.TCP{
		Src: netip.AddrPortFrom(remoteV4, 4321), Dst: netip.AddrPortFrom(hostV4, 80), Seq: 0xffff_f000 + 200, Ack: 77, Flags: testutil.ACK,
	}).Packet()...)
	for _, tt := range []struct {
		name     string
		bufs     [][]byte
		tcp, udp bool
		want     [][]int
	}{
		{"three flows", [][]byte{tcp[0], udp[0], other[0], tcp[1], udp[1], other[1], udp[2]}, true, true, [][]int{{0, 3}, {1, 4, 6}, {2, 5}}},
		{"empty slots", [][]byte{nil, tcp[0], make([]byte, writeOffset), udp[0], tcp[1], nil}, true, true, [][]int{{1, 4}, {3}}},
		{"no TCP", [][]byte{tcp[0], tcp[1], udp[0], udp[1]}, false, true, [][]int{{0}, {1}, {2, 3}}},
		{"no UDP", [][]byte{tcp[0], udp[0], tcp[1], udp[1]}, true, false, [][]int{{0, 2}, {1}, {3}}},
		{"an acknowledgement ends its flow's run", [][]byte{tcp[0], udp[0], tcp[1], ack, tcp[2], udp[1], tcp[3]}, true, true, [][]int{{0, 2}, {1, 5}, {3}, {4, 6}}},
		{"a gap begins a run", [][]byte{tcp[0], tcp[2], tcp[3], tcp[1]}, true, true, [][]int{{0}, {1, 2}, {3}}},
		{"what is no flow ends all", [][]byte{tcp[0], udp[0], icmp, tcp[1], udp[1], tcp[2]}, true, true, [][]int{{0}, {1}, {2}, {3, 5}, {4}}},
	} {
		if diff := cmp.Diff(tt.want, tunwrap.Plan(tt.bufs, writeOffset, tt.tcp, tt.udp)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	// As many flows as packets, and again: the table is not remembered.
	var many [][]byte
	for port := range tunwrap.MaxWrite {
		many = append(many, datagrams(false, uint16(port+1), 20)...)
	}
	if n := len(tunwrap.Plan(many, writeOffset, true, true)); n != tunwrap.MaxWrite {
		t.Errorf("%d runs of %d flows", n, tunwrap.MaxWrite)
	}
}
