// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"errors"
	"net"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
)

// The sockets of a Bind, and what moves it from one state to the next:
//
//	        Open                     Close
//	closed ──────► open ─────────────────────────────────────► closed
//	                │ ▲                                          ▲
//	    Reconfigure │ │ Open on the same port                    │ Close, Open on another
//	   adds sockets │ └─────────────────────┐                    │ port, handoverTimeout
//	                ▼          Close        │                    │
//	             promised ───────────────► parked ───────────────┘
//
// While promised, the sockets that were added receive into the kernel's buffers.
// While parked all of them do, and packets are sent as ever.

// handoverTimeout is how long sockets stay open between a Close and an Open that
// were promised. The device does both in one call, as soon as the packets in the
// hands of its receive functions are queued; it does not open when it went down
// or ended meanwhile.
const handoverTimeout = 10 * time.Second

// settleTime bounds the wait for calls that send.
const settleTime = 100 * time.Millisecond

// Open opens the sockets of each address family on the port and returns a receive
// function for each socket. Port 0 means the one of [Bind.SetPort], or a free
// one. The receive functions of an earlier Open must have returned net.ErrClosed.
//
// When [Bind.Reconfigure] asked for it, Open of the same port goes on with the
// sockets that are open.
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
		g, err := openGroups(b.listen, b.on, port, b.asked, &b.socket)
		if err != nil {
			return nil, 0, err
		}
		b.open, b.mark = g, b.socket.Mark
		b.publishLocked()
		b.log.Debug("sockets opened", "port", g.port, "asked", b.asked)
	}
	return b.open.receivers(b), b.open.port, nil
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

// publishLocked shows the open sockets to those who send.
func (b *Bind) publishLocked() {
	b.ledger.opened(b.open.opened())
	b.socks.Store(b.open.sockets(b.asked))
}

// Close closes the sockets. Receive functions return net.ErrClosed; peers and
// their addresses stay. Close of a closed Bind does nothing.
//
// The first Close after [Bind.Reconfigure] asked for it only makes the receive
// functions return. The sockets close when Close is called again, or when no Open
// follows within 10 seconds.
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
	return g.wake() == nil
}

func (b *Bind) closeLocked() error {
	g := b.open
	b.open = nil
	b.socks.Store(nil)
	if g.parked != nil {
		g.parked.Stop()
	} else {
		close(g.ended)
	}
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

// Reconfigure changes the options of the sockets, open ones at once, and how many
// there are per family; 0 means the default of [Options]. The mark of open sockets
// stays what [Bind.SetMark] made it. While closed, it says what the next Open
// opens.
//
// With reopen, sockets were added that have no receive function yet. The caller
// must make the device close and open the Bind then (Device.BindUpdate), also
// when there is an error: the sockets stay open over that, on the same port, and
// nothing is lost. Fewer sockets take no more than this call.
//
// The error is a [*batching.FixedError] or a [*batching.MarkError], and nothing
// has changed then, or it says why the number of sockets is not as asked for.
func (b *Bind) Reconfigure(socket batching.Options, sockets int) (reopen bool, err error) {
	b.life.Lock()
	defer b.life.Unlock()
	if socket.Logger == nil {
		socket.Logger = b.socket.Logger
	}
	g := b.open
	if g != nil {
		live := socket
		live.Mark = b.mark
		if err := g.reconfigure(&live); err != nil {
			return false, err
		}
	}
	b.socket, b.asked = socket, socketsPerFamily(sockets)
	if g == nil || g.parked != nil {
		return false, nil // the next Open, which is under way if parked, does the rest
	}
	grown, err := b.resizeLocked()
	g.promised = g.promised || grown
	return g.promised, err
}

// resizeLocked makes every family have as many members as were asked for, shows
// them to those who send, and reports whether any was added.
//
// Peers change their sockets by that. Nothing is held back until they have: it
// would be sent after what the next socket sends.
func (b *Bind) resizeLocked() (grown bool, err error) {
	live := b.socket
	live.Mark = b.mark
	hold := live.FlushTimeout
	if b.open.sized(b.asked) {
		hold = 0
	}
	if hold > 0 {
		live.FlushTimeout = 0
		err = b.open.reconfigure(&live)
	}
	grown, resizeErr := b.open.resize(b.asked)
	b.publishLocked()
	if hold > 0 {
		b.settle()
		live.FlushTimeout = hold
		err = errors.Join(err, b.open.reconfigure(&live))
	}
	return grown, errors.Join(err, resizeErr)
}

// settle waits until no call sends through the sockets as they were published
// before. A call takes as long as the kernel; one that it keeps longer than
// settleTime is not waited for.
func (b *Bind) settle() {
	end := time.Now().Add(settleTime)
	for _, e := range b.Endpoints() {
		for e.sending.Load() > 0 && time.Now().Before(end) {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// SetMark sets SO_MARK on the open sockets. It needs CAP_NET_ADMIN.
func (b *Bind) SetMark(mark uint32) error {
	b.life.Lock()
	defer b.life.Unlock()
	if b.open == nil {
		return net.ErrClosed
	}
	err := b.open.setMark(mark)
	if err == nil {
		b.mark = mark
	}
	return err
}
