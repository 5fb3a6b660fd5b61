// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// FuzzOpen gives Open anything, and then a sealed frame with one bit changed, cut,
// extended, sent back, and given to those that it is not for: only the receiver
// opens the whole of it.
func FuzzOpen(f *testing.F) {
	for i, c := range vectorCases(f) {
		body := appendBody(f, c.message)
		a, _ := ends(f, disco.DomainPeer)
		f.Add(body, a.Seal(nil, epoch, body), c.Epoch, uint(i*97))
	}
	f.Add([]byte(nil), frameOf(88), uint64(0), uint(0))
	f.Add([]byte("x"), frameOf(87), uint64(1<<63), uint(32))
	ia, ib, ic := identity(0x11), identity(0x77), identity(0x33)
	a, b := ends(f, disco.DomainPeer)
	strangers := map[string]*disco.Pair{
		"the sender":                   a,
		"the receiver's relay":         pair(f, disco.DomainRelay, ib, ia.Public()),
		"the sender's relay":           pair(f, disco.DomainRelay, ia, ib.Public()),
		"the receiver, of another":     pair(f, disco.DomainPeer, ib, ic.Public()),
		"another, of the sender":       pair(f, disco.DomainPeer, ic, ia.Public()),
		"another, of the receiver":     pair(f, disco.DomainPeer, ic, ib.Public()),
		"the sender, of another":       pair(f, disco.DomainPeer, ia, ic.Public()),
		"another relay, of the sender": pair(f, disco.DomainRelay, ic, ia.Public()),
	}
	f.Fuzz(func(t *testing.T, body, frame []byte, epoch uint64, bit uint) {
		seed := bytes.Clone(frame)
		for _, p := range []*disco.Pair{strangers["another, of the sender"], strangers["the sender's relay"]} {
			if got, err := p.Open(nil, frame); !errors.Is(err, disco.ErrAuth) || got != nil {
				t.Fatalf("% x opened: % x, %v", frame, got, err)
			}
		}
		if got, err := b.Open(nil, frame); err == nil && !disco.IsFrame(frame) || err != nil && got != nil {
			t.Fatalf("% x: got % x, %v", frame, got, err)
		}
		if !bytes.Equal(frame, seed) {
			t.Fatal("Open changed the frame")
		}

		body = append(body[:min(len(body), disco.MaxBody):len(body)], make([]byte, max(disco.MinBody-len(body), 0))...)
		sealed := a.Seal(nil, epoch, body)
		if !disco.IsFrame(sealed) || len(sealed) != len(body)+disco.Overhead || disco.FrameTag(sealed) != b.ReceiveTag(epoch) {
			t.Fatalf("% x is no frame of epoch %d", sealed, epoch)
		}
		if got, err := b.Open(nil, sealed); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("the receiver got % x, %v, want % x", got, err, body)
		}
		refuse := func(p *disco.Pair, what string, frame []byte) {
			if got, err := p.Open(nil, frame); !errors.Is(err, disco.ErrAuth) || got != nil {
				t.Fatalf("%s: got % x, %v, want ErrAuth", what, got, err)
			}
		}
		for who, p := range strangers {
			refuse(p, who, sealed)
		}
		refuse(b, "a byte less", sealed[:len(sealed)-1])
		refuse(b, "a byte more", append(bytes.Clone(sealed), byte(bit)))
		refuse(b, "cut", sealed[:bit%uint(len(sealed))])
		bit %= uint(len(sealed)) * 8
		sealed[bit/8] ^= 1 << (bit % 8)
		refuse(b, "a changed bit", sealed)
	})
}

// fuzzDecode checks Decode of a message that fresh makes, with old values in it:
// what it accepts is what AppendBody makes of it again, fields bytes of it being
// equal, and what it refuses leaves nothing behind.
func fuzzDecode(f *testing.F, fresh func() message, fields func(body []byte) int) {
	for _, c := range vectorCases(f) {
		body := appendBody(f, c.message)
		f.Add(body)
		f.Add(body[:disco.MinBody-1])
		f.Add(append(body, 1, 2, 3))
	}
	empty := fresh()
	if err := empty.Decode(nil); !errors.Is(err, disco.ErrShort) {
		f.Fatalf("nothing: got %v, want ErrShort", err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, seed := fresh(), bytes.Clone(body)
		err := m.Decode(body)
		if !bytes.Equal(body, seed) {
			t.Fatal("Decode changed the body")
		}
		if err != nil {
			if !errors.Is(err, disco.ErrShort) && !errors.Is(err, disco.ErrType) && !errors.Is(err, disco.ErrValue) {
				t.Fatalf("got %v", err)
			}
			if !reflect.DeepEqual(m, empty) {
				t.Fatalf("%v left %+v", err, m)
			}
			return
		}
		clear(body) // nothing of it may be retained
		again := appendBody(t, m)
		if len(again) < disco.MinBody || len(again) > max(len(seed), disco.RelayBody) || len(seed) > disco.MaxBody {
			t.Fatalf("%d bytes made %d", len(seed), len(again))
		}
		n := fields(again)
		if n > len(seed) {
			t.Fatalf("%d bytes of fields from a body of %d", n, len(seed))
		}
		if again[0] != seed[0] || !bytes.Equal(again[2:n], seed[2:n]) {
			t.Fatalf("got % x, want % x", again[:n], seed[:n])
		}
		back := fresh()
		if err := back.Decode(again); err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("again: got %+v, %v, want %+v", back, err, m)
		}
	})
}

func FuzzDecodePing(f *testing.F) {
	fuzzDecode(f, func() message {
		return &disco.Ping{TxID: disco.TxID{1}, Pad: 1}
	}, func([]byte) int { return 14 })
}

func FuzzDecodePong(f *testing.F) {
	fuzzDecode(f, func() message {
		return &disco.Pong{TxID: disco.TxID{1}, Observed: address("[::1]:1"), Size: 1}
	}, func([]byte) int { return 34 })
}

func FuzzDecodeCandidates(f *testing.F) {
	fuzzDecode(f, func() message {
		return &disco.Candidates{Sequence: 1, Reply: true, Addrs: addresses(3)}
	}, func(body []byte) int { return 11 + 18*int(body[10]) })
}

func FuzzDecodeRelayMessage(f *testing.F) {
	fuzzDecode(f, func() message {
		m := full(disco.TypeBound)
		return &m
	}, func([]byte) int { return disco.RelayBody - 1 })
}
