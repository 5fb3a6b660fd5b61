// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// nearWrap is where the indices of simulated rings begin, so that each test takes
// them over 2^32.
const nearWrap = ^uint32(0) - 10

// simRing returns both ends of a ring: the producer's and the consumer's.
func simRing(size uint32) (ring, ring) {
	p, c, f := new(atomic.Uint32), new(atomic.Uint32), new(atomic.Uint32)
	p.Store(nearWrap)
	c.Store(nearWrap)
	r := ring{producer: p, consumer: c, flags: f, mask: size - 1, prod: nearWrap, cons: nearWrap}
	return r, r
}

// A sim is a receiver and a sender over memory of the Go heap, which the race
// detector watches, and the kernel's ends of their rings.
type sim struct {
	rx   receiver
	tx   sender
	c    counters
	mem  *Memory
	part *part
	gone atomic.Int64 // calls of unmap

	kFill, kDone addrRing
	kRx, kTx     descRing
}

func newSim(rxFrames, txFrames, frameSize int) *sim {
	s := &sim{}
	o := MemoryOptions{Queues: 1, RxFrames: rxFrames, TxFrames: txFrames, FrameSize: frameSize}
	m := newMemory(make([]byte, o.size()), o, func([]byte) error { s.gone.Add(1); return nil })
	p, err := m.take(1, 0)
	if err := errors.Join(err, m.Close()); err != nil {
		panic(err)
	}
	s.attach(p)
	return s
}

// attach makes the sim that of a part.
func (s *sim) attach(p *part) {
	s.mem, s.part = p.mem, p
	rxFrames, txFrames := p.mem.opt.RxFrames, p.mem.opt.TxFrames
	addr := func(n int) (addrRing, addrRing) {
		e := make([]uint64, ringSize(n))
		p, c := simRing(ringSize(n))
		return addrRing{p, e}, addrRing{c, e}
	}
	descs := func(n int) (descRing, descRing) {
		e := make([]desc, ringSize(n))
		p, c := simRing(ringSize(n))
		return descRing{p, e}, descRing{c, e}
	}
	s.rx.fill, s.kFill = addr(rxFrames)
	s.kRx, s.rx.rx = descs(rxFrames)
	s.tx.tx, s.kTx = descs(txFrames)
	s.kDone, s.tx.done = addr(txFrames)
	s.rx.count, s.tx.count = &s.c, &s.c
	s.rx.pool, s.tx.pool = p.newPools()
	s.rx.fillAll()
}

// deliver puts up to n packets with the numbers from seq on where the fill ring
// says, as the kernel does, and returns the next number.
func (s *sim) deliver(seq uint64, n uint32) uint64 {
	n = min(n, s.kFill.ready(n), s.kRx.room(n))
	for i := range n {
		at := s.kFill.get(i) + 16
		binary.NativeEndian.PutUint64(s.mem.data[at:], seq)
		s.kRx.put(i, desc{addr: at, len: 8})
		seq++
	}
	s.kFill.consumed(n)
	s.kRx.publish(n)
	return seq
}

// send takes up to n packets from the transmit ring.
func (s *sim) send(n uint32) []desc {
	n = min(n, s.kTx.ready(n))
	out := make([]desc, n)
	for i := range n {
		out[i] = s.kTx.get(i)
	}
	s.kTx.consumed(n)
	return out
}

// finish completes packets.
func (s *sim) finish(d []desc) {
	for i := range d {
		s.kDone.put(uint32(i), d[i].addr)
	}
	s.kDone.publish(uint32(len(d)))
}

const packets = 3_000

// A kernel that runs at the same time: every packet arrives once, in order and
// whole, while the reader gives frames back in another order. The race detector
// sees to it that the indices order the accesses to frames and entries.
func TestReceiveConcurrently(t *testing.T) {
	s := newSim(13, 1, 64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := uint64(0); seq < packets; {
			next := s.deliver(seq, uint32(min(5, packets-seq)))
			if next == seq {
				runtime.Gosched()
			}
			seq = next
		}
	})
	rnd := rand.New(rand.NewPCG(1, 2))
	var held []Frame
	room := make([]Frame, 7)
	for want := uint64(0); want < packets; {
		n := s.rx.receive(room[:1+rnd.IntN(7)])
		for _, f := range room[:n] {
			if got := binary.NativeEndian.Uint64(f.Data); got != want || len(f.Data) != 8 || cap(f.Data) != 48 {
				t.Errorf("packet %d: got %d in %d bytes of %d", want, got, len(f.Data), cap(f.Data))
			}
			want++
		}
		held = append(held, room[:n]...)
		rnd.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		k := rnd.IntN(len(held) + 1)
		if n == 0 {
			k = len(held)
			runtime.Gosched()
		}
		if got, err := s.rx.release(held[:k]); got != k || err != nil {
			t.Fatalf("release: got %d, %v, want %d", got, err, k)
		}
		held = held[k:]
	}
	wg.Wait()
	if st := s.c.stats(); st.RxPackets != packets || st.RxBytes != 8*packets || st.RxBad != 0 {
		t.Errorf("got %+v", st)
	}
}

