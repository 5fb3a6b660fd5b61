// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/peers/disco"
)

const epoch = 495252

func TestSealOpen(t *testing.T) {
	for _, d := range []disco.Domain{disco.DomainPeer, disco.DomainRelay} {
		for _, size := range []int{disco.MinBody, disco.MinBody + 1, disco.RelayBody, 1400, disco.MaxBody} {
			a, b := ends(t, d)
			body := bytes.Repeat([]byte{0xa5}, size)
			frame := a.Seal([]byte("before"), epoch, body)
			if !bytes.HasPrefix(frame, []byte("before")) {
				t.Fatalf("%v, %d: Seal did not keep what dst had", d, size)
			}
			frame = frame[len("before"):]
			if !disco.IsFrame(frame) || len(frame) != size+disco.Overhead {
				t.Fatalf("%v, %d: got %d bytes, IsFrame %v", d, size, len(frame), disco.IsFrame(frame))
			}
			if got, want := disco.FrameTag(frame), b.ReceiveTag(epoch); got != want {
				t.Fatalf("%v, %d: got tag %x, want %x", d, size, got, want)
			}
			got, err := b.Open([]byte("before"), frame)
			if err != nil || !bytes.Equal(got, append([]byte("before"), body...)) {
				t.Fatalf("%v, %d: Open: got %d bytes, %v", d, size, len(got), err)
			}
			if !bytes.Equal(body, bytes.Repeat([]byte{0xa5}, size)) {
				t.Fatalf("%v, %d: Seal changed the body", d, size)
			}
		}
	}
}

// TestOpenRefuses has frames of others, and such as are none.
func TestOpenRefuses(t *testing.T) {
	ia, ib, ic := identity(1), identity(2), identity(3)
	ab := pair(t, disco.DomainPeer, ia, ib.Public())
	ba := pair(t, disco.DomainPeer, ib, ia.Public())
	frame := ab.Seal(nil, epoch, make([]byte, 100))
	if _, err := ba.Open(nil, frame); err != nil {
		t.Fatalf("the receiver: %v", err)
	}
	otherTag := bytes.Clone(frame)
	next := ab.SendTag(epoch + 1)
	copy(otherTag[4:], next[:])
	for _, tt := range []struct {
		name  string
		p     *disco.Pair
		frame []byte
	}{
		{"sent back", ab, frame},
		{"other domain", pair(t, disco.DomainRelay, ib, ia.Public()), frame},
		{"other sender", pair(t, disco.DomainPeer, ib, ic.Public()), frame},
		{"other receiver", pair(t, disco.DomainPeer, ic, ia.Public()), frame},
		{"tag of another epoch", ba, otherTag},
		{"empty", ba, nil},
		{"cut by one byte", ba, frame[:len(frame)-1]},
		{"cut to the shortest", ba, frame[:disco.MinFrame]},
		{"cut below the shortest", ba, frame[:disco.MinFrame-1]},
		{"one byte longer", ba, append(bytes.Clone(frame), 0)},
		{"too long", ba, append(bytes.Clone(frame), make([]byte, disco.MaxFrame)...)},
		{"zeros", ba, make([]byte, 152)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if body, err := tt.p.Open([]byte("before"), tt.frame); !errors.Is(err, disco.ErrAuth) || body != nil {
				t.Errorf("got %x, %v, want ErrAuth", body, err)
			}
		})
	}
}

func TestSealPanics(t *testing.T) {
	a, _ := ends(t, disco.DomainPeer)
	for _, size := range []int{0, disco.MinBody - 1, disco.MaxBody + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a body of %d bytes was sealed", size)
				}
			}()
			a.Seal(nil, epoch, make([]byte, size))
		}()
	}
}

// TestSealFresh: nothing but magic and tag is the same twice.
func TestSealFresh(t *testing.T) {
	a, _ := ends(t, disco.DomainPeer)
	body := make([]byte, 36)
	one, two := a.Seal(nil, epoch, body), a.Seal(nil, epoch, body)
	if !bytes.Equal(one[:12], two[:12]) {
		t.Errorf("headers differ: % x, % x", one[:12], two[:12])
	}
	if bytes.Equal(one[12:36], two[12:36]) || bytes.Equal(one[36:], two[36:]) {
		t.Error("the nonce was used twice")
	}
}

