// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A loop around Poll sees every packet and every frame that was sent, with one
// goroutine at each end, however the socket waits.
func TestPoll(t *testing.T) {
	for name, zeroCopy := range map[string]bool{"copy": false, "as zero-copy": true} {
		t.Run(name, func(t *testing.T) {
			testutil.LeakCheck(t)
			l := newLab(t, link.XDPGenericMode, &xsk.Options{TxFrames: 8}, &xsk.Options{RxFrames: 128})
			if zeroCopy {
				xsk.PretendZeroCopy(l.tx)
				xsk.PretendZeroCopy(l.rx)
			}
			for _, timeout := range []time.Duration{0, time.Microsecond, time.Millisecond} {
				if received, completed, err := l.rx.Poll(timeout); received != 0 || completed != 0 || err != nil {
					t.Errorf("nothing to see within %v: got %d, %d, %v", timeout, received, completed, err)
				}
			}
			const rounds, batch = 30, 4
			ends := make(chan error, 1)
			go func() {
				for done := 0; done < rounds*batch; {
					n, _, err := l.rx.Poll(-1)
					if err != nil {
						ends <- err
						return
					}
					frames := make([]xsk.Frame, n)
					if m, err := l.rx.Receive(frames); m != n || err != nil || l.rx.Release(frames) != nil {
						t.Errorf("received %d, %v, want %d", m, err, n)
					}
					done += n
				}
				ends <- nil
			}()
			for round := range rounds {
				frames := make([]xsk.Frame, batch)
				if n, err := l.tx.Alloc(frames); n != batch || err != nil {
					t.Fatal(n, err)
				}
				for i := range frames {
					frames[i].Data = append(frames[i].Data[:0], packet(round, 60)...)
				}
				if n, err := l.tx.Transmit(frames); n != batch || err != nil {
					t.Fatal(n, err)
				}
				for done := 0; done < batch; {
					received, completed, err := l.tx.Poll(time.Minute)
					if received != 0 || completed < 1 || completed > batch-done || err != nil {
						t.Fatalf("%d of %d sent, then %d received, %d completed, %v", done, batch, received, completed, err)
					}
					done += completed
				}
			}
			if err := <-ends; err != nil {
				t.Error(err)
			}
			for range 2 { // a deadline of WaitRead is none of Poll
				if err := errors.Join(l.rx.SetReadDeadline(time.Unix(1, 0)), l.tx.SetWriteDeadline(time.Unix(1, 0))); err != nil {
					t.Fatal(err)
				}
				if received, completed, err := l.rx.Poll(time.Microsecond); received != 0 || completed != 0 || err != nil {
					t.Errorf("got %d, %d, %v", received, completed, err)
				}
			}
		})
	}
}

// Close ends a Poll that waits, and what was opened for it goes, too.
func TestPollClose(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t, link.XDPGenericMode, nil, nil)
	ends := make(chan error, 2)
	for range cap(ends) {
		go func() {
			_, _, err := l.rx.Poll(-1)
			ends <- err
		}()
	}
	waits(t, l.rx)
	if err := l.rx.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(ends) {
		if err := <-ends; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	}
	if _, _, err := l.rx.Poll(0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed socket: got %v", err)
	}
}

func TestPollLinkDown(t *testing.T) {
	l := newLab(t, link.XDPGenericMode, nil, nil)
	l.ns.Run(func() {
		if err := netlink.LinkSetDown(l.far); err != nil {
			t.Fatal(err)
		}
	})
	if _, _, err := l.rx.Poll(-1); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("got %v, want ENETDOWN", err)
	}
}

// Where no event tells of frames that were sent, a wait for one looks again.
func TestWaitWriteZeroCopy(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t, link.XDPGenericMode, &xsk.Options{TxFrames: 4}, nil)
	xsk.PretendZeroCopy(l.tx)
	frames := make([]xsk.Frame, 4)
	if n, err := l.tx.Alloc(frames); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if err := l.tx.SetWriteDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := l.tx.WaitWrite(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
	if err := l.tx.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	ends := make(chan error)
	go func() { ends <- l.tx.WaitWrite() }()
	if err := l.tx.Free(frames[:1]); err != nil {
		t.Fatal(err)
	}
	if err := <-ends; err != nil {
		t.Error(err)
	}
	if n, err := l.tx.Alloc(frames[:1]); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	go func() { ends <- l.tx.WaitWrite() }()
	if err := l.tx.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ends; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	if err := l.tx.Free(frames); err != nil {
		t.Error(err)
	}
}

// The numbers of frames add up, wherever these are.
func TestFrameNumbers(t *testing.T) {
	l := newLab(t, link.XDPGenericMode, &xsk.Options{RxFrames: 5, TxFrames: 8}, &xsk.Options{RxFrames: 8, TxFrames: 5})
	deadline(t, l.rx)
	want := func(what string, s *xsk.Socket, f xsk.Frames) {
		t.Helper()
		testutil.Eventually(t, 30*time.Second, what, func() error {
			if got := s.Stats().Frames; got != f {
				return errors.New(what)
			}
			return nil
		})
		if got := s.Stats().Frames; got != f {
			t.Errorf("%s: got %+v, want %+v", what, got, f)
		}
	}
	want("new socket", l.tx, xsk.Frames{RxFilled: 5, TxFree: 8})
	frames := make([]xsk.Frame, 4)
	if n, err := l.tx.Alloc(frames); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	want("borrowed to send", l.tx, xsk.Frames{RxFilled: 5, TxFree: 4, TxBorrowed: 4})
	for i := range frames[:3] {
		frames[i].Data = append(frames[i].Data[:0], packet(i, 60)...)
	}
	if n, err := l.tx.Transmit(frames[:3]); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	want("sent", l.tx, xsk.Frames{RxFilled: 5, TxFree: 4, TxSent: 3, TxBorrowed: 1})
	if n, err := l.tx.Complete(); n != 3 || err != nil || l.tx.Free(frames[3:]) != nil {
		t.Fatal(n, err)
	}
	want("free again", l.tx, xsk.Frames{RxFilled: 5, TxFree: 8})
	want("received", l.rx, xsk.Frames{RxFilled: 5, RxReceived: 3, TxFree: 5})
	if n, err := l.rx.Receive(frames[:2]); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	want("borrowed", l.rx, xsk.Frames{RxFilled: 5, RxReceived: 1, RxBorrowed: 2, TxFree: 5})
	if err := l.rx.Release(frames[:2]); err != nil {
		t.Fatal(err)
	}
	want("released", l.rx, xsk.Frames{RxFilled: 7, RxReceived: 1, TxFree: 5})
	if err := l.rx.Close(); err != nil {
		t.Fatal(err)
	}
	if got := l.rx.Stats().Frames; got.RxReceived != 0 || got.RxBorrowed != 0 {
		t.Errorf("closed: got %+v", got)
	}
}
