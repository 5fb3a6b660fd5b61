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

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// A Socket is an AF_XDP socket bound to one queue of an interface. [Open] makes
// one. See the package comment for concurrency.
type Socket struct {
	// Immutable after Open.
	fd       int
	file     *os.File // owns fd and its place in the poller
	raw      syscall.RawConn
	opt      Options
	zeroCopy bool
	part     *part
	readable func(uintptr) bool
	writable func(uintptr) bool
	polled   func(uintptr) bool
	maps     [][]byte // the rings; unmapped with both locks held
	// registered: the memory was registered by this socket.
	registered bool

	rx receiver
	tx sender

	rxErr    error     // of the last readable; rx.mu guards it
	rxLooked time.Time // when a wait last looked at the interface; likewise
	txErr    error     // of the last writable; tx.mu guards it

	poll poller

	count     counters
	kernelMu  sync.Mutex
	kernel    Kernel // as last read; kernelMu guards it
	tooLong   uint64 // the most that was seen; kernelMu guards it
	closeOnce sync.Once
	closeErr  error
}

// FD returns the socket's descriptor, to register it in an XSKMAP. It is valid
// until Close and must not be read, written or closed.
func (s *Socket) FD() int { return s.fd }

// Options returns the options of the socket, defaults filled in.
func (s *Socket) Options() Options { return s.opt }

// ZeroCopy reports whether the device reads and writes the UMEM itself
// (XDP_OPTIONS), so that packets are not copied.
func (s *Socket) ZeroCopy() bool { return s.zeroCopy }

// MaxReceive returns the size in bytes of the largest Ethernet frame that can be
// received; the kernel drops larger ones.
func (s *Socket) MaxReceive() int { return s.opt.FrameSize - kernelHeadroom }

// Stats returns the counters, which only grow, and where the frames are.
func (s *Socket) Stats() Stats {
	out := s.count.stats()
	out.Kernel, out.RxTooLong = s.kernelStats()
	f := &out.Frames
	s.rx.mu.Lock()
	f.RxReceived, f.RxBorrowed = s.rx.received(), s.rx.pool.lent
	s.rx.mu.Unlock()
	f.RxFilled = s.opt.RxFrames - f.RxReceived - f.RxBorrowed
	s.tx.mu.Lock()
	f.TxFree, f.TxSent, f.TxBorrowed = len(s.tx.pool.free), s.tx.sent(), s.tx.pool.lent
	s.tx.mu.Unlock()
	f.TxSending = s.opt.TxFrames - f.TxFree - f.TxSent - f.TxBorrowed
	return out
}

// kernelStats asks the kernel for its counters, or remembers them.
func (s *Socket) kernelStats() (k Kernel, tooLong uint64) {
	s.kernelMu.Lock()
	defer s.kernelMu.Unlock()
	// The descriptor is not closed while Control runs.
	_ = s.raw.Control(func(fd uintptr) {
		if v, err := sys.XDPStatistics(int(fd)); err == nil {
			s.kernel = Kernel{
				RxDropped: v.Rx_dropped, RxBadDescs: v.Rx_invalid_descs, TxBadDescs: v.Tx_invalid_descs,
				RxRingFull: v.Rx_ring_full, RxFillEmpty: v.Rx_fill_ring_empty_descs, TxRingEmpty: v.Tx_ring_empty_descs,
			}
			s.tooLong = max(s.tooLong, s.kernel.tooLong(s.zeroCopy))
		}
	})
	return s.kernel, s.tooLong
}

// SetReadDeadline sets when waiting for frames ends with os.ErrDeadlineExceeded;
// the zero time is never.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.mapError(s.file.SetReadDeadline(t)) }

// SetWriteDeadline sets when [Socket.WaitWrite] ends with os.ErrDeadlineExceeded;
// the zero time is never.
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.mapError(s.file.SetWriteDeadline(t)) }

// mapError makes what the poller says about a closed file net.ErrClosed.
func (s *Socket) mapError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	s.rx.mu.Lock()
	defer s.rx.mu.Unlock()
	if s.rx.closed {
		return net.ErrClosed
	}
	return err
}

// Close ends all waits with net.ErrClosed, closes the socket and unmaps the rings;
// the UMEM goes with the last borrowed frame. Frames that the kernel has not sent are
// lost. It may be called at any time and more than once; all calls return when the
// first is done, with its error.
func (s *Socket) Close() error {
	s.closeOnce.Do(func() {
		s.part.mem.leave(s)
		if s.raw != nil {
			s.kernelStats() // the last chance to
		}
		s.lock()
		s.rx.closed, s.tx.closed = true, true
		s.unlock()
		// From here on only the poller's callbacks use the descriptor, and closing
		// the file waits for them; they take a lock, so none may be held here.
		err := errors.Join(s.file.Close(), s.poll.close())
		s.lock()
		defer s.unlock()
		s.collect()
		for _, m := range s.maps { // nobody looks at them any more
			err = errors.Join(err, os.NewSyscallError("munmap", unix.Munmap(m)))
		}
		s.closeErr = errors.Join(err, s.part.letGo(1))
	})
	return s.closeErr
}

// collect counts what was sent up to the end, if the rings are there.
func (s *Socket) collect() {
	if s.tx.pool != nil {
		s.tx.complete()
	}
}

func (s *Socket) lock() {
	s.rx.mu.Lock()
	s.tx.mu.Lock()
}

func (s *Socket) unlock() {
	s.tx.mu.Unlock()
	s.rx.mu.Unlock()
}

// gone reports whether errno means that the interface is down (ENETDOWN), deleted
// or its queue taken away (ENXIO): xsk_check_common in net/xdp/xsk.c.
func gone(err error) bool { return err == unix.ENETDOWN || err == unix.ENXIO }

func downError(err error) error {
	return fmt.Errorf("xsk: interface is down or deleted: %w", err)
}
