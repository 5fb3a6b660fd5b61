// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"sync"
	"time"
)

// deadline is a point in time that can be moved and waited for. The zero value
// never passes.
type deadline struct {
	mu    sync.Mutex
	at    time.Time     // zero: never
	ch    chan struct{} // closed when passed; nil: not needed yet
	timer *time.Timer   // closes ch
}

// set moves the deadline to t; the zero time takes it away. Who waits already
// is told of the new one, unless the old one has just passed.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		d.ch = nil // the timer has closed it, or is about to
	}
	d.timer, d.at = nil, t
	if d.ch != nil {
		select {
		case <-d.ch: // a past deadline closed it
			d.ch = nil
		default:
		}
	}
	if t.IsZero() {
		return
	}
	if d.ch == nil {
		d.ch = make(chan struct{})
	}
	ch := d.ch
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(ch) })
	} else {
		close(ch)
	}
}

// over reports whether the deadline has passed, even if its timer, which may be
// late, has not said so yet.
func (d *deadline) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.at.IsZero() && !time.Now().Before(d.at)
}

// passed returns a channel that is closed once the deadline has passed.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ch == nil {
		d.ch = make(chan struct{})
	}
	return d.ch
}

// stop releases the timer.
func (d *deadline) stop() { d.set(time.Time{}) }
