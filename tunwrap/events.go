// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import "github.com/tailscale/wireguard-go/tun"

// forwardEvents passes pending and the wrapped device's events on until that device closes
// its channel, which it does when it is closed, and then closes ours.
//
// It never blocks the wrapped device: wireguard-go's own sends to a channel of
// five places from goroutines that its Close waits for, and would hang there if
// nobody read. What our reader has not taken is merged instead.
func (d *Device) forwardEvents(pending tun.Event) {
	defer close(d.events)
	in := d.inner.Events()
	for {
		out := d.events
		if pending == 0 {
			out = nil
		}
		select {
		case e, ok := <-in:
			if !ok {
				return
			}
			pending = merge(pending, e)
		case out <- pending:
			pending = 0
		}
	}
}

// merge returns the event that stands for old followed by e.
func merge(old, e tun.Event) tun.Event {
	const state = tun.EventUp | tun.EventDown
	if e&state != 0 {
		old &^= state
	}
	return old | e
}
