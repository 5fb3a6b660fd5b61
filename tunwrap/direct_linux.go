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

// A directWriter writes to one queue of a kernel TUN with a virtio header what
// needs no tables for merging: a packet that is alone in its batch, as most are on a
// hub of many peers, and packets of one TCP flow that follow each other, as in all
// bulk transfer. Making the tables ready and clearing them costs more than the rest
// of the way to the kernel; and wireguard-go's writes tell the scheduler (see
// [sys.WritevNonblock]). It may be called concurrently.
type directWriter struct {
	raw  syscall.RawConn
	pool *sync.Pool // of *directWrite
}

// A directWrite is the argument and the result of one write, with the callback
// made once.
type directWrite struct {
	iovs  [maxWrite]unix.Iovec
	used  int
	n     int
	errno unix.Errno
	call  func(fd uintptr)
}

func newDirectWriter(r *kernelReader) directWriter {
	return directWriter{raw: r.raw, pool: &sync.Pool{New: func() any {
		w := new(directWrite)
		w.call = func(fd uintptr) { w.n, w.errno = sys.WritevNonblock(int(fd), w.iovs[:w.used]) }
		return w
	}}}
}

// add appends b, which is not empty, to what is written.
func (w *directWrite) add(b []byte) {
	w.iovs[w.used].Base = &b[0]
	w.iovs[w.used].SetLen(len(b))
	w.used++
}

// single writes the packet buf[offset:] with an empty header in front. The bytes
// before offset are at least virtioHeaderLen. ok is false when the queue would have
// to be waited for.
func (s *directWriter) single(buf []byte, offset int) (n int, err error, ok bool) {
	w := s.pool.Get().(*directWrite)
	b := buf[offset-virtioHeaderLen:]
	clear(b[:virtioHeaderLen])
	w.add(b)
	return s.flush(w)
}

// merged writes packets as one superpacket, which [mergeable] found to be possible.
// When ok is false or there is an error, nothing was written and the packets are as
// they were.
func (s *directWriter) merged(bufs [][]byte, offset int) (n int, err error, ok bool) {
	w := s.pool.Get().(*directWrite)
	head := bufs[0][offset:]
	seg, _ := parseSegment(head)
	var saved [ipv6HeaderLen + tcpMaxHeaderLen]byte
	copy(saved[:], head[:seg.header])

	size := len(head)
	w.add(bufs[0][offset-virtioHeaderLen:])
	for _, b := range bufs[1:] {
		payload := b[offset+seg.header:]
		w.add(payload)
		size += len(payload)
	}
	h := seg.superpacket(size, bufs[len(bufs)-1][offset:])
	h.encode(bufs[0][offset-virtioHeaderLen:])
	n, err, ok = s.flush(w)
	if err != nil || !ok {
		copy(head, saved[:seg.header])
	}
	return n, err, ok
}

// flush writes what was added and gives w back.
func (s *directWriter) flush(w *directWrite) (n int, err error, ok bool) {
	ctlErr := s.raw.Control(w.call)
	n, errno := w.n, w.errno
	for i := range w.used {
		w.iovs[i].Base = nil
	}
	w.used = 0
	s.pool.Put(w)
	switch {
	case ctlErr != nil:
		return 0, errors.Join(os.ErrClosed, ctlErr), true
	case errno == unix.EAGAIN:
		return 0, nil, false
	case errno == unix.EBADFD:
		return 0, os.ErrClosed, true // the interface was deleted
	case errno != 0:
		return 0, os.NewSyscallError("writev", errno), true
	}
	return n, nil, true
}
