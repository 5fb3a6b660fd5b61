// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tuntest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
)

const (
	spacing = tun.ReadPacketSpacing
	slabLen = 2 * (1<<16 - 1) // wireguard-go's
	guard   = 256             // bytes before and behind a slab that must not change
	poison  = 0xa5
)

// A slab is a buffer for Read within guards.
type slab struct{ all []byte }

func newSlab(n int) *slab {
	return &slab{bytes.Repeat([]byte{poison}, n+2*guard)}
}

func (s *slab) bytes() []byte { return s.all[guard : len(s.all)-guard : len(s.all)-guard] }

func (s *slab) guarded() bool {
	whole := bytes.Repeat([]byte{poison}, guard)
	return bytes.Equal(s.all[:guard], whole) && bytes.Equal(s.all[len(s.all)-guard:], whole)
}

// readOnce is one Read of r, checked for what it says about the slab. It
// returns the packets in it.
func readOnce(r tun.Reader, s *slab, batch int) ([][]byte, error) {
	packets := make([]tun.ReadPacket, batch)
	n, err := r.Read(s.bytes(), packets)
	if err != nil {
		return nil, err
	}
	if n < 1 || n > len(packets) {
		return nil, fmt.Errorf("Read returned %d packets, want 1 to %d", n, len(packets))
	}
	out, end := make([][]byte, n), 0
	for i, p := range packets[:n] {
		if p.Size < 1 || p.Offset < end+spacing || p.Offset+p.Size > len(s.bytes())-spacing {
			return nil, fmt.Errorf("packet %d of %d is at %d..%d of %d, the one before ends at %d: want %d bytes around each",
				i, n, p.Offset, p.Offset+p.Size, len(s.bytes()), end, spacing)
		}
		end = p.Offset + p.Size
		out[i] = s.bytes()[p.Offset:end]
	}
	if !s.guarded() {
		return nil, errors.New("Read wrote outside of the slab")
	}
	return out, nil
}

// readQueue reads q until it is closed and reports the payloads. Each Read has a
// new slab of size bytes, and must leave the one before alone.
func (s *suite) readQueue(q tun.Reader, size int, got chan<- int) error {
	batch := s.Device.BatchSize()
	var last, before []byte
	next := 0
	for {
		slab := newSlab(size)
		packets, err := readOnce(q, slab, batch)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(last, before) {
			return errors.New("Read changed the slab of the call before")
		}
		for _, p := range packets {
			if !ours(p) {
				continue
			}
			i, err := number(udpPayload(p))
			if err != nil {
				return err
			}
			if i < next {
				return fmt.Errorf("read payload %d behind payload %d", i, next-1)
			}
			next = i + 1
			got <- i
		}
		last, before = slab.all, bytes.Clone(slab.all)
	}
}

// readAll has the host send n payloads, reads all queues as wireguard-go does,
// one goroutine for each, with slabs of size bytes, and fails the test unless
// each payload is read once. It closes the device.
func (s *suite) readAll(t *testing.T, n, size int) {
	t.Helper()
	got := make(chan int, 2*n) // never blocks a reader, even if all come twice
	failed := make(chan error, 1)
	var readers sync.WaitGroup
	for i, q := range tun.QueuesOf(s.Device) {
		readers.Go(func() {
			if err := s.readQueue(q, size, got); err != nil {
				select {
				case failed <- fmt.Errorf("queue %d: %w", i, err):
				default:
				}
			}
		})
	}
	sent := s.send(sizes(n)...)
	seen := make(map[int]bool)
	for len(seen) < n && !t.Failed() {
		select {
		case i := <-got:
			if i >= n || seen[i] {
				t.Errorf("payload %d was read twice or never sent", i)
			}
			seen[i] = true
		case err := <-failed:
			t.Error(err)
		}
	}
	s.Device.Close()
	readers.Wait()
	if !t.Failed() {
		check(t, sent)
	}
}

// sizes are payload lengths that make packets of up to 1280 bytes.
func sizes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = headerLen + i*97%(1280-48-headerLen+1)
	}
	return out
}

func testReadLayout(t *testing.T, s *suite) { s.readAll(t, 300, slabLen) }

// testReadInPieces reads with slabs that hold one packet.
func testReadInPieces(t *testing.T, s *suite) { s.readAll(t, 50, 1500+2*spacing) }
