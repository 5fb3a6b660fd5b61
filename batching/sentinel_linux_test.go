// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// packetsOf returns n packets of the given size and one of each further size.
func packetsOf(n, size int, more ...int) [][]byte {
	bufs := make([][]byte, n, n+len(more))
	for i := range bufs {
		bufs[i] = bytes.Repeat([]byte{byte(i)}, size)
	}
	for _, size := range more {
		bufs = append(bufs, bytes.Repeat([]byte{0xee}, size))
	}
	return bufs
}

func TestSentinelRuns(t *testing.T) {
	const most = batching.MaxPayload4
	for _, tt := range []struct {
		name              string
		bufs              [][]byte
		segments, maxByte int
		packets, bytes    int
		sentinel          bool
	}{
		{"one", packetsOf(1, 500), 64, most, 1, 500, false},
		{"equal, not worth it", packetsOf(15, 500), 64, most, 1, 500, false},
		{"equal, just worth it", packetsOf(16, 500), 64, most, 16, 8000, true},
		{"smaller tail", packetsOf(3, 500, 499), 64, most, 4, 1999, false},
		{"larger follows", packetsOf(20, 500, 501), 64, most, 20, 10_000, true},
		{"63 and the sentinel", packetsOf(63, 500), 64, most, 63, 31_500, true},
		{"64: the last goes into the next", packetsOf(64, 500), 64, most, 63, 31_500, true},
		{"the 64th is the smaller one", packetsOf(63, 500, 10), 64, most, 63, 31_500, true},
		{"bytes exact, no room for the sentinel", packetsOf(43, 1523, 18), 64, most, 43, 65_489, true},
		{"bytes exact with the sentinel", packetsOf(33, 1985), 64, 33*1985 + 1, 33, 33 * 1985, true},
		{"bytes one less", packetsOf(33, 1985), 64, 33 * 1985, 32, 32 * 1985, true},
		{"packets as long as the sentinel", packetsOf(40, 1), 64, most, 1, 1, false},
		{"tail as long as the sentinel", packetsOf(20, 2, 1), 64, most, 21, 41, false},
		{"no segments", packetsOf(40, 500), 1, most, 1, 500, false},
		{"two segments", packetsOf(40, 500), 2, most, 1, 500, false},
		{"empty", packetsOf(1, 0, 5), 64, most, 1, 0, false},
	} {
		packets, n, sentinel := batching.NextRunSentinel(tt.bufs, 0, tt.segments, tt.maxByte)
		if packets != tt.packets || n != tt.bytes || sentinel != tt.sentinel {
			t.Errorf("%s: got %d packets, %d bytes, sentinel %v, want %d, %d, %v",
				tt.name, packets, n, sentinel, tt.packets, tt.bytes, tt.sentinel)
		}
		if size := len(tt.bufs[0]); packets > 1 && n == packets*size && !sentinel {
			t.Errorf("%s: ends in a packet as long as the others", tt.name)
		}
	}
}

// TestSentinelOnTheWire proves what a receiver gets: every packet, whole and in
// order, and where a message would end in an equal one a packet of one byte more.
func TestSentinelOnTheWire(t *testing.T) {
	from := listen(t, "udp4", &batching.Options{Sentinel: batching.On})
	to := listen(t, "udp4", nil)
	dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
	bufs := slices.Concat(packetsOf(100, 600), packetsOf(3, 900), packetsOf(20, 300, 299))
	if n, err := from.WriteBatch(bufs, 0, dst, 0); n != len(bufs) || err != nil {
		t.Fatal(n, err)
	}
	// 63 and 37 with a sentinel each; 3 and a smaller one, 19 and a smaller one.
	tx := from.Stats().Tx
	if tx.Sentinels != 2 || tx.Messages != 4 || tx.Packets != uint64(len(bufs)) {
		t.Errorf("%d sentinels, %d messages, %d packets", tx.Sentinels, tx.Messages, tx.Packets)
	}
	slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
	sentinels := 0
	for next := 0; next < len(bufs) || sentinels < 2; {
		n, err := to.ReadBatch(slab, pkts)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pkts[:n] {
			got := slab[p.Offset:][:p.Size]
			if bytes.Equal(got, []byte{0x07}) {
				sentinels++
				continue
			}
			if next == len(bufs) || !bytes.Equal(got, bufs[next]) {
				t.Fatalf("packet %d is not what was sent", next)
			}
			next++
		}
	}
}

// TestProbeTails proves that this kernel is found to be sound, that a damaged,
// missing or cut packet is noticed, and that a host without a loopback interface is
// not suspected.
func TestProbeTails(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		if intact, known := batching.ProbeTails(network); !intact || !known {
			t.Errorf("%s: intact %v, known %v", network, intact, known)
		}
	}
	const size = batching.ProbeSize
	for _, tt := range []struct {
		name   string
		damage func([]byte) []byte
		want   bool
	}{
		{"intact", func(b []byte) []byte { return b }, true},
		{"damaged", func(b []byte) []byte { b[3*size-1] ^= 1; return b }, false},
		{"missing", func(b []byte) []byte { return b[:2*size] }, false},
		{"cut", func(b []byte) []byte { return b[:3*size-1] }, false},
	} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		message := packetsOf(1, 3*size)[0]
		for b := tt.damage(slices.Clone(message)); len(b) > 0; b = b[min(size, len(b)):] {
			if _, err := unix.Write(fds[0], b[:min(size, len(b))]); err != nil {
				t.Fatal(err)
			}
		}
		if got := batching.Arrives(fds[1], message); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		unix.Close(fds[0])
		unix.Close(fds[1])
	}
	inNS(t, func(lo netlink.Link) {
		if err := netlink.LinkSetDown(lo); err != nil {
			t.Fatal(err)
		}
		if intact, known := batching.ProbeTails("udp4"); known {
			t.Errorf("no loopback interface: intact %v, known %v", intact, known)
		}
	})
}
