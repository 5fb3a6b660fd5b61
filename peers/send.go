// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"encoding/binary"
	"errors"
	"net"
	"syscall"

	"github.com/tailscale/wireguard-go/conn"
)

// Send sends the messages in bufs, which begin at offset, to ep: an [Endpoint],
// or, for a cookie reply, the endpoint that an initiation was received with.
// The bytes before offset may be overwritten; nothing is kept.
//
// A message that cannot leave is counted with the peer and dropped. The error
// is nil then: the device would log one line for each batch, and there is
// nothing it could do.
func (b *Bind) Send(bufs [][]byte, ep conn.Endpoint, offset int) error {
	switch ep := ep.(type) {
	case *Endpoint:
		if len(bufs) == 1 {
			switch msg, _ := classify(bufs[0][offset:]); msg {
			case messageInitiation:
				b.tx.handed[sentInitiation].Add(1)
				ep.hold(bufs[0], offset)
				b.initiationSent(ep, binary.LittleEndian.Uint32(bufs[0][offset+offsetSender:]))
				b.paths.want(ep)
			case messageResponse:
				b.tx.handed[sentResponse].Add(1)
				return b.sendResponse(bufs, ep, offset)
			default:
				ep.accounts.handed(bufs, offset)
			}
		} else {
			ep.accounts.handed(bufs, offset)
		}
		b.sendTo(bufs, ep, ep.cur.Load(), offset)
		if also := ep.also.Load(); also != nil {
			b.sendAgain(bufs, ep, also, offset)
		}
	case initiation:
		b.reply(bufs, ep.remote, offset)
	case *remote:
		b.reply(bufs, ep, offset)
	default:
		return conn.ErrWrongEndpointType
	}
	return nil
}

// sendResponse sends a handshake response. That the device made it proves that
// an initiation with its receiver index was authentic.
func (b *Bind) sendResponse(bufs [][]byte, e *Endpoint, offset int) error {
	from := e.takeInitiations(binary.LittleEndian.Uint32(bufs[0][offset+offsetResponseReceiver:]))
	switch len(from) {
	case 0:
		b.sendTo(bufs, e, e.cur.Load(), offset)
	case 1:
		e.heardFrom(from[0])
		if cur := e.cur.Load(); e.chosen.Load() && cur.path() != from[0].path() {
			b.paths.lend(e, from[0])
		}
		b.sendTo(bufs, e, from[0], offset)
	default:
		// One of them is genuine, and it is not known which: answer all, move
		// to none. The peer's first transport packet decides.
		for _, r := range from {
			b.sendTo(bufs, e, r, offset)
		}
	}
	return nil
}

// sendTo sends to r on behalf of e and counts the result. When the kernel
// refuses the sticky source, it is released and the rest sent without it.
func (b *Bind) sendTo(bufs [][]byte, e *Endpoint, r *remote, offset int) {
	if e.watched.Load() && !e.chosen.Load() {
		b.paths.want(e)
	}
	if r == nil {
		e.sendErrs.noAddress.Add(uint64(len(bufs)))
		b.tx.noAddress.Add(uint64(len(bufs)))
		return
	}
	n, err := b.write(bufs, e, r, offset)
	if err != nil && r.dst.Local().IsValid() && sourceRefused(err) {
		r = e.dropSource(r, "refused by the kernel")
		var m int
		m, err = b.write(bufs[n:], e, r, offset)
		n += m
	}
	if n > 0 {
		var bytes uint64
		for _, buf := range bufs[:n] {
			bytes += uint64(len(buf) - offset)
		}
		e.accounts.tx.add(r.class, n, bytes)
		r.count.sent(n, bytes)
	}
	switch {
	case err != nil && n == len(bufs):
		// About packets held back by earlier calls: the socket counts them, and
		// it says nothing about these.
		if e.sendErrs.lostLate(err) {
			b.log.Warn("packets held back for peer were lost", "peer", e, "addr", r.path(), "err", err)
		}
	case err == nil:
		if e.sendErrs.cause.Load() != 0 && e.sendErrs.cause.Swap(0) != 0 {
			b.log.Info("sending to peer works again", "peer", e, "addr", r.path())
		}
	case errors.Is(err, net.ErrClosed):
		e.sendErrs.closed.Add(uint64(len(bufs) - n))
		b.tx.closed.Add(uint64(len(bufs) - n))
	default:
		b.tx.refuse(len(bufs)-n, err)
		if e.sendErrs.failed(len(bufs)-n, err) {
			b.log.Warn("sending to peer fails", "peer", e, "addr", r.path(), "err", err)
		}
	}
}

// sendAgain sends over a second path what was sent over the first, which is in
// doubt. The receiver drops what it has already (WireGuard's window). What does not
// leave is not lost, and not counted.
func (b *Bind) sendAgain(bufs [][]byte, e *Endpoint, r *remote, offset int) {
	n, _ := b.write(bufs, e, r, offset)
	e.again.Add(uint64(n))
	var bytes uint64
	for _, buf := range bufs[:n] {
		bytes += uint64(len(buf) - offset)
	}
	r.count.sent(n, bytes)
}

// reply sends a cookie reply to where the initiation came from. It is answered
// by nobody. It is not held back: whoever floods with forged sources would make
// peers wait in turn.
func (b *Bind) reply(bufs [][]byte, r *remote, offset int) {
	b.tx.handed[sentCookieReply].Add(uint64(len(bufs)))
	s := b.socks.Load()
	if s == nil {
		b.tx.closed.Add(uint64(len(bufs)))
		return
	}
	if len(s.to(r.dst.Remote().Addr())) == 0 {
		return
	}
	tap := b.tap.Load()
	at := tap.now()
	n, err := b.give(bufs, offset, r.dst, r.vni, 0, socket.WriteBatch)
	tap.sent(at, r.last.Load(), r, bufs[:n], offset, r.vni)
	if err != nil {
		b.tx.refuse(len(bufs)-n, err)
	}
}

// write sends bufs to r through the socket of e and returns how many were taken:
// they left, or are held back to leave with others. An error when all were taken
// is about packets held back before.
func (b *Bind) write(bufs [][]byte, e *Endpoint, r *remote, offset int) (n int, err error) {
	if len(bufs) == 0 {
		return 0, nil
	}
	e.sending.Add(1) // before the sockets are loaded: see Bind.settle
	defer e.sending.Add(-1)
	tap := b.tap.Load()
	at := tap.now()
	n, err = b.give(bufs, offset, r.dst, r.vni, e.socket, socket.Queue)
	tap.sent(at, e, r, bufs[:n], offset, r.vni)
	return n, err
}

// sourceRefused reports whether err may mean that the source address is no
// longer one of the host's, or that no route leads from it to the peer.
func sourceRefused(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
		errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.ENODEV)
}

// initiationSent notes that the device asked for a handshake. From the second
// one without an answer on, the name of the peer is looked up again.
func (b *Bind) initiationSent(e *Endpoint, sender uint32) {
	b.mu.Lock()
	if b.sent[e.lastSent] == e {
		delete(b.sent, e.lastSent)
	}
	e.lastSent = sender
	if !e.gone.Load() {
		b.sent[sender] = e
	}
	b.mu.Unlock()
	if n := e.unanswered.Add(1); n >= 2 || e.cur.Load() == nil {
		b.requestResolve(e)
	}
}

// answered notes that a response to the initiation with that sender index came
// in. It is not verified yet, and all it does is to keep a name from being
// looked up again.
func (b *Bind) answered(sender uint32) {
	if e := b.sender(sender); e != nil {
		e.unanswered.Store(0)
	}
}
