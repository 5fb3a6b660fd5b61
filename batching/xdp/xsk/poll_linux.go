// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A poller waits for both directions of a socket at once, which Go's own poller
// does not: it is an epoll instance that has the socket in it and is in Go's poller
// itself. It is made by the first Poll.
type poller struct {
	mu   sync.Mutex // held by who polls
	file *os.File   // the epoll instance; the socket's locks guard the pointer
	raw  syscall.RawConn

	received, completed int   // what isPolled found
	err                 error // of the last isPolled
}

// Poll waits until there is a received frame or one that was being sent has become
// free, at most the timeout; a negative one has no end, and 0 only looks. It returns
// how many frames Receive would find, and how many have become free in this call;
// both are 0 when the time is over. Errors are those of WaitRead. Deadlines do not
// matter to it. Of several callers, the later ones first wait for the earlier.
func (s *Socket) Poll(timeout time.Duration) (received, completed int, err error) {
	p := &s.poll
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := s.openPoll(); err != nil {
		return 0, 0, err
	}
	p.received, p.completed = 0, 0
	if s.isPolled(0) || timeout == 0 {
		return p.received, p.completed, p.err
	}
	for end := time.Now().Add(timeout); ; {
		var until time.Time
		if timeout > 0 {
			until = end
		}
		// In zero-copy mode no event tells that a frame was sent; see completionPause.
		if pause := time.Now().Add(completionPause); s.zeroCopy && s.isSending() && (timeout < 0 || pause.Before(end)) {
			until = pause
		}
		if err := p.file.SetReadDeadline(until); err != nil {
			return 0, 0, s.mapError(err)
		}
		switch err := p.raw.Read(s.polled); {
		case err == nil:
			return p.received, p.completed, p.err
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, 0, s.mapError(err)
		case s.isPolled(0) || timeout > 0 && !time.Now().Before(end):
			return p.received, p.completed, p.err
		}
	}
}

// isPolled reports whether Poll is over. poll.mu is held by the Poll that waits.
func (s *Socket) isPolled(uintptr) bool {
	s.lock()
	defer s.unlock()
	p := &s.poll
	p.err = nil
	if s.rx.closed {
		p.err = net.ErrClosed
		return true
	}
	for range 2 { // before and after the kernel was woken
		p.received = s.rx.received()
		p.completed += s.tx.complete()
		if p.received > 0 || p.completed > 0 {
			return true
		}
		if p.err = s.wakeRx(s.fd); p.err == nil && s.tx.tx.room(s.tx.tx.mask+1) <= s.tx.tx.mask {
			p.err = s.wakeTx()
		}
		if p.err != nil {
			return true
		}
	}
	return false
}

// isSending reports whether frames are with the kernel to be sent.
func (s *Socket) isSending() bool {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	return s.opt.TxFrames > len(s.tx.pool.free)+s.tx.pool.lent
}

// openPoll makes the epoll instance, once.
func (s *Socket) openPoll() error {
	s.lock()
	defer s.unlock()
	if s.rx.closed {
		return net.ErrClosed
	}
	p := &s.poll
	if p.file != nil {
		return nil
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("xsk: make epoll instance: %w", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT}
	err = errors.Join(unix.SetNonblock(fd, true), unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, s.fd, &event))
	file := os.NewFile(uintptr(fd), "xsk poll") // owns fd from here on
	if err == nil {
		err = file.SetDeadline(time.Time{}) // says whether Go's poller took it
	}
	if err == nil {
		p.raw, err = file.SyscallConn()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("xsk: set up epoll instance: %w", err), file.Close())
	}
	p.file = file
	return nil
}

// close ends a Poll that waits. The socket is marked as closed, and p.file does not
// change any more.
func (p *poller) close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}
