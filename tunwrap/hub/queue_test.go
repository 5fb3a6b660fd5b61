// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
)

// numbered is a packet with a number in it.
func numbered(src, dst netip.Addr, n uint32, payload int) []byte {
	b := make([]byte, max(4, payload))
	binary.BigEndian.PutUint32(b, n)
	return testutil.UDP(netip.AddrPortFrom(src, 1000), netip.AddrPortFrom(dst, 2000), b)
}

func numberOf(pkt []byte) uint32 { return binary.BigEndian.Uint32(pkt[28:]) }

// One peer's flood takes neither the turn nor the room of another.
func TestFairness(t *testing.T) {
	const budget = 4 << 20
	l := newLab(t, &hub.Options{Forwarding: hub.On, MaxBytes: budget})
	flood := make([][]byte, 128)
	for i := range flood {
		flood[i] = numbered(aliceAddr, bobAddr, uint32(i), 1300)
	}
	sent, taken := 0, 0
	for range 100 {
		taken += l.write(flood...)
		sent += len(flood)
	}
	s := l.Stats()
	if taken == sent || s.Dropped.Full != uint64(sent-taken) {
		t.Fatalf("%d of %d taken, %d dropped because the lane was full", taken, sent, s.Dropped.Full)
	}
	if s.Held > budget || s.Held < budget/4 {
		t.Errorf("%d bytes held of %d", s.Held, budget)
	}
	quiet := [][]byte{numbered(bobAddr, aliceAddr, 1, 100), numbered(bobAddr, aliceAddr, 2, 100)}
	if n := l.write(quiet...); n != len(quiet) {
		t.Fatalf("%d packets of the quiet peer found room", n)
	}
	// They come with the second turn at the latest.
	got := 0
	for range 2 {
		for _, p := range l.cut() {
			if p[15] == 3 {
				got++
			}
		}
	}
	if got != len(quiet) {
		t.Errorf("%d packets of the quiet peer came in two turns", got)
	}
	// And all that was taken comes.
	total := 0
	for l.waiting() > 0 {
		total += len(l.cut())
	}
	if held := l.Stats().Held; held != 0 {
		t.Errorf("%d bytes are held, nothing waits", held)
	}
	if total == 0 {
		t.Error("nothing was left")
	}
}

// What does not fit a small slab or few descriptors comes with the next reads.
func TestSmallReads(t *testing.T) {
	for _, test := range []struct {
		name              string
		slab, descriptors int
	}{
		{"one descriptor", 131070, 1},
		{"three descriptors", 131070, 3},
		{"room for one", 1500 + 128, 128},
		{"room for two and a half", 64 + 2*1500 + 3*64 + 700, 128},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, &hub.Options{Forwarding: hub.On})
			var pkts [][]byte
			for i := range 100 {
				pkts = append(pkts, numbered(aliceAddr, bobAddr, uint32(i), 4+i*13))
			}
			if n := l.write(pkts...); n != len(pkts) {
				t.Fatalf("%d packets taken", n)
			}
			queues := l.Queues()
			slab, packets := make([]byte, test.slab), make([]tun.ReadPacket, test.descriptors)
			var got [][]byte
			for len(got) < len(pkts) {
				n, err := queues[len(queues)-1].Read(slab, packets)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range packets[:n] {
					got = append(got, append([]byte(nil), slab[p.Offset:p.Offset+p.Size]...))
				}
			}
			for i := range pkts {
				pkts[i] = less(pkts[i])
			}
			same(t, "all reads", got, pkts...)
			if held := l.Stats().Held; held != 0 {
				t.Errorf("%d bytes are held", held)
			}
		})
	}
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	l.write(numbered(aliceAddr, bobAddr, 1, 1000), numbered(aliceAddr, bobAddr, 2, 10))
	queues := l.Queues()
	if _, err := queues[len(queues)-1].Read(make([]byte, 500), make([]tun.ReadPacket, 1)); !errors.Is(err, tun.ErrTooManySegments) {
		t.Errorf("a slab that is too small: %v", err)
	}
	l.write(numbered(aliceAddr, bobAddr, 3, 10)) // reading goes on
	if got := l.cut(); len(got) == 0 || numberOf(got[len(got)-1]) != 3 {
		t.Errorf("after that: %d packets", len(got))
	}
}

