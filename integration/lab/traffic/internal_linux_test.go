// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// TestInnerPacket proves that a packet is recognised as a router forwards it,
// and no other.
func TestInnerPacket(t *testing.T) {
	a, b := netip.MustParseAddr("10.88.1.1"), netip.MustParseAddr("10.88.1.2")
	for _, size := range []int{8, 9, 99, 200, 1392} {
		p, q := newInnerPacket(a, b, 1234, size), newInnerPacket(a, b, 1234, size)
		for _, n := range []uint64{0, 1, 0xffff, 1 << 40, 1<<64 - 1} {
			sent := bytes.Clone(p.number(n))
			if len(sent)%innerPadding != 0 || len(sent) < innerHeaders+size {
				t.Fatalf("%d bytes for a payload of %d", len(sent), size)
			}
			// A receiver checks that the sums over what they cover are 0xffff.
			pseudo := sum16(sum16(0, sent[12:20]), []byte{0, udpProtocol, sent[24], sent[25]})
			if ip, udp := fold(sum16(0, sent[:ipHeader])), fold(sum16(pseudo, sent[ipHeader:innerHeaders+size])); ip != 0xffff || udp != 0xffff {
				t.Errorf("size %d number %d: sums %04x and %04x", size, n, ip, udp)
			}
			if got, ok := q.same(sent); !ok || got != n {
				t.Errorf("size %d number %d: got %d, %t", size, n, got, ok)
			}
			// One hop: TTL one less, the sum one of its high byte more.
			hop := bytes.Clone(sent)
			hop[8]--
			sum := uint32(hop[10])<<8 + uint32(hop[11]) + 0x100
			hop[10], hop[11] = byte(fold(sum)>>8), byte(fold(sum))
			if got, ok := q.same(hop[:innerHeaders+size]); !ok || got != n {
				t.Errorf("size %d number %d after a hop: got %d, %t", size, n, got, ok)
			}
		}
		sent := p.number(7)
		for i := range innerHeaders + size {
			wrong := bytes.Clone(sent)
			wrong[i] ^= 4
			if n, ok := q.same(wrong); ok {
				t.Errorf("size %d: wrong byte %d goes unnoticed, number %d", size, i, n)
			}
		}
		if _, ok := q.same(sent[:innerHeaders+size-1]); ok {
			t.Error("a short packet goes unnoticed")
		}
	}
}

// TestCounter counts arrival orders of two flows: even and odd numbers.
func TestCounter(t *testing.T) {
	for _, test := range []struct {
		name                            string
		arrived                         []uint64
		received, duplicated, reordered int64
	}{
		{"in order", []uint64{100, 101, 102, 103}, 4, 0, 0},
		{"one flow ahead of the other", []uint64{100, 102, 104, 101, 103}, 5, 0, 0},
		{"one late in its flow", []uint64{102, 101, 100, 103}, 4, 0, 1},
		{"two late", []uint64{104, 100, 102}, 3, 0, 2},
		{"twice", []uint64{100, 100, 101, 100}, 2, 2, 0},
		{"of other trials", []uint64{99, 108, 1 << 63, 107}, 1, 0, 0},
	} {
		c := newCounter(2, 100, 8)
		for _, n := range test.arrived {
			c.account(n)
		}
		if c.received != test.received || c.duplicated != test.duplicated || c.reordered != test.reordered {
			t.Errorf("%s: received %d, duplicated %d, reordered %d", test.name, c.received, c.duplicated, c.reordered)
		}
	}
	c := newCounter(1, 0, 8)
	c.packet(make([]byte, 9), 10)
	if c.corrupt != 1 || c.received != 0 {
		t.Errorf("a packet of another size: %+v", c)
	}
}

