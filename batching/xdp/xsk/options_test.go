// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import "testing"

func TestOptions(t *testing.T) {
	got, err := (*Options)(nil).withDefaults()
	if want := (Options{RxFrames: 2048, TxFrames: 2048, FrameSize: 2048}); got != want || err != nil {
		t.Errorf("nil: got %+v, %v, want %+v", got, err, want)
	}
	in := Options{Queue: 3, RxFrames: 1, TxFrames: 1 << 20, FrameSize: 4096, Mode: ModeCopy}
	if got, err := in.withDefaults(); got != in || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, in)
	}
	for _, bad := range []Options{
		{Queue: -1}, {RxFrames: -1}, {TxFrames: -1}, {RxFrames: 1<<20 + 1}, {FrameSize: 2047}, {FrameSize: 8192}, {Mode: ModeCopy + 1},
	} {
		if got, err := bad.withDefaults(); err == nil {
			t.Errorf("%+v: accepted as %+v", bad, got)
		}
	}
	for m, want := range map[Mode]string{ModeAuto: "auto", ModeZeroCopy: "zero-copy", ModeCopy: "copy", 9: "Mode(9)"} {
		if m.String() != want {
			t.Errorf("mode %d: got %q, want %q", uint8(m), m, want)
		}
	}
}

func TestRingSize(t *testing.T) {
	for n, want := range map[int]uint32{1: 1, 2: 2, 3: 4, 2048: 2048, 2049: 4096, maxFrames: maxFrames} {
		if got := ringSize(n); got != want {
			t.Errorf("%d frames: got a ring of %d, want %d", n, got, want)
		}
	}
}