// The same for sending, completed in another order.
func TestSendConcurrently(t *testing.T) {
	s := newSim(1, 13, 64)
	var wg sync.WaitGroup
	wg.Go(func() {
		rnd := rand.New(rand.NewPCG(3, 4))
		var held []desc
		for want := uint64(0); want < packets || len(held) > 0; {
			d := s.send(4)
			for _, d := range d {
				if got := binary.NativeEndian.Uint64(s.mem.data[d.addr:]); got != want || d.len != 8 {
					t.Errorf("packet %d: got %d of %d bytes", want, got, d.len)
				}
				want++
			}
			held = append(held, d...)
			rnd.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
			k := rnd.IntN(len(held) + 1)
			if len(d) == 0 {
				k = len(held)
				runtime.Gosched()
			}
			s.finish(held[:k])
			held = held[k:]
		}
	})
	rnd := rand.New(rand.NewPCG(5, 6))
	room := make([]Frame, 7)
	bufs := make([][]byte, 7)
	for seq := uint64(0); seq < packets; {
		n := 0
		if rnd.IntN(2) == 0 {
			n = s.tx.alloc(room[:min(1+rnd.IntN(7), int(packets-seq))])
			for i := range room[:n] {
				at := rnd.IntN(56) // anywhere in the frame
				room[i].Data = binary.NativeEndian.AppendUint64(room[i].Data[at:at], seq+uint64(i))
			}
			if got, err := s.tx.transmit(room[:n]); got != n || err != nil {
				t.Fatalf("transmit: got %d, %v, want %d", got, err, n)
			}
		} else {
			want := bufs[:min(1+rnd.IntN(7), int(packets-seq))]
			for i := range want {
				want[i] = binary.NativeEndian.AppendUint64(make([]byte, 3, 11), seq+uint64(i))
			}
			var err error
			if n, err = s.tx.write(want, 3); err != nil {
				t.Fatal(err)
			}
		}
		if n == 0 {
			runtime.Gosched()
		}
		seq += uint64(n)
	}
	wg.Wait()
	s.tx.complete()
	if st := s.c.stats(); st.TxPackets != packets || st.TxBytes != 8*packets || st.TxCompleted != packets || st.TxBad != 0 || len(s.tx.pool.free) != 13 {
		t.Errorf("got %+v, %d free", st, len(s.tx.pool.free))
	}
}

// What is not a borrowed frame is refused and changes nothing; what comes before
// it is done.
func TestFramesNotBorrowed(t *testing.T) {
	s, other := newSim(4, 4, 64), newSim(4, 4, 64)
	s.deliver(0, 4)
	other.deliver(0, 4)
	rx, foreign, tx := make([]Frame, 4), make([]Frame, 1), make([]Frame, 2)
	if s.rx.receive(rx) != 4 || other.rx.receive(foreign) != 1 || s.tx.alloc(tx) != 2 {
		t.Fatal("no frames")
	}
	refused := func(what string, want int, f func() (int, error)) {
		t.Helper()
		if n, err := f(); n != want || !errors.Is(err, ErrFrame) {
			t.Errorf("%s: got %d, %v, want %d, %v", what, n, err, want, ErrFrame)
		}
	}
	refused("frame of another socket", 1, func() (int, error) { return s.rx.release([]Frame{rx[0], foreign[0], rx[1]}) })
	refused("frame given back twice", 0, func() (int, error) { return s.rx.release(rx[:1]) })
	refused("twice in one call", 1, func() (int, error) { return s.rx.release([]Frame{rx[1], rx[1]}) })
	refused("no frame", 0, func() (int, error) { return s.rx.release(make([]Frame, 1)) })
	refused("frame to send", 0, func() (int, error) { return s.rx.release(tx) })
	refused("received frame sent", 0, func() (int, error) { return s.tx.transmit(rx[2:]) })
	refused("received frame freed", 0, func() (int, error) { return s.tx.release(rx[2:]) })
	// The frame borrowed again is another borrowing.
	s.deliver(4, 2)
	again := make([]Frame, 2)
	if s.rx.receive(again) != 2 {
		t.Fatal("frames did not come back")
	}
	refused("earlier borrowing", 0, func() (int, error) { return s.rx.release(rx[:1]) })

	elsewhere := tx[0]
	elsewhere.Data = make([]byte, 64)
	refused("memory of somebody else", 0, func() (int, error) { return s.tx.transmit([]Frame{elsewhere}) })
	elsewhere.Data = tx[1].Data
	refused("memory of another frame", 0, func() (int, error) { return s.tx.transmit([]Frame{elsewhere}) })
	elsewhere.Data = tx[0].Data[:0]
	refused("empty packet", 0, func() (int, error) { return s.tx.transmit([]Frame{elsewhere}) })
	elsewhere.Data = tx[0].Data[:8:32]
	refused("capacity cut", 0, func() (int, error) { return s.tx.transmit([]Frame{elsewhere}) })
	if n, err := s.tx.transmit(tx); n != 2 || err != nil {
		t.Errorf("after that: got %d, %v, want 2", n, err)
	}
	refused("sent twice", 0, func() (int, error) { return s.tx.transmit(tx[:1]) })
	refused("freed after sending", 0, func() (int, error) { return s.tx.release(tx[:1]) })
}

