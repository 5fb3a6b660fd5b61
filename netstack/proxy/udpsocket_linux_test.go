// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// socketPair returns two sockets of the host; a is connected to b, which is not
// connected.
func socketPair(t *testing.T, h *udpHost) (a, b *udpSocket) {
	t.Helper()
	b, err := h.listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	a, err = h.dial(t.Context(), b.local.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, b
}

// readAll reads n datagrams; calls is how many calls of the handler they took.
func readAll(t *testing.T, s *udpSocket, n int) (got []string, calls int, from netip.AddrPort) {
	t.Helper()
	s.udp.SetReadDeadline(time.Now().Add(testTimeout))
	for len(got) < n {
		bad, err := s.read(func(f netip.AddrPort, payloads [][]byte) {
			calls++
			from = f
			for _, p := range payloads {
				got = append(got, string(p))
			}
		})
		if err != nil || bad != 0 {
			t.Fatalf("after %d datagrams: %d bad, %v", len(got), bad, err)
		}
	}
	return got, calls, from
}

// TestUDPSocket: datagrams of all sizes, with and without segments, a prefix and a
// connection, arrive whole and in order.
func TestUDPSocket(t *testing.T) {
	testutil.LeakCheck(t)
	for _, plain := range []bool{false, true} {
		h := newUDPHost()
		if plain {
			h.gso, h.gro = false, false
		}
		a, b := socketPair(t, h)
		for _, prefix := range []string{"", "prefix"} {
			var payloads [][]byte
			var want []string
			for i, size := range slices.Concat(slices.Repeat([]int{1000}, 40), []int{999, 1000, 1, 0, 0, 5, 5, 5, 3, 9000, 9000, 100}) {
				payloads = append(payloads, payload(1, i, size))
				want = append(want, prefix+string(payloads[i]))
			}
			if n, err := a.send([]byte(prefix), payloads, netip.AddrPort{}); n != len(payloads) || err != nil {
				t.Fatalf("sent %d, %v", n, err)
			}
			got, _, from := readAll(t, b, len(want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("plain %t, prefix %q (-want +got):\n%s", plain, prefix, diff)
			}
			if from != a.local {
				t.Errorf("from %v, want %v", from, a.local)
			}
			if n, err := b.send([]byte(prefix), payloads[:3], from); n != 3 || err != nil {
				t.Fatalf("sent %d back, %v", n, err)
			}
			if got, _, _ = readAll(t, a, 3); cmp.Diff(want[:3], got) != "" {
				t.Errorf("plain %t, prefix %q: back (-want +got):\n%s", plain, prefix, cmp.Diff(want[:3], got))
			}
		}
	}
}

// TestUDPSocketSegments: where the kernel can, a batch is one message on the way
// out and in.
func TestUDPSocketSegments(t *testing.T) {
	h := newUDPHost()
	if !h.gso || !h.gro {
		testutil.Missing(t, "UDP_SEGMENT and UDP_GRO")
	}
	a, b := socketPair(t, h)
	batch := newUDPBatch()
	payloads := make([][]byte, 50)
	for i := range payloads {
		payloads[i] = payload(1, i, 1200)
	}
	if n := batch.prepare(nil, payloads, true); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	if n, err := a.send(nil, payloads, netip.AddrPort{}); n != len(payloads) || err != nil {
		t.Fatalf("sent %d, %v", n, err)
	}
	var sizes []int
	if _, err := b.read(func(_ netip.AddrPort, p [][]byte) { sizes = append(sizes, len(p)) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{50}, sizes); diff != "" {
		t.Errorf("read together (-want +got):\n%s", diff)
	}
	if a.single.Load() {
		t.Error("segments were given up")
	}
}

func TestSegments(t *testing.T) {
	for _, tc := range []struct {
		prefix int
		sizes  string
		want   int
	}{
		{0, "100", 1},
		{0, "100 100 100", 3},
		{0, "100 100 50 50", 3},
		{0, "100 101", 1},
		{0, "0 0", 1},
		{0, "100 0", 1},
		{6, "0 0 0", 3},
		{6, "5 0 5", 2},
		{0, strings.Repeat("1000 ", 100), 63}, // kernels before 6.9 count headers
		{0, strings.Repeat("1400 ", 100), 46}, // 64 KiB
		{0, "1 1", 2},
		{0, "40000 40000", 1},
	} {
		var payloads [][]byte
		for _, s := range strings.Fields(tc.sizes) {
			var n int
			fmt.Sscan(s, &n)
			payloads = append(payloads, make([]byte, n))
		}
		if got := segments(tc.prefix, payloads); got != tc.want {
			t.Errorf("prefix %d, sizes %.30s: got %d, want %d", tc.prefix, tc.sizes, got, tc.want)
		}
	}
}

// TestUDPSocketMTU: a path that does not take the segments gets single datagrams.
func TestUDPSocketMTU(t *testing.T) {
	h := newUDPHost()
	a, b := socketPair(t, h)
	var payloads [][]byte
	for i := range 5 {
		payloads = append(payloads, payload(1, i, 60_000)) // too long for a segment, even on loopback
	}
	payloads = append(payloads, make([]byte, 65_508), payload(1, 6, 10)) // too long for a datagram
	n, err := a.send(nil, payloads, netip.AddrPort{})
	if n != 6 || err == nil {
		t.Errorf("sent %d, %v, want 6 and an error", n, err)
	}
	got, _, _ := readAll(t, b, 1)
	if len(got[0]) != 60_000 {
		t.Errorf("got %d bytes", len(got[0]))
	}
}

// TestUDPSocketRefused: a refusal is told, and the socket goes on.
func TestUDPSocketRefused(t *testing.T) {
	testutil.LeakCheck(t)
	h := newUDPHost()
	a, b := socketPair(t, h)
	to := b.local
	b.Close()
	one := [][]byte{[]byte("anybody?")}
	a.send(nil, one, netip.AddrPort{})
	if _, err := a.read(func(netip.AddrPort, [][]byte) {}); !isRefused(err) {
		t.Errorf("read: %v", err)
	}
	a.send(nil, one, netip.AddrPort{})
	n, err := a.send(nil, one, netip.AddrPort{})
	if n != 1 || !isRefused(err) {
		t.Errorf("sent %d, %v", n, err)
	}
	again, err := h.listen(to)
	if err != nil {
		testutil.Missing(t, "the port of before: somebody else has it")
	}
	defer again.Close()
	for n, err = a.send(nil, one, netip.AddrPort{}); isRefused(err); n, err = a.send(nil, one, netip.AddrPort{}) {
	}
	if n != 1 || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
	if got, _, _ := readAll(t, again, 1); got[0] != "anybody?" {
		t.Errorf("got %q", got)
	}
}

// TestUDPSocketIdle: a reader that waits holds no memory, and more readers than
// slabs take turns.
func TestUDPSocketIdle(t *testing.T) {
	testutil.LeakCheck(t)
	h := newUDPHost()
	h.slabs.init(2)
	const readers = 8
	var wg sync.WaitGroup
	var senders, receivers []*udpSocket
	var total atomic.Int64
	for range readers {
		a, b := socketPair(t, h)
		senders, receivers = append(senders, a), append(receivers, b)
		wg.Go(func() {
			for {
				_, err := b.read(func(_ netip.AddrPort, p [][]byte) {
					time.Sleep(time.Millisecond) // a busy tunnel
					total.Add(int64(len(p)))
				})
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("read: %v", err)
					}
					return
				}
			}
		})
	}
	const rounds = 10
	for range rounds {
		for _, a := range senders {
			a.send(nil, [][]byte{{1}, {2}, {3}}, netip.AddrPort{})
		}
	}
	testutil.Eventually(t, testTimeout, "everything is read and all slabs are back", func() error {
		if n, lent := total.Load(), len(h.slabs.tokens); n != 3*rounds*readers || lent != 0 {
			return fmt.Errorf("%d datagrams read, %d slabs lent", n, lent)
		}
		return nil
	})
	for _, b := range receivers {
		b.wake()
	}
	wg.Wait()
}

// TestUDPSocketNoAllocs: a batch out and in.
func TestUDPSocketNoAllocs(t *testing.T) {
	h := newUDPHost()
	a, b := socketPair(t, h)
	payloads := make([][]byte, 20)
	for i := range payloads {
		payloads[i] = payload(1, i, 1200)
	}
	got := 0
	handle := func(_ netip.AddrPort, p [][]byte) { got += len(p) }
	header := []byte("header")
	once := func() {
		a.send(header, payloads, netip.AddrPort{})
		for got = 0; got < len(payloads); {
			if _, err := b.read(handle); err != nil {
				t.Fatal(err)
			}
		}
	}
	once()
	if udpRace {
		once()
		return // pools drop at random, and the rest was seen above
	}
	if n := testing.AllocsPerRun(100, once); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
