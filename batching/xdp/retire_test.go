// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What came by a lane that leaves is read, also what comes a moment later, before
// its socket closes, and then that of the next one.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newActiveRig(t, 200)
		old := r.sock
		var got []string
		over := make(chan struct{})
		go func() {
			defer close(over)
			got, _ = readAll(r.c, 100, 64)
		}()
		synctest.Wait()
		want := numbered(152)
		for _, p := range want[:100] {
			old.deliver(plain(p))
		}
		time.AfterFunc(lingerTime-time.Millisecond, func() {
			for _, p := range want[100:150] {
				old.deliver(plain(p))
			}
		})
		before := time.Now()
		r.c.retire()
		if took := time.Since(before); took != lingerTime || !old.isClosed() || old.lent() != 0 {
			t.Errorf("took %v, want %v; closed: %v; %d frames not given back", took, lingerTime, old.isClosed(), old.lent())
		}
		synctest.Wait()
		r.renew(t, 8)
		r.sock.deliver(plain(want[150]))
		r.c.use(r.lane, r.lane)
		synctest.Wait()
		r.sock.deliver(plain(want[151]))
		synctest.Wait()
		if err := r.c.Close(); err != nil {
			t.Fatal(err)
		}
		<-over
		if !slices.Equal(got, want) {
			t.Errorf("got %d packets %q, want %d", len(got), got, len(want))
		}
		if drops := dropCounts(r.c); len(drops) != 0 {
			t.Errorf("dropped %v", drops)
		}
		if n := r.c.socketStats().RxPackets; n != 152 {
			t.Errorf("the sockets received %d packets, want 152", n)
		}
	})
}

// Without a reader retire ends by itself, and what was there is counted. It does
// not even wait while no port is open.
func TestRetireUnread(t *testing.T) {
	for port, want := range map[uint16]time.Duration{ourPort: retireTime, 0: 0} {
		synctest.Test(t, func(t *testing.T) {
			r := newActiveRig(t, 200)
			r.listen(port)
			for range 150 {
				r.sock.deliver(plain("x"))
			}
			before := time.Now()
			r.c.retire()
			if took := time.Since(before); took != want {
				t.Errorf("port %d: took %v, want %v", port, took, want)
			}
			if n := dropCounts(r.c)["unread"]; n != 150 || r.sock.lent() != 0 || !r.sock.isClosed() {
				t.Errorf("port %d: %d counted as unread, want 150; %d frames not given back; closed: %v", port, n, r.sock.lent(), r.sock.isClosed())
			}
			r.c.retire() // nothing left to do
		})
	}
}

// What the reader holds when its lane leaves is still delivered, and described as
// of the lane that it came by.
func TestRetireLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newActiveRig(t, 8)
		old := r.sock
		old.deliver(plain("1111"), plain("2222"), plain("3333"))
		if got, err := readOnce(r.c, 4, 64); err != nil || got[0].data != "1111" {
			t.Fatal(got, err)
		}
		r.c.retire()
		r.renew(t, 8)
		r.site.index = ourIndex + 1
		r.sock.deliver(plain("4444"))
		r.c.use(r.lane, r.lane)
		for i, want := range []string{"2222", "3333", "4444"} {
			got, err := readOnce(r.c, 4, 64)
			if err != nil || got[0].data != want || got[0].IfIndex != ourIndex+uint32(i/2) {
				t.Fatalf("got %v, %v, want %s", got, err, want)
			}
		}
		if n := old.lent() + r.sock.lent(); n != 0 {
			t.Errorf("%d frames not given back", n)
		}
	})
}

// A caller with a deadline of its own keeps it while the lane leaves, and does not
// end the lane before its time.
func TestRetireDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newActiveRig(t, 8)
		if err := r.c.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			r.c.retire()
		}()
		synctest.Wait()
		_, err := readOnce(r.c, 9, 9)
		wantError(t, err, os.ErrDeadlineExceeded)
		r.sock.deliver(plain("x"))
		got, err := readOnce(r.c, 9, 9)
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		<-over
		_, err = readOnce(r.c, 9, 9)
		wantError(t, err, os.ErrDeadlineExceeded)
	})
}
