// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Alloc borrows free frames to send from, as many as there are and fit, without
// waiting. Data is the whole frame; shorten it to the packet. What is not
// transmitted goes back with [Socket.Free].
func (s *Socket) Alloc(frames []Frame) (n int, err error) {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	if s.tx.closed {
		return 0, net.ErrClosed
	}
	return s.tx.alloc(frames), nil
}

// Free gives frames back that Alloc has lent, without sending them, up to the
// first that is not a borrowed one ([ErrFrame]). Frames may be freed after Close.
func (s *Socket) Free(frames []Frame) error {
	s.tx.mu.Lock()
	n, err := s.tx.release(frames)
	s.tx.mu.Unlock()
	return s.letGo(n, err)
}

// Transmit hands frames that Alloc has lent to the kernel and returns how many it
// took, which are no longer the caller's. An error is about the frame behind them
// ([ErrFrame]), or about the interface: with n > 0 the n frames are sent when it is
// up again, with n = 0 the interface was down before and nothing was taken.
func (s *Socket) Transmit(frames []Frame) (n int, err error) {
	s.tx.mu.Lock()
	if err = s.readyToSend(); err == nil {
		n, err = s.tx.transmit(frames)
		err = s.wakeFor(n, err)
	}
	s.tx.mu.Unlock()
	return n, s.letGo(n, err)
}

// BatchWrite copies the packets bufs[i][offset:], Ethernet frames of 1 byte to the
// frame size, into free frames and hands these to the kernel. It does not wait:
// n < len(bufs) without an error means that no frame is free (see
// [Socket.WaitWrite]). An error is about bufs[n] ([ErrTooLong]) or the interface, as
// with Transmit. bufs is only read.
func (s *Socket) BatchWrite(bufs [][]byte, offset int) (n int, err error) {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	if err := s.readyToSend(); err != nil {
		return 0, err
	}
	n, err = s.tx.write(bufs, offset)
	return n, s.wakeFor(n, err)
}

// Complete makes frames free that the kernel has sent and returns how many. Alloc
// and BatchWrite do this when they need frames.
func (s *Socket) Complete() (n int, err error) {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	if s.tx.closed {
		return 0, net.ErrClosed
	}
	return s.tx.complete(), nil
}

// WaitWrite waits until a frame to send from is free, the write deadline has
// passed (os.ErrDeadlineExceeded), the interface is found down, or the socket is
// closed (net.ErrClosed). It looks when it begins and when the kernel has sent
// something; Free by another caller does not wake it.
func (s *Socket) WaitWrite() error {
	for {
		if err := s.raw.Write(s.writable); err != nil {
			return s.mapError(err)
		}
		if over, err := s.waitedWrite(); over {
			return err
		}
		time.Sleep(completionPause)
	}
}

// completionPause is how long who waits for a frame in zero-copy mode sleeps before
// looking again: no event tells that the device has sent one (xsk_tx_completed in
// net/xdp/xsk.c). At 10 Mpps a default pool lasts for 200 µs.
const completionPause = 100 * time.Microsecond

func (s *Socket) waitedWrite() (over bool, err error) {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	switch {
	case s.tx.closed:
		return true, net.ErrClosed
	case s.txErr != nil:
		return true, s.txErr
	}
	return !s.zeroCopy || s.hasFree(), nil
}

// isWritable is isReadable for free frames.
func (s *Socket) isWritable(uintptr) bool {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	s.txErr = nil
	if s.tx.closed || s.hasFree() {
		return true
	}
	if s.txErr = s.wakeTx(); s.txErr != nil {
		return true
	}
	return s.zeroCopy || s.hasFree() // in zero-copy mode the caller sleeps instead
}

func (s *Socket) hasFree() bool {
	return len(s.tx.pool.free) > 0 || s.tx.complete() > 0
}

// readyToSend refuses what could not be sent: a packet in the ring cannot be taken
// back, and would leave late when the interface is up again.
func (s *Socket) readyToSend() error {
	if s.tx.closed {
		return net.ErrClosed
	}
	if !s.tx.down {
		return nil
	}
	return s.wakeTx()
}

// wakeFor wakes the kernel for n new packets.
func (s *Socket) wakeFor(n int, err error) error {
	if n == 0 {
		return err
	}
	if !s.tx.tx.wants() {
		s.count.txSpared.Add(1)
		return err
	}
	if wakeErr := s.wakeTx(); err == nil {
		err = wakeErr
	}
	return err
}

// wakeTx makes the kernel send what is in the ring (sendmsg, xsk_generic_xmit in
// net/xdp/xsk.c). In copy mode one call sends 32 packets and fails with EAGAIN
// (TX_BATCH_SIZE), so it is repeated as long as the kernel gets on. If the send
// buffer is full, the kernel goes on by itself: a packet that has left makes the
// socket writable, the poller asks why, and asking sends (xsk_poll). tx.mu is held.
func (s *Socket) wakeTx() error {
	for {
		before := s.tx.tx.consumer.Load()
		s.count.txWakes.Add(1)
		err := unix.Send(s.fd, nil, unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			s.tx.down = false
			return nil
		case err == unix.EINTR:
			continue
		case gone(err):
			s.tx.down = true
			return downError(err)
		case err == unix.EBUSY: // the device dropped one packet, which counts as sent
			s.count.txDropped.Add(1)
		default: // EAGAIN, ENOBUFS
			s.count.txAgain.Add(1)
		}
		s.tx.down = false
		after := s.tx.tx.consumer.Load()
		if after == before || after == s.tx.tx.prod {
			return nil
		}
	}
}
