// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Payloads of streams.
const (
	patternLen  = 1 << 16
	longestLoad = 1400
	streamBatch = 64
	// How far a payload that is not the next one is looked for.
	lookAhead = 1 << 16
	lookBack  = 1 << 12
)

// A pattern is random bytes, parts of which are the payloads.
type pattern []byte

func newPattern() pattern {
	p := make(pattern, patternLen+longestLoad)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p) // never fails
	return p
}

// A stream is packets of one flow in one direction, numbered in the order that they
// are sent; which number a payload has is told by its size and its place in the
// pattern.
type stream struct {
	name     string
	id       uint64
	shortest int    // payload
	total    uint64 // packets
	window   uint64 // packets under way at most; 0: no limit
	pattern  pattern
	send     func(bufs [][]byte) (int, error)

	sent, seen, lost, late atomic.Uint64 // lost: overtaken by a later one, and not come yet
	credit                 chan struct{}

	mu      sync.Mutex // of take; a flow is read by one reader only, unless something is wrong
	next    uint64
	missing map[uint64]struct{} // the lost ones, the last lookBack of them
}

// payload returns the payload of a number. It is not to be changed.
func (s *stream) payload(n uint64) []byte {
	x := (n + s.id<<48) * 0x9e3779b97f4a7c15
	x = (x ^ x>>29) * 0xbf58476d1ce4e5b9
	x ^= x >> 32
	at := x % patternLen
	size := uint64(s.shortest) + x>>16%uint64(longestLoad+1-s.shortest)
	return s.pattern[at : at+size]
}

// write sends the whole stream.
func (s *stream) write(ctx context.Context) error {
	bufs := make([][]byte, streamBatch)
	for next := uint64(0); next < s.total; {
		room := min(s.total-next, streamBatch)
		for s.window > 0 {
			under := next - s.seen.Load() - s.lost.Load()
			if under < s.window {
				room = min(room, s.window-under)
				break
			}
			select {
			case <-s.credit:
			case <-ctx.Done():
				return fmt.Errorf("%s: %d of %d sent: %w", s.name, next, s.total, ctx.Err())
			}
		}
		for i := range room {
			bufs[i] = s.payload(next + i)
		}
		n, err := s.send(bufs[:room])
		next += uint64(n)
		s.sent.Store(next)
		if err != nil {
			return fmt.Errorf("%s: after %d: %w", s.name, next, err)
		}
	}
	return nil
}

// take notes a payload that was received.
func (s *stream) take(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next >= s.total || !bytes.Equal(s.payload(s.next), data) {
		for n := range s.missing {
			if bytes.Equal(s.payload(n), data) {
				delete(s.missing, n)
				s.lost.Add(^uint64(0))
				s.late.Add(1)
				s.took()
				return nil
			}
		}
	}
	for ahead := range uint64(lookAhead) {
		if n := s.next + ahead; n < s.total && bytes.Equal(s.payload(n), data) {
			if ahead > 0 {
				s.skip(n)
			}
			s.next = n + 1
			s.took()
			return nil
		}
	}
	for back := uint64(1); back <= min(lookBack, s.next); back++ {
		if bytes.Equal(s.payload(s.next-back), data) {
			return fmt.Errorf("%s: number %d came twice, after %d", s.name, s.next-back, s.next-1)
		}
	}
	return fmt.Errorf("%s: %d bytes that are none of its packets, %d expected", s.name, len(data), s.next)
}

// took counts a packet.
func (s *stream) took() {
	s.seen.Add(1)
	select {
	case s.credit <- struct{}{}:
	default:
	}
}

// skip notes that the packets from next on, before n, have not come yet.
func (s *stream) skip(n uint64) {
	s.lost.Add(n - s.next)
	if s.missing == nil {
		s.missing = make(map[uint64]struct{})
	}
	for i := s.next; i < n; i++ {
		s.missing[i] = struct{}{}
	}
	for i := range s.missing {
		if i+lookBack < n {
			delete(s.missing, i)
		}
	}
}

// sinkEnd is how long sinks are read after all has arrived, for what comes twice.
const sinkEnd = 50 * time.Millisecond

// run sends all streams at the same time and reads them. It ends when arrived
// returns nil after everything was sent; what it says at the end of the time fails the
// test.
func run(t *testing.T, timeout time.Duration, streams []*stream, sinks []*sink, arrived func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), timeout, errors.New("too slow"))
	defer cancel()
	var readers, writers sync.WaitGroup
	problems := make(chan error, len(streams)+len(sinks))
	for _, k := range sinks {
		readers.Go(func() {
			if err := k.drink(); err != nil {
				problems <- err
				cancel()
			}
		})
	}
	for _, s := range streams {
		writers.Go(func() {
			if err := s.write(ctx); err != nil {
				problems <- err
				cancel()
			}
		})
	}
	writers.Wait()
	err := arrived()
	for ctx.Err() == nil && err != nil {
		time.Sleep(2 * time.Millisecond)
		err = arrived()
	}
	for _, k := range sinks {
		must(t, k.SetReadDeadline(time.Now().Add(sinkEnd)))
	}
	readers.Wait()
	for _, k := range sinks {
		must(t, k.SetReadDeadline(time.Time{}))
	}
	close(problems)
	for p := range problems {
		t.Error(p)
	}
	if err = arrived(); err != nil {
		t.Error(err)
	}
	for _, s := range streams {
		if n := s.late.Load(); n > 0 {
			t.Logf("%s: %d were overtaken", s.name, n)
		}
	}
}

// allSeen is an end of run where nothing may be lost.
func allSeen(streams []*stream) error {
	for _, s := range streams {
		if s.seen.Load() != s.total || s.lost.Load() != 0 {
			return fmt.Errorf("%s: %d sent, %d seen, %d missing before the last one", s.name, s.sent.Load(), s.seen.Load(), s.lost.Load())
		}
	}
	return nil
}
