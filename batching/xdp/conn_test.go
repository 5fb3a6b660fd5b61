// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A result is how a ReadBatch in the background ended, and when.
type result struct {
	got  []packet
	err  error
	when time.Time
}

// readSoon starts a ReadBatch, which waits when this returns. It is for bubbles of
// package synctest.
func readSoon(c *Conn) <-chan result {
	ch := make(chan result, 1)
	go func() {
		got, err := readOnce(c, 1<<16, 64)
		ch <- result{got, err, time.Now()}
	}()
	synctest.Wait()
	return ch
}

// pending fails when the read is over.
func pending(t *testing.T, ch <-chan result) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-ch:
		t.Fatalf("did not wait: %v, %v", r.got, r.err)
	default:
	}
}

// A deadline that has passed is told after what was received.
func TestDeadlinePast(t *testing.T) {
	for name, deadline := range map[string]func() time.Time{
		"long ago": func() time.Time { return time.Unix(1, 0) },
		"now":      time.Now,
	} {
		r := newActiveRig(t, 8)
		r.sock.deliver(plain("1"), plain("2"))
		if err := r.c.SetReadDeadline(deadline()); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r.c, 1, 64)
		wantError(t, err, os.ErrDeadlineExceeded)
		if !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("%s: got %q", name, got)
		}
		r.sock.deliver(plain("3"))
		if got, err := readOnce(r.c, 9, 9); err != nil || len(got) != 1 || got[0].data != "3" {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// A deadline ends a wait in time, with a lane and without, set before and
// during it, and a new one holds for the next.
func TestDeadlineWait(t *testing.T) {
	for name, active := range map[string]bool{"lane": true, "no lane": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 8)
				if active {
					r.c.use(r.lane, r.lane)
				}
				check := func(ch <-chan result, at time.Time) {
					t.Helper()
					got := <-ch
					wantError(t, got.err, os.ErrDeadlineExceeded)
					if !got.when.Equal(at) {
						t.Fatalf("ended at %v, want %v", got.when, at)
					}
				}
				set := func(at time.Time) {
					t.Helper()
					if err := r.c.SetReadDeadline(at); err != nil {
						t.Fatal(err)
					}
				}
				at := time.Now().Add(3 * time.Second)
				set(at)
				check(readSoon(r.c), at)
				check(readSoon(r.c), at) // still
				set(time.Time{})
				ch := readSoon(r.c)
				time.Sleep(time.Hour)
				pending(t, ch)
				at = time.Now().Add(time.Minute)
				set(at.Add(time.Minute))
				set(at) // sooner
				check(ch, at)
				at = time.Now().Add(time.Second)
				set(at)
				ch = readSoon(r.c)
				at = at.Add(time.Second)
				set(at) // later
				check(ch, at)
				set(time.Time{})
				ch = readSoon(r.c)
				at = time.Now()
				set(time.Unix(1, 0))
				check(ch, at)
				set(time.Time{})
				ch = readSoon(r.c)
				pending(t, ch)
				if !active {
					r.c.use(r.lane, r.lane)
				}
				r.sock.deliver(plain("late"))
				if got := <-ch; got.err != nil || got.got[0].data != "late" {
					t.Fatalf("got %v, %v", got.got, got.err)
				}
			})
		})
	}
}

// A lane that comes late is read, by who waits already.
func TestLaneAppears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)
		ch := readSoon(r.c)
		time.Sleep(time.Minute)
		pending(t, ch)
		r.c.use(r.lane, r.lane)
		pending(t, ch)
		r.sock.deliver(plain("x"))
		if got := <-ch; got.err != nil || len(got.got) != 1 {
			t.Fatalf("got %v, %v", got.got, got.err)
		}
	})
}

// A deadline that was set before the lane came holds for it.
func TestLaneAppearsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)
		at := time.Now().Add(time.Minute)
		if err := r.c.SetReadDeadline(at); err != nil {
			t.Fatal(err)
		}
		ch := readSoon(r.c)
		r.c.use(r.lane, r.lane)
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case got := <-ch:
			wantError(t, got.err, os.ErrDeadlineExceeded)
			if !got.when.Equal(at) {
				t.Errorf("ended %v after the deadline", got.when.Sub(at))
			}
		default:
			_ = r.c.Close()
			t.Error("waits past the deadline")
		}
	})
}

// While the interface is down the reader rests, and goes on when it is up again.
func TestReadDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)
		r.sock.readErr = syscall.ENETDOWN
		r.c.use(r.lane, r.lane)
		ch := readSoon(r.c)
		time.Sleep(time.Hour)
		pending(t, ch)
		r.sock.mu.Lock()
		r.sock.readErr = nil
		r.sock.mu.Unlock()
		r.sock.deliver(plain("x"))
		if got := <-ch; got.err != nil || len(got.got) != 1 {
			t.Fatalf("got %v, %v", got.got, got.err)
		}
		r.sock.mu.Lock()
		r.sock.readErr = syscall.ENETDOWN
		r.sock.mu.Unlock()
		at := time.Now().Add(5*downPause + time.Millisecond)
		if err := r.c.SetReadDeadline(at); err != nil {
			t.Fatal(err)
		}
		got := <-readSoon(r.c)
		wantError(t, got.err, os.ErrDeadlineExceeded)
		if !got.when.Equal(at) {
			t.Errorf("ended %v after the deadline", got.when.Sub(at))
		}
		if err := r.c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		ch = readSoon(r.c)
		at = time.Now()
		if err := r.c.Close(); err != nil {
			t.Fatal(err)
		}
		got = <-ch
		wantError(t, got.err, net.ErrClosed)
		if !got.when.Equal(at) {
			t.Errorf("ended %v after Close", got.when.Sub(at))
		}
	})
}

func TestLocalAddr(t *testing.T) {
	r := newRig(t, 1)
	if got, want := r.c.LocalAddr(), netip.MustParseAddrPort("[::]:51820"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
