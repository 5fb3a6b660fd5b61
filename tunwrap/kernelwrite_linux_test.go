// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// A fakeKernel takes frames, and cuts what was merged as the kernel does.
type fakeKernel struct {
	t       testing.TB
	errno   func(frame []byte) unix.Errno // nil: takes all
	packets [][]byte                      // taken
	cut     []bool                        // the packet was part of a superpacket
	writes  int
}

// superpacket reports whether a frame is one, and of TCP.
func superpacket(frame []byte) (super, tcp bool) {
	return frame[1] != 0, frame[1] == 1 || frame[1] == 4
}

func (k *fakeKernel) write(frame []byte) unix.Errno {
	k.writes++
	if k.errno != nil {
		if errno := k.errno(frame); errno != 0 {
			return errno
		}
	}
	super, _ := superpacket(frame)
	if !super {
		if !bytes.Equal(frame[:10], make([]byte, 10)) {
			k.t.Errorf("header %x of a packet alone, want zeros", frame[:10])
		}
		k.packets = append(k.packets, bytes.Clone(frame[10:]))
		k.cut = append(k.cut, false)
		return 0
	}
	s := script{frames: [][]byte{bytes.Clone(frame)}}
	d := tunwrap.NewDrain(s.read)
	n := len(k.packets)
	for {
		more, err := fillOnce(d, deviceSlab, maxBatch)
		if err != nil && err != tunwrap.ErrNothing {
			k.t.Fatal(err)
		}
		if len(more) == 0 {
			break
		}
		for _, p := range more {
			k.packets = append(k.packets, bytes.Clone(p))
			k.cut = append(k.cut, true)
		}
	}
	if len(k.packets) < n+2 {
		k.t.Fatalf("superpacket of %d packets: %x", len(k.packets)-n, clip(frame))
	}
	return 0
}

// scriptedDevice is a device in front of k.
func scriptedDevice(t testing.TB, k *fakeKernel, o *tunwrap.Options) *tunwrap.Device {
	t.Helper()
	k.t = t
	d := wrap(t, newFakeTUN(), o)
	tunwrap.Script(d, k.write)
	return d
}

// flowName returns what packets that must stay in order have in common, empty for one
// that must keep its place among all.
func flowName(p []byte) string {
	switch {
	case len(p) >= 28 && p[0] == 0x45 && p[6]&^0x40 == 0 && p[7] == 0 && int(p[2])<<8|int(p[3]) == len(p) &&
		(p[9] == 17 || p[9] == 6 && len(p) >= 40):
		return string(p[9:10]) + string(p[12:24])
	case len(p) >= 48 && p[0]>>4 == 6 && int(p[4])<<8|int(p[5]) == len(p)-40 && (p[6] == 17 || p[6] == 6 && len(p) >= 60):
		return string(p[6:7]) + string(p[8:44])
	}
	return ""
}

// checkWritten fails the test unless got, of which those with cut were in
// superpackets, is want: each packet once, to the byte, each flow in its order, and
// what is no flow in its place.
func checkWritten(t *testing.T, want, got [][]byte, cut []bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	flows := make(map[string][][]byte)
	for i, p := range want {
		name := flowName(p)
		if name == "" && !bytes.Equal(got[i], p) {
			t.Fatalf("packet %d is %x, want %x, which is no flow", i, clip(got[i]), clip(p))
		}
		flows[name] = append(flows[name], p)
	}
	for i, p := range got {
		name := flowName(p)
		if len(flows[name]) == 0 {
			t.Fatalf("packet %d is one too many: %x", i, clip(p))
		}
		w := flows[name][0]
		flows[name] = flows[name][1:]
		if cut[i] && w[0]>>4 == 4 && w[6] == 0x40 {
			// The kernel numbers what may not be fragmented anew.
			copy(p[4:6], w[4:6])
			copy(p[10:12], w[10:12])
		}
		if !bytes.Equal(p, w) {
			t.Fatalf("packet %d differs:\n got %x\nwant %x", i, clip(p), clip(w))
		}
	}
}

