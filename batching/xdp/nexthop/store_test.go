// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

func number4(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

// The store has what a map has after the same changes, and never more than its
// limit.
func TestStore(t *testing.T) {
	const limit = 100
	s, want := newStore(limit), map[key]*entry{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		k := key{dst: number4(random.IntN(120))}
		if random.IntN(2) == 0 {
			k.src = netip.IPv6Loopback()
		}
		switch random.IntN(50) {
		case 0:
			wrong := func(e *entry) bool { return e.dst.As4()[3]%3 == 0 }
			s.remove(wrong)
			for k, e := range want {
				if wrong(e) {
					delete(want, k)
				}
			}
		default:
			e := &entry{key: k}
			s.put(e)
			want[k] = e
			for k := range want { // what had to go
				if len(want) > limit && s.get(&k) == nil {
					delete(want, k)
				}
			}
		}
		if s.len() != len(want) || s.len() > limit || len(s.all()) != len(want) {
			t.Fatalf("%d entries, %d in the list, want %d", s.len(), len(s.all()), len(want))
		}
		if got := s.get(&k); got != want[k] {
			t.Fatalf("%v: got %p, want %p", k, got, want[k])
		}
	}
	for k, e := range want {
		if got := s.get(&k); got != e {
			t.Fatalf("%v: got %p, want %p", k, got, e)
		}
	}
}

// Entries that stay are found at every moment while others, also of the same
// lists, come and go.
func TestStoreReaders(t *testing.T) {
	s := newStore(1000)
	s.lists = s.lists[:2] // long lists
	stays := func(i int) bool { return i%4 == 0 }
	for i := range 80 {
		s.put(&entry{key: key{dst: number4(i)}})
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !done.Load() {
				for i := 0; i < 80; i += 4 {
					k := key{dst: number4(i)}
					if e := s.get(&k); e == nil || e.key != k {
						t.Errorf("%v: got %v", k, e)
						return
					}
				}
			}
		})
	}
	for range 200 {
		s.remove(func(e *entry) bool { return !stays(int(e.dst.As4()[3])) })
		for i := range 80 {
			s.put(&entry{key: key{dst: number4(i)}})
		}
	}
	done.Store(true)
	readers.Wait()
}

func BenchmarkPut(b *testing.B) {
	s := newStore(4096)
	i := 0
	for b.Loop() {
		i++
		s.put(&entry{key: key{dst: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}})
	}
}

func BenchmarkGet(b *testing.B) {
	s := newStore(4096)
	for i := range 4096 {
		s.put(&entry{key: key{dst: number4(i)}})
	}
	i := 0
	for b.Loop() {
		i = (i + 1) & 4095
		k := key{dst: number4(i)}
		if s.get(&k) == nil {
			b.Fatal("lost")
		}
	}
}
