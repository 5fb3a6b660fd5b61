// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"maps"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// When no frame is free, WriteBatch waits, and goes on with those that become so.
func TestWriteWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newActiveRig(t, 10)
		r.sock.keep = true
		time.AfterFunc(fullTime-time.Millisecond, func() { r.sock.complete(10) })
		time.AfterFunc(2*fullTime-3*time.Millisecond, func() { r.sock.complete(5) })
		want := numbered(25)
		before := time.Now()
		if n, err := r.c.WriteBatch(bufsOf(0, want), 0, dest(far4), 0); n != 25 || err != nil {
			t.Fatal(n, err)
		}
		if took := time.Since(before); took != 2*fullTime-3*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if got := payloadsOf(t, r.sock.sent, far4); !slices.Equal(got, want) || r.v4.calls != 0 {
			t.Errorf("sent %q, %d calls of the kernel", got, r.v4.calls)
		}
		if st := r.c.Stats().Tx; st.Waits != 2 || st.Packets != 25 || st.Calls != 3 {
			t.Errorf("counted %+v", st)
		}
	})
}

// When none becomes free in time, the rest goes through the kernel.
func TestWriteFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newActiveRig(t, 10)
		r.sock.keep = true
		want := numbered(25)
		before := time.Now()
		if n, err := r.c.WriteBatch(bufsOf(0, want), 0, dest(far4), 0); n != 25 || err != nil {
			t.Fatal(n, err)
		}
		if took := time.Since(before); took != fullTime {
			t.Errorf("took %v, want %v", took, fullTime)
		}
		if got := payloadsOf(t, r.sock.sent, far4); !slices.Equal(got, want[:10]) || !slices.Equal(r.v4.took, want[10:]) {
			t.Errorf("%d past the kernel, then %d", len(got), len(r.v4.took))
		}
		if got := kernelCounts(r.c); !maps.Equal(got, map[string]uint64{"full": 15}) {
			t.Errorf("counted %v", got)
		}
	})
}

// Who waits for a frame when the lane leaves does so no longer.
func TestWriteRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newActiveRig(t, 10)
		r.sock.keep = true
		time.AfterFunc(time.Millisecond, func() { _ = r.sock.Close() })
		want := numbered(25)
		before := time.Now()
		if n, err := r.c.WriteBatch(bufsOf(0, want), 0, dest(far4), 0); n != 25 || err != nil {
			t.Fatal(n, err)
		}
		if took := time.Since(before); took != time.Millisecond || !slices.Equal(r.v4.took, want[10:]) {
			t.Errorf("took %v, %d through the kernel", took, len(r.v4.took))
		}
	})
}

// A socket that takes fewer frames than it was given, with an error or without,
// makes no packet missing or double.
func TestWriteTransmit(t *testing.T) {
	for name, tt := range map[string]struct {
		transmit func(call, n int) (int, error)
		past     int // packets that go past the kernel
		why      string
	}{
		"one at a time":       {func(_, n int) (int, error) { return min(n, 1), nil }, 100, ""},
		"down at once":        {func(_, n int) (int, error) { return 0, syscall.ENETDOWN }, 0, "down"},
		"down in the middle":  {func(_, n int) (int, error) { return n / 2, syscall.ENETDOWN }, 32, "down"},
		"down behind the end": {func(_, n int) (int, error) { return n, syscall.ENETDOWN }, 64, "down"},
		"down later": {func(call, n int) (int, error) {
			if call == 1 {
				return 3, syscall.ENXIO
			}
			return n, nil
		}, 67, "down"},
		"none, for good": {func(_, n int) (int, error) { return 0, nil }, 0, "full"},
	} {
		r := newActiveRig(t, 100)
		call := 0
		r.sock.transmit = func(n int) (int, error) {
			call++
			return tt.transmit(call-1, n)
		}
		want := numbered(100)
		if n, err := r.c.WriteBatch(bufsOf(8, want), 8, dest(far4), 0); n != 100 || err != nil {
			t.Fatal(name, n, err)
		}
		past := payloadsOf(t, r.sock.sent, far4)
		if !slices.Equal(past, want[:tt.past]) || !slices.Equal(r.v4.took, want[tt.past:]) {
			t.Errorf("%s: %d past the kernel, then %d, want %d", name, len(past), len(r.v4.took), tt.past)
		}
		bytes := 0
		for _, p := range want[:tt.past] {
			bytes += len(p)
		}
		if st := r.c.Stats().Tx; st.Packets != uint64(tt.past) || st.Bytes != uint64(bytes) {
			t.Errorf("%s: counted %d packets of %d bytes, want %d of %d", name, st.Packets, st.Bytes, tt.past, bytes)
		}
		if got := kernelCounts(r.c); got[tt.why] != uint64(100-tt.past) {
			t.Errorf("%s: counted %v, want %s", name, got, tt.why)
		}
		if n := len(r.sock.tx.free); n != 100 {
			t.Errorf("%s: %d frames free, want 100", name, n)
		}
	}
}
