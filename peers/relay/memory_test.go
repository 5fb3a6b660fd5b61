// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"runtime"
	"testing"
	"time"
)

// A full relay: 10,000 bound sessions between 142 clients.
func TestMemoryOfManySessions(t *testing.T) {
	const clients, limit = 142, 20 << 20
	w := newWorld(t, clients, TableOptions{})
	for _, p := range w.people {
		w.register(p) // what the test needs itself is there before it measures
	}
	w.pass(time.Minute)
	before := heapBytes()
	n := 0
	for i, a := range w.people {
		for _, b := range w.people[:i] {
			if n == DefaultMaxSessions {
				break
			}
			w.now = w.now.Add(10 * time.Millisecond)
			w.session(a, b)
			n++
		}
	}
	used := heapBytes() - before
	st := w.table.Stats(w.now)
	if st.Sessions != DefaultMaxSessions || st.Bound != DefaultMaxSessions {
		t.Fatalf("%d sessions, %d bound, want %d", st.Sessions, st.Bound, DefaultMaxSessions)
	}
	t.Logf("%d sessions take %.1f MB, %d bytes each", n, float64(used)/1e6, used/int64(n))
	if used > limit {
		t.Errorf("%d sessions take %d bytes, want at most %d", n, used, limit)
	}
	w.pass(2 * time.Hour)
	if left := heapBytes() - before; left > limit/10 {
		t.Errorf("%d bytes are left when all sessions are over", left)
	}
	runtime.KeepAlive(w)
}