// TestSearch searches on made-up paths.
func TestSearch(t *testing.T) {
	const d = time.Second
	path := func(capacity, pace int) func(int, time.Duration) (Trial, error) {
		return func(rate int, _ time.Duration) (Trial, error) {
			r := Trial{Rate: rate, Sent: int64(rate), Received: int64(min(rate, capacity, pace)), Took: d, PaceKept: rate <= pace}
			if !r.PaceKept {
				r.Took = d * time.Duration(rate) / time.Duration(pace)
			}
			return r, nil
		}
	}
	for _, test := range []struct {
		capacity, pace int
		limited        bool
	}{{77_000, 1 << 30, false}, {5_000, 1 << 30, false}, {500_000, 90_000, true}} {
		best, limited, err := Search(path(test.capacity, test.pace), 20_000, d, 0.01, nil)
		most := min(test.capacity, test.pace)
		if err != nil || limited != test.limited || best.Rate > most*102/100 || best.Rate < most*96/100 {
			t.Errorf("%+v: %d, limited %t, %v", test, best.Rate, limited, err)
		}
	}
	if best, _, err := Search(path(10, 1<<30), 20_000, d, 0.01, nil); err == nil {
		t.Errorf("a path that carries next to nothing: %s", best)
	}
	broken := errors.New("broken")
	if _, _, err := Search(func(int, time.Duration) (Trial, error) { return Trial{}, broken }, 1000, d, 0.01, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	// A late sender that loses nothing has shown what the path carries; one that
	// loses is tried again.
	rates := []int{}
	late := func(rate int, _ time.Duration) (Trial, error) {
		rates = append(rates, rate)
		r := Trial{Rate: rate, Sent: 100, Received: 100, Took: d}
		if rate > 1000 || len(rates) == 1 {
			r.Received = 50
		}
		return r, nil
	}
	best, limited, err := Search(late, 1000, d, 0.01, nil)
	if err != nil || best.Rate != 1000 || !limited || !slices.Equal(rates[:3], []int{1000, 1000, 2000}) {
		t.Errorf("%d, limited %t, %v, tried %v", best.Rate, limited, err, rates)
	}
}

// TestSessionNoAllocs proves that sealing and opening cost no garbage, which is
// not collected while measuring.
func TestSessionNoAllocs(t *testing.T) {
	s := testSession(t)
	p := newInnerPacket(netip.MustParseAddr("10.88.1.1"), netip.MustParseAddr("10.88.1.2"), 1, 200)
	buf := make([]byte, 0, 2048)
	n := uint64(0)
	if allocs := testing.AllocsPerRun(100, func() {
		msg := s.seal(buf, p.number(n))
		packet, ok := s.open(msg)
		if !ok {
			t.Fatal("not opened")
		}
		if got, ok := p.same(packet); !ok || got != n {
			t.Fatal("another packet")
		}
		n++
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	msg := s.seal(buf, p.number(n))
	for _, i := range []int{0, 4, 8, transportHeader, len(msg) - 1} {
		wrong := bytes.Clone(msg)
		wrong[i] ^= 1
		if _, ok := s.open(wrong); ok {
			t.Errorf("wrong byte %d goes unnoticed", i)
		}
	}
	if _, ok := s.open(msg[:31]); ok {
		t.Error("a short message is opened")
	}
}

// testSession returns a session with itself.
func testSession(t *testing.T) *session {
	t.Helper()
	s := &session{local: 9, remote: 9}
	key := lab.NewKey()
	var err error
	if s.sealer, err = newAEAD(key[:]); err != nil {
		t.Fatal(err)
	}
	s.opener = s.sealer
	return s
}

// TestResponse feeds a handshake what is no response to it.
func TestResponse(t *testing.T) {
	remote := lab.NewKey().Public()
	h, msg, err := newInitiation(lab.NewKey(), remote, 7, time.Now())
	if err != nil || len(msg) != initiationSize {
		t.Fatalf("%d bytes, %v", len(msg), err)
	}
	response := make([]byte, responseSize)
	response[0], response[8] = 2, 7
	key := lab.NewKey().Public()
	copy(response[12:], key[:])
	for name, msg := range map[string][]byte{
		"nothing":           nil,
		"an initiation":     msg,
		"another's":         append(slices.Clone(response[:8]), make([]byte, responseSize-8)...),
		"of someone else":   response,
		"of no key":         append(slices.Clone(response[:12]), make([]byte, responseSize-12)...),
		"a byte too little": response[:responseSize-1],
	} {
		try := *h
		if s, err := try.finish(msg); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestParseIperf3(t *testing.T) {
	r, err := ParseIperf3(lab.Result{Stdout: `{"end": {"sum_sent": {"retransmits": 3}, "sum_received": {"bits_per_second": 8e9, "bytes": 1000}}}`})
	if want := (Iperf3Result{8e9, 1000, 3}); err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []lab.Result{{}, {Stdout: `{"error": "no route"}`}, {Stdout: `{}`, Code: 1}} {
		if r, err := ParseIperf3(bad); err == nil {
			t.Errorf("%+v: %+v", bad, r)
		}
	}
}
