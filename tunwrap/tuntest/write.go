// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tuntest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
)

// writeBatch is how many packets a test writes before the host receives them:
// few enough for a socket's default buffer.
const writeBatch = 32

// batch returns the packets first to first+n-1 behind offset bytes, in buffers
// that end in a guard beyond their length.
func (s *suite) batch(first, n, offset int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		b := s.packet(first+i, sizes(n)[i], offset)
		bufs[i] = append(b, bytes.Repeat([]byte{poison}, guard)...)[:len(b)]
	}
	return bufs
}

func (s *suite) write(t *testing.T, bufs [][]byte, offset, want int) {
	t.Helper()
	n, err := s.Device.Write(bufs, offset)
	if err != nil || n != want {
		t.Fatalf("Write of %d buffers returned %d, %v, want %d packets", len(bufs), n, err, want)
	}
	for _, b := range bufs {
		if len(b) > offset && !bytes.Equal(b[len(b):len(b)+guard], bytes.Repeat([]byte{poison}, guard)) {
			t.Fatal("Write changed bytes behind a packet")
		}
	}
}

func testWriteCount(t *testing.T, s *suite) {
	s.write(t, nil, s.Offset, 0)
	for i := range 4 {
		received := s.expect(i*writeBatch, writeBatch)
		s.write(t, s.batch(i*writeBatch, writeBatch, s.Offset), s.Offset, writeBatch)
		check(t, received)
	}
}

func testWriteOffset(t *testing.T, s *suite) {
	for i, offset := range []int{s.Offset, s.Offset + 8, 64, 200} {
		received := s.expect(i, 1)
		s.write(t, s.batch(i, 1, offset), offset, 1)
		check(t, received)
	}
}

func testWriteZeroLength(t *testing.T, s *suite) {
	empty := make([]byte, s.Offset)
	var bufs [][]byte
	for i, b := range s.batch(0, 4, s.Offset) {
		if i != 2 {
			bufs = append(bufs, empty)
		}
		bufs = append(bufs, b)
	}
	bufs = append(bufs, empty, empty)
	received := s.expect(0, 4)
	s.write(t, bufs, s.Offset, 4)
	check(t, received)
	s.write(t, [][]byte{empty}, s.Offset, 0)
}

// testWriteKeepsNothing checks that the buffers are the caller's again after
// Write.
func testWriteKeepsNothing(t *testing.T, s *suite) {
	var received <-chan error
	if s.Unbuffered {
		received = s.expect(0, writeBatch)
	}
	bufs := s.batch(0, writeBatch, s.Offset)
	s.write(t, bufs, s.Offset, writeBatch)
	for _, b := range bufs {
		for i := range b {
			b[i] = poison
		}
	}
	if !s.Unbuffered {
		received = s.expect(0, writeBatch)
	}
	check(t, received)
}

func testWriteTo(t *testing.T, s *suite) {
	write := tun.WriteToOf(s.Device)
	for flow := range 10 {
		received := s.expect(flow, 1)
		if n, err := write(flow, s.batch(flow, 1, s.Offset), s.Offset); n != 1 || err != nil {
			t.Fatalf("WriteTo flow %d returned %d, %v, want 1 packet", flow, n, err)
		}
		check(t, received)
	}
	// Concurrent writers: nothing is lost or mixed up.
	const writers = 8
	received := make(chan error, 1)
	go func() { received <- s.receiveAnyOrder(writers) }()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			if n, err := write(w, s.batch(w, 1, s.Offset), s.Offset); n != 1 || err != nil {
				t.Errorf("WriteTo flow %d returned %d, %v, want 1 packet", w, n, err)
			}
		})
	}
	wg.Wait()
	check(t, received)
}

// receiveAnyOrder returns an error unless the host receives the payloads 0 to
// n-1, each once.
func (s *suite) receiveAnyOrder(n int) error {
	seen := make(map[int]bool)
	for range n {
		b, err := s.Received()
		if err != nil {
			return err
		}
		i, err := number(b)
		if err != nil || i >= n || seen[i] {
			return fmt.Errorf("host received payload %d (%v), want 0 to %d once each", i, err, n-1)
		}
		seen[i] = true
	}
	return nil
}
