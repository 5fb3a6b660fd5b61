// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Packets of all sizes pass a pair, in both ways to attach a program: each once,
// in order and whole, over rings that wrap often and with fewer frames than packets.
func TestVeth(t *testing.T) {
	for name, flags := range map[string]link.XDPAttachFlags{"native": link.XDPDriverMode, "generic": link.XDPGenericMode} {
		t.Run(name, func(t *testing.T) {
			testutil.LeakCheck(t)
			l := newLab(t, flags, &xsk.Options{RxFrames: 1, TxFrames: 24}, &xsk.Options{RxFrames: 33, TxFrames: 1, Mode: xsk.ModeCopy})
			deadline(t, l.tx, l.rx)
			if l.rx.ZeroCopy() || l.tx.ZeroCopy() {
				t.Error("a veth pair does zero-copy")
			}
			const batch = 32 // packets on their way; no queue drops that few
			sent, size := 0, uint64(0)
			for s := 18; s+batch <= l.rx.MaxReceive(); s += 13 {
				var bufs [][]byte
				for i := range batch {
					bufs = append(bufs, packet(sent, s+i))
					size += uint64(s + i)
					sent++
				}
				write(t, l.tx, bufs...)
				expect(t, l.rx, bufs...)
			}
			// Frames written in place, from the middle of the frame.
			frames := make([]xsk.Frame, 4)
			var n int
			testutil.Eventually(t, 30*time.Second, "frames", func() (err error) {
				if n, err = l.tx.Alloc(frames); err == nil && n == 0 {
					err = errors.New("none free")
				}
				return err
			})
			var want [][]byte
			for i := range frames[:n] {
				want = append(want, packet(sent, 100+i))
				frames[i].Data = append(frames[i].Data[64:64], want[i]...)
				size += uint64(100 + i)
				sent++
			}
			if got, err := l.tx.Transmit(frames[:n]); got != n || err != nil {
				t.Fatalf("transmit: %d, %v, want %d", got, err, n)
			}
			expect(t, l.rx, want...)
			if err := l.tx.Free(frames[:1]); !errors.Is(err, xsk.ErrFrame) {
				t.Errorf("frame freed after sending: %v", err)
			}

			testutil.Eventually(t, 30*time.Second, "completions", func() error {
				if _, err := l.tx.Complete(); err != nil {
					return err
				}
				if st := l.tx.Stats(); st.TxCompleted != uint64(sent) {
					return fmt.Errorf("%d of %d", st.TxCompleted, sent)
				}
				return nil
			})
			if st := l.tx.Stats(); st.TxPackets != uint64(sent) || st.TxBytes != size || st.TxBad != 0 || st.Kernel.TxBadDescs != 0 || st.TxWakes == 0 {
				t.Errorf("sender: %+v", st)
			}
			st := l.rx.Stats()
			st.Kernel.TxRingEmpty = 0 // asking whether it is readable looks at that ring
			if st.RxPackets != uint64(sent) || st.RxBytes != size || st.RxBad != 0 || st.Kernel != (xsk.Kernel{}) {
				t.Errorf("receiver: %+v", st)
			}
		})
	}
}

// The largest packet that MaxReceive promises arrives; one byte more is dropped and
// counted by the kernel.
func TestLargestPacket(t *testing.T) {
	for _, size := range []int{2048, 4096} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := newLab(t, link.XDPGenericMode, &xsk.Options{FrameSize: 4096, TxFrames: 8}, &xsk.Options{FrameSize: size, RxFrames: 8})
			deadline(t, l.rx)
			l.ns.Run(func() {
				for _, l := range []netlink.Link{l.near, l.far} {
					if err := netlink.LinkSetMTU(l, 9000); err != nil {
						t.Fatal(err)
					}
				}
			})
			most := packet(1, l.rx.MaxReceive())
			write(t, l.tx, most, packet(2, len(most)+1), packet(3, 60))
			expect(t, l.rx, most, packet(3, 60))
			if st := l.rx.Stats(); st.Kernel.RxDropped != 1 {
				t.Errorf("got %+v, want 1 dropped", st.Kernel)
			}
		})
	}
}

