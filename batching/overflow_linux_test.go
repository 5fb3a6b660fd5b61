// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"math"
	"net"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
)

// The drops of a socket are known before the next packet tells of them.
func TestOverflowNow(t *testing.T) {
	for _, c := range []struct {
		name string
		read uint64
		now  *batching.Memory
		want uint64
	}{
		{"not told", 7, nil, 7},
		{"none", 0, &batching.Memory{}, 0},
		{"the same", 7, &batching.Memory{Drops: 7}, 7},
		{"ahead", 7, &batching.Memory{Drops: 9}, 9},
		{"read meanwhile", 9, &batching.Memory{Drops: 7}, 9},
		{"wrapped", math.MaxUint32, &batching.Memory{Drops: 2}, math.MaxUint32 + 3},
		{"wrapped long ago", 5<<32 + 1, &batching.Memory{Drops: 4}, 5<<32 + 4},
		{"read meanwhile, wrapped", 1 << 32, &batching.Memory{Drops: math.MaxUint32}, 1 << 32},
	} {
		if got := batching.OverflowOf(c.read, c.now); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// What finds a full buffer is counted, to the packet, though nobody reads.
func TestOverflowExact(t *testing.T) {
	c := listen(t, "udp4", &batching.Options{ReceiveBuffer: 4096})
	from, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(c.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	const sent = 500
	for range sent {
		if _, err := from.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	s := c.Stats()
	if s.Memory == nil {
		t.Fatal("the kernel does not tell what the socket drops")
	}
	dropped := s.Rx.Overflow
	if dropped == 0 || dropped >= sent {
		t.Fatalf("%d of %d dropped, want some", dropped, sent)
	}
	// What is left is there, and tells the same.
	slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, 128)
	read := 0
	for uint64(read) < sent-dropped {
		n, err := c.ReadBatch(slab, pkts)
		if err != nil {
			t.Fatal(err)
		}
		read += n
	}
	if s = c.Stats(); s.Rx.Packets+s.Rx.Overflow != sent || s.Rx.Overflow != dropped {
		t.Errorf("%d packets and %d drops of %d, were %d drops", s.Rx.Packets, s.Rx.Overflow, sent, dropped)
	}
}
