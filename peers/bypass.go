// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"time"

	"github.com/tailscale/wireguard-go/conn"
)

// lingering is how long a queue of an underlay that was removed is still read after
// the last datagram: what the kernel had under way arrives within microseconds.
const lingering = 20 * time.Millisecond

// drainTime bounds the wait for those who read them.
const drainTime = 200 * time.Millisecond

// A bypass is the underlay of a Bind, from when it is set until it is removed.
// Methods may be called on nil, and do nothing then. Guarded by the life mutex of
// the Bind.
type bypass struct {
	underlay
	queues []socket
	gone   chan struct{} // closed when it is removed
	// reading has the done of each receive function that there may be.
	reading []<-chan struct{}
}

func newBypass(u underlay) *bypass {
	if u == nil {
		return nil
	}
	return &bypass{underlay: u, queues: u.Members(), gone: make(chan struct{})}
}

// is reports whether u is what p is made of.
func (p *bypass) is(u underlay) bool {
	if p == nil {
		return u == nil
	}
	return p.underlay == u
}

// members returns the queues.
func (p *bypass) members() []socket {
	if p == nil {
		return nil
	}
	return p.queues
}

// over returns s with p in front of the kernel's sockets.
func (p *bypass) over(s *sockets) *sockets {
	if len(p.members()) == 0 {
		return s
	}
	both := *s
	both.past, both.kernel = p.queues, s
	return &both
}

func (p *bypass) listen(port uint16) {
	if p != nil {
		p.Listen(port)
	}
}

func (p *bypass) beside(v4, v6 []socket) {
	if p != nil {
		p.Beside(v4, v6)
	}
}

func (p *bypass) setMark(mark uint32) {
	if p != nil {
		p.SetMark(mark)
	}
}

// receivers returns a receive function for each queue. Those of an earlier Open have
// ended.
func (p *bypass) receivers(b *Bind, g *groups) (fns []conn.ReceiveFunc) {
	if p == nil {
		return nil
	}
	p.reading = p.reading[:0]
	for _, s := range p.queues {
		_ = s.SetReadDeadline(time.Time{}) // closed: its function ends
		rx := newReceiver(b, s, g.ended)
		rx.port, rx.gone = g.port, p.gone
		fns = append(fns, rx.receiveXDP)
		p.reading = append(p.reading, rx.done)
	}
	return fns
}

// wake makes the receive functions return, after the channel that says why was
// closed.
func (p *bypass) wake() {
	for _, s := range p.members() {
		_ = s.SetReadDeadline(time.Unix(1, 0)) // closed: its function has ended
	}
}

// end makes the underlay take nothing more and the receive functions read it to its
// end, and waits until they have, but not for ever: who calls them may be busy. While
// the Bind is parked nobody reads, and what has been received is lost.
func (p *bypass) end() {
	p.Listen(0)
	close(p.gone)
	p.wake()
	t := time.NewTimer(drainTime)
	defer t.Stop()
	for _, done := range p.reading {
		select {
		case <-done:
		case <-t.C:
			return
		}
	}
}
