// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
)

// A singleWriter writes to one queue of a kernel TUN with a virtio header what
// comes as a batch of one packet: there is nothing to merge it with, and the
// tables for merging, which are made ready and cleared for each batch, cost more
// than the rest of the way to the kernel. On a hub of many peers most batches are
// such. It may be called concurrently.
type singleWriter struct {
	raw  syscall.RawConn
	pool *sync.Pool // of *singleWrite
}

// A singleWrite is the argument and the result of one write, with the callback
// made once.
type singleWrite struct {
	b     []byte
	n     int
	errno unix.Errno
	call  func(fd uintptr)
}

func newSingleWriter(r *kernelReader) singleWriter {
	return singleWriter{raw: r.raw, pool: &sync.Pool{New: func() any {
		w := new(singleWrite)
		w.call = func(fd uintptr) {
			w.n, w.errno = sys.WriteNonblock(int(fd), w.b)
		}
		return w
	}}}
}

// write writes the packet buf[offset:] with an empty header in front, and returns
// the bytes that the kernel took, header included. ok is false when the queue
// would have to be waited for.
func (s *singleWriter) write(buf []byte, offset int) (n int, err error, ok bool) {
	w := s.pool.Get().(*singleWrite)
	w.b = buf[offset-virtioHeaderLen:]
	clear(w.b[:virtioHeaderLen])
	ctlErr := s.raw.Control(w.call)
	n, errno := w.n, w.errno
	w.b = nil
	s.pool.Put(w)
	switch {
	case ctlErr != nil:
		return 0, errors.Join(os.ErrClosed, ctlErr), true
	case errno == unix.EAGAIN:
		return 0, nil, false
	case errno == unix.EBADFD:
		return 0, os.ErrClosed, true // the interface was deleted
	case errno != 0:
		return 0, os.NewSyscallError("write", errno), true
	}
	return n, nil, true
}