// Many peers write while one reads: every packet that was taken comes once, in the
// order of its flow.
func TestOrderUnderLoad(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On, MaxBytes: 1 << 20})
	const each = 20000
	flows := [][2]netip.Addr{{aliceAddr, bobAddr}, {bobAddr, aliceAddr}, {aliceAddr, carolAddr}, {carolAddr, aliceAddr}, {bobAddr, carolAddr}}
	taken := make([]int, len(flows))
	var writers sync.WaitGroup
	for i, f := range flows {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			for at := 0; at < each; {
				var batch [][]byte
				for range 1 + rng.IntN(128) {
					batch = append(batch, append(make([]byte, offset), numbered(f[0], f[1], uint32(at), rng.IntN(1300))...))
					at++
				}
				n, err := l.WriteTo(i, batch, offset)
				if err != nil {
					t.Error(err)
				}
				taken[i] += n
				runtime.Gosched()
			}
		})
	}
	got := make(map[[8]byte]int)
	next := make(map[[8]byte]uint32)
	read := make(chan error)
	go func() {
		slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 128)
		for {
			n, err := l.queue.Read(slab, packets)
			if err != nil {
				read <- err
				return
			}
			for _, p := range packets[:n] {
				pkt := slab[p.Offset : p.Offset+p.Size]
				key := [8]byte(pkt[12:20])
				if n := numberOf(pkt); n < next[key] {
					t.Errorf("packet %d of %v after %d", n, key, next[key]-1)
				} else {
					next[key] = n + 1
				}
				got[key]++
			}
		}
	}()
	writers.Wait()
	testutil.Eventually(t, 30*time.Second, "all is read", func() error {
		if n := l.waiting(); n > 0 {
			return fmt.Errorf("%d packets wait", n)
		}
		return nil
	})
	l.Close()
	if err := <-read; !errors.Is(err, os.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	for i, f := range flows {
		key := [8]byte(append(f[0].AsSlice(), f[1].AsSlice()...))
		if got[key] != taken[i] || taken[i] == 0 {
			t.Errorf("%v to %v: %d packets came of %d taken", f[0], f[1], got[key], taken[i])
		}
	}
}

// A reader that waits gets what comes first straight into its slab, and what does not
// fit there with its next read.
func TestWaitingReader(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 3)
	got := make(chan []uint32)
	go func() {
		defer close(got)
		for {
			n, err := l.queue.Read(slab, packets)
			if err != nil {
				return
			}
			var numbers []uint32
			for _, p := range packets[:n] {
				numbers = append(numbers, numberOf(slab[p.Offset:p.Offset+p.Size]))
			}
			got <- numbers
		}
	}()
	for round := range 100 {
		if round%2 == 0 {
			time.Sleep(time.Millisecond) // the reader waits by now, as a rule
		}
		n := l.write(numbered(aliceAddr, bobAddr, 1, 9), numbered(aliceAddr, carolAddr, 2, 9), numbered(aliceAddr, bobAddr, 3, 9),
			numbered(aliceAddr, bobAddr, 4, 9), numbered(bobAddr, aliceAddr, 5, 9))
		if n != 5 {
			t.Fatalf("%d packets taken", n)
		}
		seen := make(map[uint32]bool)
		last := uint32(0) // to bob
		for len(seen) < 5 {
			for _, i := range <-got {
				if seen[i] || i != 2 && i != 5 && i < last {
					t.Fatalf("round %d: packet %d after %d", round, i, last)
				}
				if seen[i] = true; i != 2 && i != 5 {
					last = i
				}
			}
		}
	}
	l.Close()
	for range got {
	}
}
