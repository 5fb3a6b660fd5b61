// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// names has every type of docs/PROTOCOL.md with its number.
var names = map[disco.MessageType]string{
	1: "ping", 2: "pong", 3: "candidates",
	16: "register", 17: "challenge", 18: "registered", 19: "allocate", 20: "allocated",
	21: "bind", 22: "bind_challenge", 23: "bind_answer", 24: "bound", 25: "unknown",
}

func TestBodyType(t *testing.T) {
	for i := range 256 {
		typ := disco.MessageType(i)
		body := append([]byte{byte(i)}, make([]byte, disco.MinBody-1)...)
		got, err := disco.BodyType(body)
		want, known := names[typ]
		switch {
		case known && (got != typ || err != nil || typ.String() != want):
			t.Errorf("type %d: got %d, %v, name %q, want name %q", i, got, err, typ, want)
		case !known && (got != 0 || !errors.Is(err, disco.ErrType)):
			t.Errorf("type %d: got %d, %v, want ErrType", i, got, err)
		}
		if got, err := disco.BodyType(body[:disco.MinBody-1]); got != 0 || !errors.Is(err, disco.ErrShort) {
			t.Errorf("type %d, short: got %d, %v, want ErrShort", i, got, err)
		}
	}
	if got := disco.MessageType(26).String(); got != "type(26)" {
		t.Errorf("String of 26: got %q", got)
	}
	if got := disco.MessageType(0).String(); got != "type(0)" {
		t.Errorf("String of 0: got %q", got)
	}
	if _, err := disco.BodyType(nil); !errors.Is(err, disco.ErrShort) {
		t.Errorf("nothing: got %v, want ErrShort", err)
	}
}

// TestDecodeRefusesOtherTypes gives each message the bodies of all types.
func TestDecodeRefusesOtherTypes(t *testing.T) {
	for i := range 256 {
		typ := disco.MessageType(i)
		body := append([]byte{byte(i)}, bytes.Repeat([]byte{1}, disco.MaxBody)...)
		for m, own := range map[message]bool{
			&disco.Ping{}:         typ == disco.TypePing,
			&disco.Pong{}:         typ == disco.TypePong,
			&disco.Candidates{}:   typ == disco.TypeCandidates,
			&disco.RelayMessage{}: typ >= disco.TypeRegister && typ <= disco.TypeUnknown,
		} {
			want := disco.ErrType
			if own {
				want = disco.ErrValue // it is one byte longer than a body can be
			}
			if err := m.Decode(body); !errors.Is(err, want) {
				t.Errorf("%T from type %d: got %v, want %v", m, i, err, want)
			}
		}
	}
}

// TestMessageNoAllocs covers encoding and decoding of all messages into buffers
// that have room.
func TestMessageNoAllocs(t *testing.T) {
	addrs := addresses(disco.MaxCandidates)
	ping, pong := disco.Ping{Pad: 1400}, disco.Pong{Observed: addrs[0], Size: 1400}
	candidates := disco.Candidates{Addrs: addrs}
	relay := disco.RelayMessage{Type: disco.TypeBound, Addr: addrs[1]}
	backC := disco.Candidates{Addrs: make([]netip.AddrPort, 0, disco.MaxCandidates)}
	var backPing disco.Ping
	var backPong disco.Pong
	var backR disco.RelayMessage
	buf := make([]byte, 0, 2000)
	var errs [4]error
	if n := testing.AllocsPerRun(100, func() {
		buf = ping.AppendBody(buf[:0])
		errs[0] = backPing.Decode(buf)
		buf = pong.AppendBody(buf[:0])
		errs[1] = backPong.Decode(buf)
		buf = candidates.AppendBody(buf[:0])
		errs[2] = backC.Decode(buf)
		buf = relay.AppendBody(buf[:0])
		errs[3] = backR.Decode(buf)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if errs != [4]error{} || backPing != ping || backPong != pong || !slices.Equal(backC.Addrs, addrs) || backR != relay {
		t.Errorf("got %v, %+v, %+v, %+v, %+v", errs, backPing, backPong, backC, backR)
	}
}