// Close ends reads that wait, frees everything, and leaves borrowed frames readable.
func TestCloseWhileReading(t *testing.T) {
	testutil.LeakCheck(t)
	before := ringMappings(t)
	l := newLab(t, link.XDPGenericMode, &xsk.Options{TxFrames: 8}, &xsk.Options{RxFrames: 8})
	if ringMappings(t) != before+8 {
		t.Errorf("%d rings mapped, want 8 more than %d", ringMappings(t), before)
	}
	write(t, l.tx, packet(7, 60))
	borrowed := make([]xsk.Frame, 2)
	if n, err := l.rx.BatchRead(borrowed); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	const readers = 3
	ends := make(chan error, readers)
	for range readers {
		go func() {
			_, err := l.rx.BatchRead(make([]xsk.Frame, 1))
			ends <- err
		}()
	}
	waits(t, l.rx)
	if err := errors.Join(l.rx.Close(), l.rx.Close(), l.tx.Close()); err != nil {
		t.Fatal(err)
	}
	for range readers {
		if err := <-ends; !errors.Is(err, net.ErrClosed) {
			t.Errorf("reader: got %v, want net.ErrClosed", err)
		}
	}
	if got := ringMappings(t); got != before {
		t.Errorf("%d rings mapped after Close, want %d", got, before)
	}
	if !bytes.Equal(borrowed[0].Data, packet(7, 60)) {
		t.Error("the borrowed frame changed")
	}
	if err := l.rx.Release(borrowed[:1]); err != nil {
		t.Error(err)
	}
	if err := l.rx.Release(borrowed[:1]); !errors.Is(err, xsk.ErrFrame) {
		t.Errorf("second release: %v", err)
	}
	for what, f := range map[string]func() error{
		"Receive":    func() error { _, err := l.rx.Receive(borrowed); return err },
		"WaitRead":   l.rx.WaitRead,
		"Alloc":      func() error { _, err := l.rx.Alloc(borrowed); return err },
		"Transmit":   func() error { _, err := l.rx.Transmit(borrowed); return err },
		"BatchWrite": func() error { _, err := l.rx.BatchWrite([][]byte{packet(1, 60)}, 0); return err },
		"Complete":   func() error { _, err := l.rx.Complete(); return err },
		"WaitWrite":  l.rx.WaitWrite,
		"deadline":   func() error { return l.rx.SetReadDeadline(time.Time{}) },
	} {
		if err := f(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s on a closed socket: %v", what, err)
		}
	}
}

// waits returns when a reader of s has found nothing and is about to park.
func waits(t *testing.T, s *xsk.Socket) {
	t.Helper()
	testutil.Eventually(t, 30*time.Second, "a reader that waits", func() error {
		if s.Stats().RxWakes == 0 {
			return errors.New("none")
		}
		return nil
	})
}

// A packet wakes a reader that waits.
func TestReadWaits(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t, link.XDPGenericMode, &xsk.Options{TxFrames: 8}, &xsk.Options{RxFrames: 8})
	deadline(t, l.rx)
	var wg sync.WaitGroup
	wg.Go(func() {
		frames := make([]xsk.Frame, 1)
		for seq := range 3 {
			n, err := l.rx.BatchRead(frames)
			if n != 1 || err != nil || !bytes.Equal(frames[0].Data, packet(seq, 60)) || l.rx.Release(frames) != nil {
				t.Errorf("packet %d: got %d, %v", seq, n, err)
				return
			}
		}
	})
	for seq := range 3 {
		waits(t, l.rx)
		write(t, l.tx, packet(seq, 60))
	}
	wg.Wait()
}

// A burst much longer than what one system call sends, and than the send buffer
// of a default socket holds, leaves without another call.
func TestBurst(t *testing.T) {
	const burst = 1000
	l := newLab(t, link.XDPGenericMode, &xsk.Options{TxFrames: burst}, nil)
	var bufs [][]byte
	for seq := range burst {
		bufs = append(bufs, packet(seq, 1400))
	}
	if n, err := l.tx.BatchWrite(bufs, 0); n != burst || err != nil {
		t.Fatal(n, err)
	}
	testutil.Eventually(t, 30*time.Second, "completions", func() error {
		if _, err := l.tx.Complete(); err != nil {
			return err
		}
		if st := l.tx.Stats(); st.TxCompleted != burst {
			return fmt.Errorf("%d of %d", st.TxCompleted, burst)
		}
		return nil
	})
	// How many calls it took is not certain: the poller's question sends, too.
	if st := l.tx.Stats(); st.TxWakes == 0 || st.TxDropped != 0 || st.Kernel.TxBadDescs != 0 {
		t.Errorf("got %+v", st)
	}
}

// ringMappings counts the mappings of sockets that the process has.
func ringMappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), "socket:[")
}

