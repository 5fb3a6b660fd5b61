// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"time"

	"github.com/tailscale/wireguard-go/conn"
)

// The sockets of a Bind, and what moves it from one state to the next:
//
//	        Open                     Close
//	closed ──────► open ─────────────────────────────────────► closed
//	                │ ▲                                          ▲
//	    Reconfigure │ │ Open on the same port                    │ Close, Open on another
//	   adds sockets,│ └─────────────────────┐                    │ port, handoverTimeout
//	    SetUnderlay │                       │                    │
//	                ▼          Close        │                    │
//	             promised ───────────────► parked ───────────────┘
//
// While promised, the sockets that were added receive into the kernel's buffers.
// While parked all of them do, and packets are sent as ever. An underlay listens
// from the Open on that returns receive functions for it.

// handoverTimeout is how long sockets stay open between a Close and an Open that
// were promised. The device does both in one call, as soon as the packets in the
// hands of its receive functions are queued; it does not open when it went down
// or ended meanwhile.
const handoverTimeout = 10 * time.Second

// Open opens the sockets of each address family on the port and returns a receive
// function for each socket, and for each queue of the underlay. Port 0 means the
// one of [Bind.SetPort], or a free one. The receive functions of an earlier Open
// must have returned net.ErrClosed.
//
// When [Bind.Reconfigure] or [Bind.SetUnderlay] asked for it, Open of the same port
// goes on with the sockets that are open.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.life.Lock()
	defer b.life.Unlock()
	if b.open != nil && b.open.parked == nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	if port == 0 {
		port = uint16(b.want.Load())
	}
	if b.open != nil && !b.resumeLocked(port) {
		if err := b.closeLocked(); err != nil {
			b.log.Warn("closing sockets failed", "err", err)
		}
	}
	if b.open == nil {
		b.mark = b.socket.Mark
		live := b.liveLocked()
		g, err := openGroups(b.listen, b.on, port, b.asked, &live)
		if err != nil {
			return nil, 0, err
		}
		b.open = g
		b.past.setMark(b.mark)
		b.publishLocked()
		b.log.Debug("sockets opened", "port", g.port, "asked", b.asked)
	}
	fns := append(b.open.receivers(b), b.past.receivers(b, b.open)...)
	b.past.listen(b.open.port)
	return fns, b.open.port, nil
}

// resumeLocked makes the parked sockets ready to be received from again. It
// reports false when they are of no use: on another port, or broken.
func (b *Bind) resumeLocked(port uint16) bool {
	g := b.open
	if port != 0 && port != g.port || g.unwake() != nil {
		return false
	}
	g.parked.Stop()
	g.parked, g.promised, g.ended = nil, false, make(chan struct{})
	if _, err := b.resizeLocked(); err != nil {
		b.log.Warn("number of sockets not changed", "asked", b.asked, "err", err)
	}
	return true
}

// receivers returns a receive function for each socket that is open, also for
// those that left before they had one.
func (g *groups) receivers(b *Bind) []conn.ReceiveFunc {
	var fns []conn.ReceiveFunc
	for _, f := range g.families {
		for _, s := range f.open {
			rx := newReceiver(b, s, g.ended)
			if f.network == "udp4" {
				fns = append(fns, rx.receiveIPv4)
			} else {
				fns = append(fns, rx.receiveIPv6)
			}
		}
	}
	return fns
}

// publishLocked shows the open sockets to those who send, to the underlay first,
// which passes on to them what it cannot send.
func (b *Bind) publishLocked() {
	b.ledger.opened(b.open.opened())
	s := b.open.sockets(b.asked)
	b.past.beside(s.v4, s.v6)
	b.socks.Store(b.past.over(s))
}

// Close closes the sockets. Receive functions return net.ErrClosed; peers and
// their addresses stay. Close of a closed Bind does nothing.
//
// The first Close after [Bind.Reconfigure] or [Bind.SetUnderlay] asked for it only
// makes the receive functions return. The sockets close when Close is called again,
// or when no Open follows within 10 seconds.
func (b *Bind) Close() error {
	b.life.Lock()
	defer b.life.Unlock()
	if b.open == nil || b.parkLocked() {
		return nil
	}
	return b.closeLocked()
}

// parkLocked makes the receive functions return and keeps the sockets for the
// next Open, if that was promised and can be done.
func (b *Bind) parkLocked() bool {
	g := b.open
	if !g.promised || g.parked != nil {
		return false
	}
	var t *time.Timer
	t = time.AfterFunc(handoverTimeout, func() {
		b.life.Lock()
		defer b.life.Unlock()
		if b.open == g && g.parked == t {
			b.log.Debug("sockets closed, nobody took them over", "port", g.port)
			_ = b.closeLocked() // nobody to tell
		}
	})
	g.parked = t
	close(g.ended) // before they wake and look why
	b.past.wake()
	return g.wake() == nil
}

func (b *Bind) closeLocked() error {
	g := b.open
	b.open = nil
	b.past.listen(0)
	b.socks.Store(nil)
	if g.parked != nil {
		g.parked.Stop()
	} else {
		close(g.ended)
	}
	b.past.wake()
	b.past.beside(nil, nil)
	for _, s := range g.opened() {
		b.ledger.closing(s)
	}
	return g.close()
}

// leave closes a socket that left its group, after all that it received was
// read. Waiting for the mutex, it closes only when nobody is told any more to
// send through it.
func (b *Bind) leave(s socket) {
	b.life.Lock()
	if b.open != nil {
		b.open.forget(s)
	}
	b.life.Unlock()
	b.ledger.closing(s)
	if err := s.Close(); err != nil {
		b.log.Warn("closing a socket failed", "addr", s.LocalAddr(), "err", err)
	}
}
