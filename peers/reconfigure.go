// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"errors"
	"net"
	"time"

	"github.com/tunrouter/tunrouter/batching"
)

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
	g, before := b.open, b.socket
	b.socket = socket
	if g != nil {
		live := b.liveLocked()
		if err := g.reconfigure(&live); err != nil {
			b.socket = before
			return false, err
		}
	}
	b.asked = socketsPerFamily(sockets)
	if g == nil || g.parked != nil {
		return false, nil // the next Open, which is under way if parked, does the rest
	}
	grown, err := b.resizeLocked()
	g.promised = g.promised || grown
	return g.promised, err
}

// liveLocked returns the options of the open sockets.
func (b *Bind) liveLocked() batching.Options {
	live := b.socket
	live.Mark = b.mark
	return live
}

// resizeLocked makes every family have as many members as were asked for, shows
// them to those who send, and reports whether any was added.
func (b *Bind) resizeLocked() (grown bool, err error) {
	err = b.rearrangeLocked(!b.open.sized(b.asked), func() (err error) {
		grown, err = b.open.resize(b.asked)
		return err
	})
	return grown, err
}

// rearrangeLocked calls change and shows what came of it to those who send. When
// peers move from a socket to another one by that, nothing is held back until they
// have: it would be sent after what the next socket sends.
func (b *Bind) rearrangeLocked(move bool, change func() error) (err error) {
	live := b.liveLocked()
	hold := live.FlushTimeout
	if !move {
		hold = 0
	}
	if hold > 0 {
		live.FlushTimeout = 0
		err = b.open.reconfigure(&live)
	}
	changeErr := change()
	b.publishLocked()
	if hold > 0 {
		b.settle()
		live.FlushTimeout = hold
		err = errors.Join(err, b.open.reconfigure(&live))
	}
	return errors.Join(err, changeErr)
}

// settleTime bounds the wait for calls that send.
const settleTime = 100 * time.Millisecond

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

// SetMark sets SO_MARK on the open sockets, and makes an underlay ask for routes
// with it. It needs CAP_NET_ADMIN.
func (b *Bind) SetMark(mark uint32) error {
	b.life.Lock()
	defer b.life.Unlock()
	if b.open == nil {
		return net.ErrClosed
	}
	err := b.open.setMark(mark)
	if err == nil {
		b.mark = mark
		b.past.setMark(mark)
	}
	return err
}