func TestDeadline(t *testing.T) {
	l := newLab(t, link.XDPGenericMode, nil, nil)
	if err := l.rx.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := l.rx.BatchRead(make([]xsk.Frame, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
	}
	deadline(t, l.rx)
	write(t, l.tx, packet(1, 60))
	expect(t, l.rx, packet(1, 60))
}

// An interface that is down takes nothing more, works again when it is up, and one
// that is gone stays an error.
func TestLinkDown(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t, link.XDPGenericMode, &xsk.Options{TxFrames: 8}, &xsk.Options{RxFrames: 8})
	deadline(t, l.tx, l.rx)
	set := func(f func(netlink.Link) error, links ...netlink.Link) {
		l.ns.Run(func() {
			for _, l := range links {
				if err := f(l); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	set(netlink.LinkSetDown, l.near, l.far)
	if _, err := l.rx.BatchRead(make([]xsk.Frame, 1)); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("read: got %v, want ENETDOWN", err)
	}
	for _, want := range []int{1, 0, 0} {
		if n, err := l.tx.BatchWrite([][]byte{packet(1, 60)}, 0); n != want || !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("write: got %d, %v, want %d, ENETDOWN", n, err, want)
		}
	}
	set(netlink.LinkSetUp, l.near, l.far)
	// The carrier comes a little later.
	testutil.Eventually(t, 30*time.Second, "carrier", func() (err error) {
		l.ns.Run(func() {
			var now netlink.Link
			if now, err = netlink.LinkByName("near"); err == nil && now.Attrs().OperState != netlink.OperUp {
				err = errors.New(now.Attrs().OperState.String())
			}
		})
		return err
	})
	write(t, l.tx, packet(2, 60))
	expect(t, l.rx, packet(1, 60), packet(2, 60))
}

func TestInterfaceDeleted(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	testutil.NewNS(t).Run(func() {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near"}, PeerName: "far"}
		if err := errors.Join(netlink.LinkAdd(pair), netlink.LinkSetUp(pair)); err != nil {
			t.Fatal(err)
		}
		s := open(t, pair, &xsk.Options{RxFrames: 8, TxFrames: 8})
		deadline(t, s)
		if err := netlink.LinkDel(pair); err != nil {
			t.Fatal(err)
		}
		if _, err := s.BatchRead(make([]xsk.Frame, 1)); !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("read: got %v, want ENXIO or ENETDOWN", err)
		}
		if _, err := s.BatchWrite([][]byte{packet(1, 60)}, 0); !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("write: got %v, want ENXIO or ENETDOWN", err)
		}
	})
}

func TestOpenErrors(t *testing.T) {
	testutil.LeakCheck(t)
	for name, o := range map[string]*xsk.Options{
		"queue": {Queue: -1}, "frames": {RxFrames: -1}, "too many": {TxFrames: 1<<20 + 1}, "size": {FrameSize: 1000}, "mode": {Mode: 9},
	} {
		if s, err := xsk.Open(1, o); err == nil {
			t.Errorf("%s: opened %+v", name, s.Options())
		}
	}
	l := newLab(t, link.XDPGenericMode, nil, nil)
	before := ringMappings(t)
	l.ns.Run(func() {
		for _, tt := range []struct {
			name  string
			index int
			o     *xsk.Options
			want  error
		}{
			{"no interface", 1 << 20, nil, unix.ENODEV},
			{"no queue", l.far.Attrs().Index, &xsk.Options{Queue: 7}, unix.EINVAL},
			{"taken", l.far.Attrs().Index, nil, unix.EBUSY},
		} {
			if _, err := xsk.Open(tt.index, tt.o); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
		// A queue is free for the next socket at once.
		for range 3 {
			if err := l.tx.Close(); err != nil {
				t.Fatal(err)
			}
			l.tx = open(t, l.near, nil)
		}
	})
	if got := ringMappings(t); got != before {
		t.Errorf("%d rings mapped, want %d", got, before)
	}
}

func TestVethNoAllocs(t *testing.T) {
	l := newLab(t, link.XDPGenericMode, nil, nil)
	deadline(t, l.tx, l.rx)
	bufs := [][]byte{packet(1, 60), packet(2, 1400)}
	frames := make([]xsk.Frame, 8)
	if n := testing.AllocsPerRun(100, func() {
		if n, err := l.tx.BatchWrite(bufs, 0); n != 2 || err != nil {
			t.Error(n, err)
		}
		for missing := 2; missing > 0; {
			n, err := l.rx.BatchRead(frames)
			if err != nil || l.rx.Release(frames[:n]) != nil {
				t.Fatal(err)
			}
			missing -= n
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
