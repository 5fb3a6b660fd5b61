// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// frameOf returns n bytes that begin as a frame does.
func frameOf(n int) []byte {
	b := make([]byte, max(n, 12))
	copy(b, "\xf3trd\x01\x02\x03\x04\x05\x06\x07\x08")
	return b[:n]
}

func TestIsFrame(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"nothing", nil, false},
		{"magic only", frameOf(4), false},
		{"one byte too short", frameOf(87), false},
		{"shortest", frameOf(88), true},
		{"longest", frameOf(8952), true},
		{"one byte too long", frameOf(8953), false},
		{"zeros", make([]byte, 200), false},
		{"first byte of the magic wrong", append([]byte("\xf2trd"), make([]byte, 100)...), false},
		{"last byte of the magic wrong", append([]byte("\xf3tre"), make([]byte, 100)...), false},
		{"magic the other way round", append([]byte("drt\xf3"), make([]byte, 100)...), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := disco.IsFrame(tt.b); got != tt.want {
				t.Errorf("IsFrame: got %v, want %v", got, tt.want)
			}
		})
	}
	if want := (disco.Tag{1, 2, 3, 4, 5, 6, 7, 8}); disco.FrameTag(frameOf(88)) != want {
		t.Errorf("FrameTag: got %v, want %v", disco.FrameTag(frameOf(88)), want)
	}
}

// TestFrameIsNeitherWireGuardNorGeneve: the three share a port, and nothing of a
// frame but the magic is in its first four bytes.
func TestFrameIsNeitherWireGuardNorGeneve(t *testing.T) {
	a, _ := ends(t, disco.DomainPeer)
	frame := a.Seal(nil, 1, appendBody(t, &disco.Ping{}))
	if !bytes.HasPrefix(frame, []byte("\xf3trd")) {
		t.Fatalf("got % x, want the magic first", frame[:4])
	}
	if typ := binary.LittleEndian.Uint32(frame); typ <= 4 {
		t.Errorf("the frame is a WireGuard message of type %d", typ)
	}
	if version := frame[0] >> 6; version != 3 {
		t.Errorf("got Geneve version %d, want 3", version)
	}
	if err := new(geneve.Header).Decode(frame); err == nil {
		t.Error("the frame begins with a Geneve header")
	}
	for typ := range byte(5) {
		if b := append([]byte{typ, 0, 0, 0}, frame[4:]...); disco.IsFrame(b) {
			t.Errorf("a WireGuard message of type %d is taken for a frame", typ)
		}
	}
	vni, _ := geneve.MakeVNI(geneve.MaxVNI)
	for _, h := range []geneve.Header{
		{VNI: vni, Protocol: geneve.ProtocolDisco, Control: true},
		{VNI: vni, Protocol: geneve.ProtocolWireGuard},
	} {
		b := bytes.Clone(frame)
		if _, err := h.Put(b); err != nil {
			t.Fatal(err)
		}
		if disco.IsFrame(b) {
			t.Errorf("%+v is taken for a frame", h)
		}
	}
}

func TestEpoch(t *testing.T) {
	for _, tt := range []struct {
		name string
		t    time.Time
		want uint64
	}{
		{"1970", time.Unix(0, 0), 0},
		{"end of the first", time.Unix(3599, 999999999), 0},
		{"second", time.Unix(3600, 0), 1},
		{"now", time.Date(2026, 7, 1, 12, 59, 59, 0, time.UTC), 495252},
		{"elsewhere", time.Date(2026, 7, 1, 14, 0, 0, 0, time.FixedZone("", 5400)), 495252},
		{"before 1970", time.Unix(-1, 0), 0},
		{"zero time", time.Time{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := disco.Epoch(tt.t); got != tt.want {
				t.Errorf("Epoch(%v): got %d, want %d", tt.t, got, tt.want)
			}
		})
	}
	if disco.EpochLength != time.Hour {
		t.Errorf("EpochLength: got %v", disco.EpochLength)
	}
}

// TestFrameNoAllocs covers what is done with every datagram that arrives.
func TestFrameNoAllocs(t *testing.T) {
	frame, other := frameOf(200), make([]byte, 200)
	var tag disco.Tag
	if n := testing.AllocsPerRun(100, func() {
		if disco.IsFrame(frame) && !disco.IsFrame(other) {
			tag = disco.FrameTag(frame)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if tag != (disco.Tag{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("FrameTag: got %v", tag)
	}
}
