// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Close ends a wait, and everything after it is refused.
func TestClose(t *testing.T) {
	for name, active := range map[string]bool{"lane": true, "no lane": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 8)
				if active {
					r.c.use(r.lane, r.lane)
				}
				first, second := readSoon(r.c), make(chan error, 1)
				go func() {
					_, err := readOnce(r.c, 9, 9)
					second <- err
				}()
				for range 2 {
					if err := r.c.Close(); err != nil {
						t.Fatal(err)
					}
				}
				wantError(t, (<-first).err, net.ErrClosed)
				wantError(t, <-second, net.ErrClosed)
				_, err := r.c.WriteBatch(bufsOf(0, []string{"x"}), 0, dest(far4), 0)
				wantError(t, err, net.ErrClosed)
				_, err = r.c.Queue(bufsOf(0, []string{"x"}), 0, dest(far4), 0)
				wantError(t, err, net.ErrClosed)
				wantError(t, r.c.SetReadDeadline(time.Time{}), net.ErrClosed)
				r.sock.deliver(plain("x"))
				_, err = readOnce(r.c, 9, 9)
				wantError(t, err, net.ErrClosed)
				if active && r.sock.isClosed() {
					t.Error("closed the socket, which is the underlay's")
				}
				before := time.Now()
				r.c.retire() // nobody reads: no wait
				if took := time.Since(before); took != 0 {
					t.Errorf("waited %v for a reader", took)
				}
				if active && !r.sock.isClosed() {
					t.Error("retired, and the socket is open")
				}
			})
		})
	}
}

// Close gives back what was received and not delivered.
func TestCloseGivesBack(t *testing.T) {
	r := newActiveRig(t, 8)
	r.sock.deliver(plain("1111"), plain("2222"), plain("3333"))
	if got, err := readOnce(r.c, 4, 64); err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if n := r.sock.lent(); n != 2 {
		t.Fatalf("%d frames borrowed, want 2", n)
	}
	if err := r.c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := r.sock.lent(); n != 0 {
		t.Errorf("%d frames not given back", n)
	}
	if n := dropCounts(r.c)["unread"]; n != 2 {
		t.Errorf("%d counted as unread, want 2", n)
	}
	_, err := readOnce(r.c, 4, 64)
	wantError(t, err, net.ErrClosed)
}