// FuzzWrite writes batches of flows that interleave to a kernel that may refuse
// superpackets or be busy.
func FuzzWrite(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, byte(seed), []byte{})
	}
	f.Add(uint64(2), byte(0), []byte{10, 3, 200, 40, 1, 1, 17, 6, 0x40, 90, 9, 20})
	f.Fuzz(func(t *testing.T, seed uint64, moods byte, damage []byte) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		bufs := mixedBatch(rnd)
		for i := 0; i+2 < len(damage); i += 3 {
			p := bufs[int(damage[i])%len(bufs)]
			if len(p) <= writeOffset {
				continue
			}
			p = p[writeOffset:]
			p[int(damage[i+1])%min(len(p), 80)] ^= damage[i+2]
			if damage[i+2]&1 != 0 && (p[0] == 0x45 || p[0]>>4 == 6) && len(p) > 60 {
				repair(p)
			}
		}
		var want [][]byte
		size := 0
		for _, b := range bufs {
			if len(b) > writeOffset {
				want = append(want, bytes.Clone(b[writeOffset:]))
				size += len(b) - writeOffset
			}
		}
		var k fakeKernel
		k.errno = func(frame []byte) unix.Errno {
			super, _ := superpacket(frame)
			switch {
			case moods&1 != 0 && rnd.IntN(4) == 0:
				return unix.EAGAIN
			case moods&2 != 0 && super && rnd.IntN(4) == 0:
				return unix.EINVAL
			}
			return 0
		}
		d := scriptedDevice(t, &k, nil)
		if n, err := d.WriteTo(3, bufs, writeOffset); n != len(want) || err != nil {
			t.Fatalf("WriteTo returned %d, %v, want %d", n, err, len(want))
		}
		checkWritten(t, want, k.packets, k.cut)
		s := d.Stats().Queues[0].Write
		if s.Packets != uint64(len(want)) || s.Bytes != uint64(size) || s.Empty != uint64(len(bufs)-len(want)) ||
			s.Single+s.TCP.Packets+s.UDP.Packets != s.Packets || s.Dropped.Total() != 0 {
			t.Fatalf("stats %+v for %d packets of %d bytes and %d empty ones", s, len(want), size, len(bufs)-len(want))
		}
	})
}

// mixedBatch returns packets of several flows, in an order that keeps each flow's.
func mixedBatch(rnd *rand.Rand) [][]byte {
	var flows [][][]byte
	for i := range 1 + rnd.IntN(12) {
		var sizes []int
		for range 1 + rnd.IntN(4) {
			sizes = append(sizes, slices.Repeat([]int{rnd.IntN(1400)}, 1+rnd.IntN(20))...)
		}
		if v6 := rnd.IntN(2) == 0; rnd.IntN(2) == 0 {
			flow := flowOf(v6, sizes...)
			for _, b := range flow {
				p := b[writeOffset:]
				start := len(p) - len(p[20:])
				if v6 {
					start = 40
				}
				p[start+1] = byte(i) // the port
				if rnd.IntN(10) == 0 {
					p[start+13] |= 0x08
				}
				repair(p)
			}
			flows = append(flows, flow)
		} else {
			flows = append(flows, datagrams(v6, uint16(i), sizes...))
		}
	}
	flows = append(flows, [][]byte{make([]byte, writeOffset), nil,
		append(make([]byte, writeOffset), testutil.Echo(remoteV4, hostV4, 1, 1, []byte("ping"))...),
		append(make([]byte, writeOffset), 0x45, 1, 2),
	})
	var bufs [][]byte
	for len(flows) > 0 && len(bufs) < 300 {
		i := rnd.IntN(len(flows))
		n := min(1+rnd.IntN(3), len(flows[i]))
		bufs = append(bufs, flows[i][:n]...)
		if flows[i] = flows[i][n:]; len(flows[i]) == 0 {
			flows = slices.Delete(flows, i, i+1)
		}
	}
	return bufs
}

