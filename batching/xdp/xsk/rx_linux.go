// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Receive borrows received frames into frames, as many as there are and fit,
// without waiting. It overwrites the first n elements.
func (s *Socket) Receive(frames []Frame) (n int, err error) {
	s.rx.mu.Lock()
	defer s.rx.mu.Unlock()
	if s.rx.closed {
		return 0, net.ErrClosed
	}
	return s.rx.receive(frames), nil
}

// BatchRead is [Socket.Receive], but waits for the first frame. An interface that
// is down or deleted is an error that wraps ENETDOWN or ENXIO; see the package
// comment for when it is noticed.
func (s *Socket) BatchRead(frames []Frame) (n int, err error) {
	for {
		if n, err = s.Receive(frames); n > 0 || err != nil || len(frames) == 0 {
			return n, err
		}
		if err := s.WaitRead(); err != nil {
			return 0, err
		}
	}
}

// WaitRead waits until there is a received frame, the read deadline has passed
// (os.ErrDeadlineExceeded) or the socket is closed (net.ErrClosed). Several
// callers take turns.
func (s *Socket) WaitRead() error {
	if err := s.raw.Read(s.readable); err != nil {
		return s.mapError(err)
	}
	s.rx.mu.Lock()
	defer s.rx.mu.Unlock()
	if s.rx.closed {
		return net.ErrClosed
	}
	return s.rxErr
}

// lookTime is how often a wait looks whether the interface is there.
const lookTime = 100 * time.Millisecond

// isReadable is called by the poller before it parks the caller and whenever the
// kernel says that something came. It reports whether waiting is over.
func (s *Socket) isReadable(fd uintptr) bool {
	s.rx.mu.Lock()
	defer s.rx.mu.Unlock()
	s.rxErr = nil
	if s.rx.closed || s.rx.rx.ready(1) > 0 {
		return true
	}
	// A driver that stopped for want of frames asks to be woken. The same system
	// call, which is dear, tells that the interface has gone.
	now := time.Now()
	if !s.rx.fill.wants() && now.Sub(s.rxLooked) < lookTime {
		return false
	}
	s.rxLooked = now
	if err := s.wakeRx(int(fd)); err != nil {
		s.rxErr = err
		return true
	}
	return s.rx.rx.ready(1) > 0
}

// Release gives frames of the receiving direction back to receive into, up to
// the first that is not a borrowed one ([ErrFrame]): that and those behind it are
// untouched. Frames may be released after Close.
func (s *Socket) Release(frames []Frame) error {
	s.rx.mu.Lock()
	n, err := s.rx.release(frames)
	if n > 0 && !s.rx.closed && s.rx.fill.wants() {
		_ = s.wakeRx(s.fd) // what is wrong is noticed by who waits
	}
	s.rx.mu.Unlock()
	return s.letGo(n, err)
}

// letGo gives up n holds on the memory.
func (s *Socket) letGo(n int, err error) error {
	if unmapErr := s.part.letGo(int64(n)); err == nil {
		err = unmapErr
	}
	return err
}

// wakeRx makes a driver look at the fill ring (recvmsg, xsk_recvmsg in
// net/xdp/xsk.c). rx.mu is held.
func (s *Socket) wakeRx(fd int) error {
	s.count.rxWakes.Add(1)
	_, _, err := unix.Recvfrom(fd, nil, unix.MSG_DONTWAIT)
	if gone(err) {
		return downError(err)
	}
	return nil // EAGAIN, EINTR and the like: who waits is told by the poller
}
