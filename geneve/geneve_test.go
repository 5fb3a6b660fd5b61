// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package geneve_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/tunrouter/tunrouter/geneve"
)

func vni(tb testing.TB, v uint32) geneve.VNI {
	tb.Helper()
	got, err := geneve.MakeVNI(v)
	if err != nil {
		tb.Fatalf("MakeVNI(%d): %v", v, err)
	}
	return got
}

func TestHeaderGolden(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    geneve.Header
		want []byte
	}{
		{"wireguard", geneve.Header{VNI: vni(t, 7), Protocol: geneve.ProtocolWireGuard}, []byte{0, 0, 0x7a, 0x12, 0, 0, 7, 0}},
		{"vni zero", geneve.Header{VNI: vni(t, 0), Protocol: geneve.ProtocolDisco}, []byte{0, 0, 0x7a, 0x11, 0, 0, 0, 0}},
		{"control, vni max", geneve.Header{VNI: vni(t, geneve.MaxVNI), Protocol: geneve.ProtocolDisco, Control: true}, []byte{0, 0x80, 0x7a, 0x11, 0xff, 0xff, 0xff, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := bytes.Repeat([]byte{0xaa}, 9)
			if n, err := tt.h.Put(got); n != geneve.HeaderLen || err != nil {
				t.Fatalf("Put: got %d, %v", n, err)
			}
			if !bytes.Equal(got[:8], tt.want) || got[8] != 0xaa {
				t.Fatalf("Put: got % x, want % x and the next byte untouched", got, tt.want)
			}
			back := geneve.Header{Control: true, Protocol: 1}
			if err := back.Decode(got); err != nil || back != tt.h {
				t.Fatalf("Decode: got %+v, %v, want %+v", back, err, tt.h)
			}
		})
	}
}

func TestHeaderErrors(t *testing.T) {
	set := geneve.Header{VNI: vni(t, 1)}
	b := make([]byte, 8)
	if _, err := set.Put(b[:7]); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("Put into 7 bytes: got %v", err)
	}
	if _, err := (geneve.Header{}).Put(b); !errors.Is(err, geneve.ErrUnset) {
		t.Errorf("Put without VNI: got %v", err)
	}
	if !bytes.Equal(b, make([]byte, 8)) {
		t.Errorf("a failed Put wrote % x", b)
	}
	if _, err := geneve.MakeVNI(geneve.MaxVNI + 1); err == nil {
		t.Error("MakeVNI accepted 25 bits")
	}
	var h geneve.Header
	if err := h.Decode(b[:7]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Decode of 7 bytes: got %v", err)
	}
	for i, bad := range [][]byte{
		{0x40, 0, 0x7a, 0x12, 0, 0, 1, 0}, // version 1
		{0x01, 0, 0x7a, 0x12, 0, 0, 1, 0}, // one option word
		{0, 0x40, 0x7a, 0x12, 0, 0, 1, 0}, // critical options
		{0, 0x01, 0x7a, 0x12, 0, 0, 1, 0}, // reserved bits
		{0, 0, 0x7a, 0x12, 0, 0, 1, 1},    // reserved byte
	} {
		h = set
		if err := h.Decode(bad); !errors.Is(err, geneve.ErrUnsupported) || h != (geneve.Header{}) {
			t.Errorf("bad %d: got %+v, %v, want the zero Header and ErrUnsupported", i, h, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{0, 0x80, 0x7a, 0x11, 0xff, 0xff, 0xff, 0, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		h := geneve.Header{VNI: 5, Protocol: 9, Control: true}
		if err := h.Decode(b); err != nil {
			if h != (geneve.Header{}) {
				t.Fatalf("Decode failed and left %+v", h)
			}
			return
		}
		var out [geneve.HeaderLen]byte
		if _, err := h.Put(out[:]); err != nil {
			t.Fatalf("Put of a decoded header: %v", err)
		}
		if !bytes.Equal(out[:], b[:geneve.HeaderLen]) {
			t.Fatalf("round trip: got % x, want % x", out, b[:geneve.HeaderLen])
		}
	})
}

func TestHeaderNoAllocs(t *testing.T) {
	h := geneve.Header{VNI: vni(t, 1), Protocol: geneve.ProtocolWireGuard}
	var b [8]byte
	if n := testing.AllocsPerRun(100, func() {
		_, _ = h.Put(b[:])
		_ = h.Decode(b[:])
	}); n != 0 {
		t.Errorf("got %v allocations a round trip, want 0", n)
	}
}

func ExampleHeader() {
	v, _ := geneve.MakeVNI(258)
	var b [geneve.HeaderLen]byte
	_, _ = geneve.Header{VNI: v, Protocol: geneve.ProtocolWireGuard}.Put(b[:])
	fmt.Printf("% x\n", b)
	// Output: 00 00 7a 12 00 01 02 00
}

func TestVNIJSON(t *testing.T) {
	type path struct {
		VNI geneve.VNI `json:"vni,omitempty"`
	}
	zero, _ := geneve.MakeVNI(0)
	most, _ := geneve.MakeVNI(geneve.MaxVNI)
	for want, v := range map[string]geneve.VNI{`{}`: 0, `{"vni":0}`: zero, `{"vni":16777215}`: most} {
		got, err := json.Marshal(path{v})
		if err != nil || string(got) != want {
			t.Errorf("%v is %s, %v, want %s", v, got, err, want)
		}
		var back path
		if err := json.Unmarshal(got, &back); err != nil || back.VNI != v {
			t.Errorf("%s is %v, %v, want %v", got, back.VNI, err, v)
		}
	}
	for _, bad := range []string{`{"vni":16777216}`, `{"vni":-1}`, `{"vni":"7"}`} {
		var p path
		if err := json.Unmarshal([]byte(bad), &p); err == nil {
			t.Errorf("%s is %v, want an error", bad, p.VNI)
		}
	}
}