func TestTags(t *testing.T) {
	ia, ib := identity(1), identity(2)
	seen := map[disco.Tag]string{}
	for _, d := range []disco.Domain{disco.DomainPeer, disco.DomainRelay} {
		a, b := pair(t, d, ia, ib.Public()), pair(t, d, ib, ia.Public())
		if a.Peer() != ib.Public() || b.Peer() != ia.Public() {
			t.Errorf("%v: Peer: got %x, %x", d, a.Peer(), b.Peer())
		}
		for _, e := range []uint64{0, 1, epoch, epoch + 1, 1<<64 - 1} {
			for range 2 { // the second one is cached
				if a.SendTag(e) != b.ReceiveTag(e) || b.SendTag(e) != a.ReceiveTag(e) {
					t.Errorf("%v, epoch %d: the two sides differ", d, e)
				}
			}
			for side, p := range map[string]*disco.Pair{"a": a, "b": b} {
				tag := p.SendTag(e)
				if was, ok := seen[tag]; ok {
					t.Errorf("%v, epoch %d, from %s: tag %x is that of %s, too", d, e, side, tag, was)
				}
				seen[tag] = d.String() + side
			}
		}
	}
}

// TestPairConcurrent lets several goroutines seal in different epochs with one
// Pair: each frame has its own epoch's tag.
func TestPairConcurrent(t *testing.T) {
	a, b := ends(t, disco.DomainPeer)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				e := uint64(g%2*7 + i%3)
				frame := a.Seal(nil, e, make([]byte, 40))
				if disco.FrameTag(frame) != b.ReceiveTag(e) {
					t.Errorf("epoch %d: wrong tag", e)
				}
				if _, err := b.Open(nil, frame); err != nil {
					t.Errorf("epoch %d: %v", e, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestPairNoAllocs covers a Ping in dst with room, sealed and opened, and a
// frame that does not authenticate. Elsewhere than on amd64 x/crypto has no
// assembly and allocates a cipher for each frame.
func TestPairNoAllocs(t *testing.T) {
	var want float64
	if runtime.GOARCH != "amd64" {
		want = 12
	}
	a, b := ends(t, disco.DomainPeer)
	body := appendBody(t, &disco.Ping{Pad: 1400})
	buf, back := make([]byte, 0, 1500), make([]byte, 0, 1500)
	a.SendTag(epoch)
	if n := testing.AllocsPerRun(100, func() { buf = a.Seal(buf[:0], epoch, body) }); n > want {
		t.Errorf("Seal: %v allocations, want %v", n, want)
	}
	var err error
	if n := testing.AllocsPerRun(100, func() { back, err = b.Open(back[:0], buf) }); n > want {
		t.Errorf("Open: %v allocations, want %v", n, want)
	}
	if err != nil || !bytes.Equal(back, body) {
		t.Fatalf("Open: got %d bytes, %v", len(back), err)
	}
	if n := testing.AllocsPerRun(100, func() { _, err = a.Open(back[:0], buf) }); n > want {
		t.Errorf("Open of a frame that is not for it: %v allocations, want %v", n, want)
	}
	if !errors.Is(err, disco.ErrAuth) {
		t.Errorf("Open of a frame that is not for it: got %v", err)
	}
}

// BenchmarkPair is what a Ping of the largest size costs each side, and what a
// frame costs that only looks like one of the peer.
func BenchmarkPair(b *testing.B) {
	x, y := ends(b, disco.DomainPeer)
	body := appendBody(b, &disco.Ping{Pad: 1452})
	frame := x.Seal(nil, epoch, body)
	forged := append(bytes.Clone(frame[:len(frame)-1]), frame[len(frame)-1]^1)
	buf := make([]byte, 0, 2000)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = x.Seal(buf[:0], epoch, body)
		}
	})
	for name, f := range map[string][]byte{"open": frame, "forged": forged} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				y.Open(buf[:0], f)
			}
		})
	}
}