func TestPacketsThatDoNotFit(t *testing.T) {
	s := newSim(1, 4, 64)
	good := make([]byte, 66)
	for _, tt := range []struct {
		name string
		bufs [][]byte
		want int
		err  error
	}{
		{"frame full", [][]byte{good}, 1, nil},
		{"one byte more", [][]byte{good[:10], make([]byte, 67), good}, 1, ErrTooLong},
		{"empty", [][]byte{good[:2]}, 0, ErrTooLong},
		{"shorter than its headroom", [][]byte{good[:1]}, 0, ErrTooLong},
		{"more than there are frames", [][]byte{good, good, good}, 2, nil},
	} {
		if n, err := s.tx.write(tt.bufs, 2); n != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %d, %v, want %d, %v", tt.name, n, err, tt.want, tt.err)
		}
	}
}

// A kernel that writes nonsense is counted; no frame is lent twice and nothing
// outside a frame is.
func TestKernelNonsense(t *testing.T) {
	s := newSim(2, 2, 64)
	for i, d := range []desc{{addr: 2 * 64, len: 8}, {addr: ^uint64(0), len: 8}, {addr: 60, len: 5}, {addr: 0, len: 64}, {addr: 0, len: 64}} {
		s.kRx.put(0, d)
		s.kRx.publish(1)
		var f [1]Frame
		want := 0
		if i == 3 {
			want = 1
		}
		if got := s.rx.receive(f[:]); got != want {
			t.Errorf("descriptor %+v: got %d frames, want %d", d, got, want)
		}
	}
	for _, addr := range []uint64{0, 2 * 64, 4 * 64, ^uint64(0)} {
		s.kDone.put(0, addr)
		s.kDone.publish(1)
		if got := s.tx.complete(); got != 0 {
			t.Errorf("completion %#x: got %d frames", addr, got)
		}
	}
	if st := s.c.stats(); st.RxBad != 4 || st.TxBad != 4 {
		t.Errorf("got %+v, want 4 bad each way", st)
	}
	s.kRx.producer.Add(100)
	s.kTx.consumer.Add(100)
	if got := s.rx.rx.ready(1); got != 0 {
		t.Errorf("%d entries ready behind an impossible index", got)
	}
	if got := s.tx.tx.room(3); got != 0 {
		t.Errorf("room for %d entries behind an impossible index", got)
	}
}

// The memory goes with its last holder, once, in any order.
func TestMemoryOutlivesSocket(t *testing.T) {
	s := newSim(4, 4, 64)
	s.deliver(0, 2)
	f := make([]Frame, 2)
	if s.rx.receive(f) != 2 {
		t.Fatal("no frames")
	}
	s.rx.closed = true
	if err := errors.Join(s.part.letGo(1), s.part.letGo(0)); err != nil || s.gone.Load() != 0 {
		t.Fatalf("%v, unmapped %d times under borrowed frames", err, s.gone.Load())
	}
	published := s.rx.fill.producer.Load()
	for i := range f {
		n, err := s.rx.release(f[i : i+1])
		if n != 1 || err != nil || s.part.letGo(int64(n)) != nil {
			t.Fatalf("release %d: %d, %v", i, n, err)
		}
		if got := s.gone.Load(); got != int64(i) {
			t.Errorf("after %d frames unmapped %d times, want %d", i+1, got, i)
		}
	}
	if s.rx.fill.producer.Load() != published || s.part.letGo(0) != nil || s.gone.Load() != 1 {
		t.Error("ring or memory used after it was given up")
	}
}

func TestRingNoAllocs(t *testing.T) {
	s := newSim(8, 8, 64)
	f, g := make([]Frame, 8), make([]Frame, 4)
	bufs := slices.Repeat([][]byte{make([]byte, 64)}, 4)
	var seq uint64
	if n := testing.AllocsPerRun(100, func() {
		seq = s.deliver(seq, 8)
		_, err1 := s.rx.release(f[:s.rx.receive(f)])
		_, err2 := s.tx.transmit(g[:s.tx.alloc(g)])
		_, err3 := s.tx.write(bufs, 0)
		for s.kTx.ready(1) > 0 {
			s.kDone.put(0, s.kTx.get(0).addr)
			s.kTx.consumed(1)
			s.kDone.publish(1)
		}
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
	if st := s.c.stats(); st.RxPackets != seq || seq == 0 || st.TxPackets != seq {
		t.Errorf("got %+v, want %d packets each way", st, seq)
	}
}