// TestWrite_fallback has the kernel refuse superpackets of TCP.
func TestWrite_fallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{}
		broken := true
		k.errno = func(frame []byte) unix.Errno {
			if _, tcp := superpacket(frame); tcp && broken {
				return unix.EINVAL
			}
			return 0
		}
		d := scriptedDevice(t, k, nil)
		// write writes two superpackets of each kind and returns the calls it took.
		write := func() int {
			t.Helper()
			k.writes, k.packets, k.cut = 0, nil, nil
			bufs := slices.Concat(flowOf(false, 9, 9, 9), flowOf(true, 9, 9, 9), datagrams(false, 1, 9, 9), datagrams(true, 1, 9, 9))
			var want [][]byte
			for _, b := range bufs {
				want = append(want, bytes.Clone(b[writeOffset:]))
			}
			if n, err := d.Write(bufs, writeOffset); n != 10 || err != nil {
				t.Fatalf("Write returned %d, %v", n, err)
			}
			checkWritten(t, want, k.packets, k.cut)
			return k.writes
		}
		for _, step := range []struct {
			name      string
			wait      time.Duration
			repair    bool
			writes    int
			fallbacks uint64
			off       bool
		}{
			{"first use is the probe", 0, false, 1 + 6 + 2, 1, true},
			{"it is remembered", 59 * time.Second, false, 6 + 2, 1, true},
			{"tried again", 2 * time.Second, false, 1 + 6 + 2, 2, true},
			{"works again, not yet tried", 30 * time.Second, true, 6 + 2, 2, true},
			{"tried again with success", 31 * time.Second, true, 4, 2, false},
			{"stays", 0, true, 4, 2, false},
		} {
			time.Sleep(step.wait)
			broken = !step.repair
			writes := write()
			s := d.Stats()
			off := s.TCPMerging.Off
			w := s.Queues[0].Write
			if writes != step.writes || w.TCP.Fallbacks != step.fallbacks || off != step.off || off != (s.TCPMerging.Reason != "") {
				t.Errorf("%s: %d writes, stats %+v; want %+v", step.name, writes, s, step)
			}
			if s.UDPMerging.Off || w.UDP.Fallbacks != 0 || w.Errors != 0 {
				t.Errorf("%s: stats %+v, want UDP merged as always", step.name, s)
			}
		}
		w := d.Stats().Queues[0].Write
		if want := (tunwrap.MergeStats{Packets: 12, Superpackets: 4, Fallbacks: 2}); w.TCP != want {
			t.Errorf("TCP %+v, want %+v", w.TCP, want)
		}
		if want := (tunwrap.MergeStats{Packets: 24, Superpackets: 12}); w.UDP != want {
			t.Errorf("UDP %+v, want %+v", w.UDP, want)
		}
	})
}

// TestWrite_refusedPackets has the kernel refuse packets themselves: that says
// nothing about merging.
func TestWrite_refusedPackets(t *testing.T) {
	for _, tt := range []struct {
		name  string
		errno func(n int, super bool) unix.Errno // of the n-th call
		taken int
		drops tunwrap.WriteDrops
		fails uint64
	}{
		{"down", func(int, bool) unix.Errno { return unix.EIO }, 0, tunwrap.WriteDrops{Down: 4}, 2},
		{"invalid", func(int, bool) unix.Errno { return unix.EINVAL }, 0, tunwrap.WriteDrops{Invalid: 4}, 4},
		{"one of a superpacket invalid", func(n int, super bool) unix.Errno {
			if super || n == 3 {
				return unix.EINVAL
			}
			return 0
		}, 3, tunwrap.WriteDrops{Invalid: 1}, 1},
		{"no memory for the superpacket", func(_ int, super bool) unix.Errno {
			if super {
				return unix.ENOMEM
			}
			return 0
		}, 1, tunwrap.WriteDrops{NoBuffer: 3}, 1},
		{"different reasons", func(n int, super bool) unix.Errno {
			return []unix.Errno{0, unix.EINVAL, unix.ENOBUFS, unix.EPERM, 0, unix.EIO}[n]
		}, 1, tunwrap.WriteDrops{NoBuffer: 1, Other: 1, Down: 1}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			k := &fakeKernel{errno: func(frame []byte) unix.Errno {
				n++
				super, _ := superpacket(frame)
				return tt.errno(n, super)
			}}
			d := scriptedDevice(t, k, nil)
			bufs := slices.Concat(flowOf(false, 100, 100, 50), datagrams(false, 1, 30))
			if n, err := d.Write(bufs, writeOffset); n != tt.taken || err != nil {
				t.Errorf("Write returned %d, %v, want %d", n, err, tt.taken)
			}
			s := d.Stats()
			w := s.Queues[0].Write
			if w.Packets != uint64(tt.taken) || w.Dropped != tt.drops || w.Errors != tt.fails {
				t.Errorf("stats %+v, want %+v", w, tt)
			}
			if s.TCPMerging.Off || w.TCP.Fallbacks != 0 {
				t.Errorf("merging %+v, %+v, want as before", s.TCPMerging, w.TCP)
			}
		})
	}
}

