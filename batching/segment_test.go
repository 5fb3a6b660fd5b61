// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching"
)

// sized returns packets of the given sizes behind from bytes.
func sized(from int, sizes ...int) [][]byte {
	bufs := make([][]byte, len(sizes))
	for i, n := range sizes {
		bufs[i] = make([]byte, from+n)
	}
	return bufs
}

// runs returns how many packets are in each run of bufs.
func runs(bufs [][]byte, from, maxPackets, maxBytes, headers int) (out []int) {
	for len(bufs) > 0 {
		n, _, _ := batching.NextRun(bufs, from, maxPackets, maxBytes, headers)
		out = append(out, n)
		bufs = bufs[n:]
	}
	return out
}

func TestNextRun(t *testing.T) {
	const max4 = batching.MaxPayload4
	repeat := func(size, n int) []int { return slices.Repeat([]int{size}, n) }
	for _, tc := range []struct {
		name       string
		sizes      []int
		maxPackets int // 0: MaxSegments
		maxBytes   int // 0: MaxPayload4
		headers    int
		want       []int
	}{
		{name: "one", sizes: []int{1}, want: []int{1}},
		{name: "two equal", sizes: []int{5, 5}, want: []int{2}},
		{name: "smaller second", sizes: []int{5, 4}, want: []int{2}},
		{name: "smaller second ends the run", sizes: []int{5, 4, 4}, want: []int{2, 1}},
		{name: "equal, smaller, equal", sizes: []int{5, 4, 5}, want: []int{2, 1}},
		{name: "larger second", sizes: []int{4, 5}, want: []int{1, 1}},
		{name: "larger third", sizes: []int{4, 4, 5, 5}, want: []int{2, 2}},
		{name: "descending", sizes: []int{9, 8, 7, 6, 5}, want: []int{2, 2, 1}},
		{name: "one-byte tail", sizes: []int{5, 5, 1}, want: []int{3}},

		{name: "empty alone", sizes: []int{0}, want: []int{1}},
		{name: "empties are not merged", sizes: []int{0, 0, 0}, want: []int{1, 1, 1}},
		{name: "empty does not end a run within", sizes: []int{5, 5, 0, 5}, want: []int{2, 1, 1}},

		{name: "64 segments", sizes: repeat(100, 64), want: []int{64}},
		{name: "65 segments", sizes: repeat(100, 65), want: []int{64, 1}},
		{name: "128 segments", sizes: repeat(100, 128), want: []int{64, 64}},
		{name: "63 and a shorter one", sizes: append(repeat(100, 63), 99), want: []int{64}},
		{name: "64 and a shorter one", sizes: append(repeat(100, 64), 99), want: []int{64, 1}},

		{name: "payload exactly full", sizes: []int{32754, 32753}, want: []int{2}}, // 65,507
		{name: "payload one over", sizes: []int{32754, 32754}, want: []int{1, 1}},
		{name: "one packet exactly full", sizes: []int{max4}, want: []int{1}},
		{name: "one packet too long is alone", sizes: []int{max4 + 1, 1}, want: []int{1, 1}},
		{name: "full packet takes no tail", sizes: []int{max4, 1}, want: []int{1, 1}},
		{name: "v6 payload exactly full", sizes: []int{32764, 32763}, maxBytes: batching.MaxPayload6, want: []int{2}},
		{name: "v6 payload one over", sizes: []int{32764, 32764}, maxBytes: batching.MaxPayload6, want: []int{1, 1}},
		{name: "bulk", sizes: repeat(1452, 128), want: []int{45, 45, 38}},

		{name: "not segmented", sizes: []int{5, 5, 5}, maxPackets: 1, want: []int{1, 1, 1}},

		{name: "headers count: 64 full", sizes: repeat(100, 64), headers: 28, want: []int{63, 1}},
		{name: "headers count: tail fits", sizes: append(repeat(100, 63), 72), headers: 28, want: []int{64}},
		{name: "headers count: tail does not", sizes: append(repeat(100, 63), 73), headers: 28, want: []int{63, 1}},
		{name: "headers count: tiny", sizes: repeat(10, 64), headers: 28, want: []int{61, 3}},
		{name: "headers count: one byte", sizes: repeat(1, 40), headers: 28, want: []int{36, 4}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.maxPackets == 0 {
				tc.maxPackets = batching.MaxSegments
			}
			if tc.maxBytes == 0 {
				tc.maxBytes = max4
			}
			for _, from := range []int{0, 8} {
				got := runs(sized(from, tc.sizes...), from, tc.maxPackets, tc.maxBytes, tc.headers)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("runs at offset %d (-want +got):\n%s", from, diff)
				}
			}
		})
	}
}

// FuzzRuns cuts packets into runs, lays each run out as one message, splits the
// message as the receiving side does, and wants the same packets back.
func FuzzRuns(f *testing.F) {
	add := func(from int, sizes ...uint16) {
		var b []byte
		for _, s := range sizes {
			b = binary.BigEndian.AppendUint16(b, s)
		}
		f.Add(b, from, 64, batching.MaxPayload4, 0)
	}
	add(8, 1452, 1452, 1452, 100, 1452)
	add(0, slices.Repeat([]uint16{148}, 128)...)
	add(0, 0, 5, 0, 0, 65507, 1)
	f.Add([]byte("abababab"), 3, 7, 60_000, 28)
	f.Fuzz(func(t *testing.T, sizes []byte, from, maxPackets, maxBytes, headers int) {
		from, maxPackets = abs(from)%32, abs(maxPackets)%64+1
		maxBytes, headers = abs(maxBytes)%65528, abs(headers)%49
		var bufs [][]byte
		for i := 0; i+1 < len(sizes) && len(bufs) < 130; i += 2 {
			buf := bytes.Repeat([]byte{byte(i)}, from+int(binary.BigEndian.Uint16(sizes[i:])))
			copy(buf, make([]byte, from))
			bufs = append(bufs, buf)
		}
		next := 0
		for next < len(bufs) {
			rest := bufs[next:]
			n, total, size := batching.NextRun(rest, from, maxPackets, maxBytes, headers)
			if n < 1 || n > min(len(rest), maxPackets) {
				t.Fatalf("run of %d packets, limit %d, %d left", n, maxPackets, len(rest))
			}
			var message []byte
			for _, b := range rest[:n] {
				message = append(message, b[from:]...)
			}
			if len(message) != total || size != len(rest[0])-from {
				t.Fatalf("run of %d bytes, size %d: got %d and %d", len(message), len(rest[0])-from, total, size)
			}
			if n > 1 && (total > maxBytes || headers > 0 && total+headers > 64*size) {
				t.Fatalf("run of %d packets and %d bytes is over the limits", n, total)
			}
			// Split as the kernel does.
			gro := 0
			if n > 1 {
				gro = size
			}
			for _, want := range rest[:n] {
				s, ok := batching.SegmentSize(len(message), gro)
				if !ok {
					t.Fatalf("segment size %d of %d bytes refused", gro, len(message))
				}
				if !bytes.Equal(message[:s], want[from:]) {
					t.Fatalf("packet %d differs", next)
				}
				message = message[s:]
				next++
			}
			if len(message) != 0 {
				t.Fatalf("%d bytes left over", len(message))
			}
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