// TestWrite_deleted has the interface vanish in the middle.
func TestWrite_deleted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		at    int
		errno unix.Errno // of superpackets before
		taken int
	}{
		{"at once", 1, 0, 0},
		{"behind a superpacket", 2, 0, 3},
		{"among packets of a refused one", 3, unix.EINVAL, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			k := &fakeKernel{errno: func(frame []byte) unix.Errno {
				if n++; n >= tt.at {
					return unix.EBADFD
				}
				if super, _ := superpacket(frame); super {
					return tt.errno
				}
				return 0
			}}
			d := scriptedDevice(t, k, nil)
			bufs := slices.Concat(flowOf(false, 100, 100, 50), datagrams(false, 1, 30), [][]byte{nil}, datagrams(true, 1, 30, 30))
			many := slices.Concat(bufs, make([][]byte, tunwrap.MaxWrite), bufs)
			if n, err := d.Write(many, writeOffset); n != tt.taken || !errors.Is(err, os.ErrClosed) {
				t.Errorf("Write returned %d, %v, want %d and os.ErrClosed", n, err, tt.taken)
			}
			w := d.Stats().Queues[0].Write
			if want := (tunwrap.WriteDrops{Closed: uint64(12 - tt.taken)}); w.Dropped != want || w.Empty != 2+tunwrap.MaxWrite || w.Errors != 1 {
				t.Errorf("stats %+v, want %+v", w, want)
			}
		})
	}
}

// TestWrite_mergingOff checks that switching merging off is heeded.
func TestWrite_mergingOff(t *testing.T) {
	k := &fakeKernel{}
	d := scriptedDevice(t, k, nil)
	for i, tt := range []struct {
		change func()
		writes int
		states [2]bool
	}{
		{func() {}, 2, [2]bool{}},
		{d.DisableUDPGRO, 4, [2]bool{false, true}},
		{d.DisableTCPGRO, 6, [2]bool{true, true}},
	} {
		tt.change()
		k.writes = 0
		bufs := slices.Concat(flowOf(false, 100, 100, 50), datagrams(false, 1, 30, 30, 30))
		if n, err := d.Write(bufs, writeOffset); n != 6 || err != nil {
			t.Errorf("Write returned %d, %v", n, err)
		}
		s := d.Stats()
		if k.writes != tt.writes || s.TCPMerging.Off != tt.states[0] || s.UDPMerging.Off != tt.states[1] {
			t.Errorf("step %d: %d writes, want %d; stats %+v", i, k.writes, tt.writes, s)
		}
	}
}

// TestWrite_stats checks the counters of two calls: nothing of the first is left over, and the
// histogram is of calls.
func TestWrite_stats(t *testing.T) {
	k := &fakeKernel{}
	d := scriptedDevice(t, k, nil)
	for range 2 {
		bufs := slices.Concat(flowOf(false, 100, 100, 50), datagrams(false, 1, 30), [][]byte{nil})
		if n, err := d.Write(bufs, writeOffset); n != 4 || err != nil {
			t.Fatalf("Write returned %d, %v", n, err)
		}
	}
	want := tunwrap.WriteStats{
		Packets: 8, Bytes: 2 * (140 + 140 + 90 + 58), Writes: 2, Batches: tunwrap.Histogram{2: 2}, Single: 2,
		TCP: tunwrap.MergeStats{Packets: 6, Superpackets: 2}, Empty: 2,
	}
	if diff := cmp.Diff(want, d.Stats().Queues[0].Write); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// TestKernelWriteNoAllocs writes flows that interleave, with a refusal.
func TestKernelWriteNoAllocs(t *testing.T) {
	d := wrap(t, newFakeTUN(), &tunwrap.Options{MergeRetry: time.Nanosecond})
	tunwrap.Script(d, func(frame []byte) unix.Errno {
		if _, tcp := superpacket(frame); tcp {
			return unix.EINVAL
		}
		return 0
	})
	fresh := slices.Concat(flowOf(false, 100, 100, 50), datagrams(false, 1, 30, 30), datagrams(true, 2, 30))
	bufs := make([][]byte, len(fresh))
	for i, b := range fresh {
		bufs[i] = bytes.Clone(b)
	}
	if n := testing.AllocsPerRun(100, func() {
		for i, b := range fresh {
			copy(bufs[i], b)
		}
		if n, err := d.Write(bufs, writeOffset); n != len(bufs) || err != nil {
			t.Fatalf("Write returned %d, %v", n, err)
		}
	}); n > singleAllocs {
		t.Errorf("allocates %v times, want at most %d", n, singleAllocs)
	}
	if s := d.Stats().Queues[0].Write; s.TCP.Fallbacks < 100 || s.UDP.Superpackets < 100 {
		t.Errorf("stats %+v, want fallbacks and merged UDP", s)
	}
}
