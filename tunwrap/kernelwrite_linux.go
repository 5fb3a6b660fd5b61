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

// A kernelWriter writes to one queue of a kernel TUN with a virtio header: a batch
// is planned in runs and each run is one writev(2), of a superpacket where it has
// several packets, without copying and without telling the scheduler (see
// [sys.WritevNonblock]). It may be called concurrently.
type kernelWriter struct {
	raw     syscall.RawConn
	writev  writev
	merging *merging
	pool    *sync.Pool // of *kernelWrite
}

// writev is [sys.WritevNonblock].
type writev func(fd int, iovs []unix.Iovec) (int, unix.Errno)

func newKernelWriter(file *os.File, m *merging) (*kernelWriter, error) {
	if file == nil {
		return nil, errors.New("queue has no file")
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return makeKernelWriter(raw, sys.WritevNonblock, m), nil
}

func makeKernelWriter(raw syscall.RawConn, f writev, m *merging) *kernelWriter {
	return &kernelWriter{raw: raw, writev: f, merging: m, pool: &sync.Pool{New: func() any {
		w := new(kernelWrite)
		w.call, w.wait = w.writeAll, w.writeOne // made once: method values allocate
		return w
	}}}
}

// A kernelWrite is one call of kernelWriter.write.
type kernelWrite struct {
	plan  plan
	iovs  [maxWrite]unix.Iovec
	saved [maxHeaders]byte // of the superpacket in progress
	call  func(fd uintptr)
	wait  func(fd uintptr) bool

	*kernelWriter
	bufs   [][]byte
	offset int
	result writeResult

	// What is next: a packet of a run, or with apart false all of it.
	run     int
	packet  uint8
	left    int  // packets of the run, when written apart
	apart   bool // write the run's packets one by one
	refused bool // because the kernel refused the superpacket
	taken   uint8
}

// write writes packets, at most maxWrite, and adds to what became of them. The error is
// [os.ErrClosed]; the packets that it was too late for are counted.
func (s *kernelWriter) write(bufs [][]byte, offset int, result *writeResult) error {
	w := s.pool.Get().(*kernelWrite)
	w.kernelWriter, w.bufs, w.offset, w.result = s, bufs, offset, *result
	w.plan.make(bufs, offset, s.merging.all())
	w.result.empty += w.plan.empty
	w.begin(0)
	var err error
	for err == nil && w.run < w.plan.n {
		if err = s.raw.Control(w.call); err != nil {
			break
		}
		if w.run < w.plan.n && !w.result.closed {
			err = s.raw.Write(w.wait) // the queue is full: wait for room
		}
		if w.result.closed {
			err = os.ErrClosed
		}
	}
	if err != nil {
		if !errors.Is(err, os.ErrClosed) {
			err = errors.Join(os.ErrClosed, err)
		}
		w.abandon()
	}
	*result = w.result
	w.kernelWriter, w.bufs, w.result = nil, nil, writeResult{}
	s.pool.Put(w)
	return err
}

// begin makes run i the next.
func (w *kernelWrite) begin(i int) {
	w.run, w.apart, w.refused, w.taken = i, false, false, 0
	if i == w.plan.n {
		return
	}
	r := &w.plan.runs[i]
	if r.count == 1 || !w.merging.on(r.kind) {
		w.separate(r)
	}
}

// separate has the packets of r written one by one.
func (w *kernelWrite) separate(r *run) { w.apart, w.packet, w.left = true, r.first, int(r.count) }

// writeAll writes until all is written or the queue is full.
func (w *kernelWrite) writeAll(fd uintptr) {
	for w.run < w.plan.n && w.writeOne(fd) && !w.result.closed {
	}
}

// writeOne is one system call for what is next. It returns false when the queue is full.
func (w *kernelWrite) writeOne(fd uintptr) bool {
	r := &w.plan.runs[w.run]
	if !w.apart {
		return w.writeSuperpacket(fd, r)
	}
	b := w.bufs[w.packet][w.offset-virtioHeaderLen:]
	clear(b[:virtioHeaderLen])
	w.iovs[0].Base = &b[0]
	w.iovs[0].SetLen(len(b))
	_, errno := w.writev(int(fd), w.iovs[:1])
	w.iovs[0].Base = nil
	switch errno {
	case 0:
		w.result.single++
		w.taken++
		w.result.took(1, len(b)-virtioHeaderLen)
	case unix.EAGAIN:
		return false
	case unix.EBADFD:
		w.result.closed = true
		return true
	default:
		w.result.refuse(dropOf(errno), 1, errno)
	}
	if w.left--; w.left > 0 {
		w.packet = w.plan.next[w.packet]
		return true
	}
	if w.refused && w.taken == r.count {
		w.result.merged[r.kind].fallbacks++
		w.merging.refused(r.kind, unix.EINVAL)
	}
	w.begin(w.run + 1)
	return true
}

func (w *kernelWrite) writeSuperpacket(fd uintptr, r *run) bool {
	head := w.bufs[r.first][w.offset:]
	copy(w.saved[:], head[:r.header])
	h := r.superpacket(head, w.bufs[r.last][w.offset:])
	b := w.bufs[r.first][w.offset-virtioHeaderLen:]
	h.encode(b)
	w.iovs[0].Base = &b[0]
	w.iovs[0].SetLen(len(b))
	size, p := len(head), r.first
	for i := 1; i < int(r.count); i++ {
		p = w.plan.next[p]
		payload := w.bufs[p][w.offset+r.header:]
		w.iovs[i].Base = &payload[0]
		w.iovs[i].SetLen(len(payload))
		size += r.header + len(payload)
	}
	_, errno := w.writev(int(fd), w.iovs[:r.count])
	for i := range r.count {
		w.iovs[i].Base = nil
	}
	switch errno {
	case 0:
		m := &w.result.merged[r.kind]
		m.packets += int(r.count)
		m.superpackets++
		w.result.took(int(r.count), size)
	case unix.EAGAIN:
		copy(head, w.saved[:r.header])
		return false
	case unix.EBADFD:
		w.result.closed = true
		return true
	case unix.EINVAL:
		copy(head, w.saved[:r.header])
		w.separate(r)
		w.refused = true
		return true
	default:
		w.result.refuse(dropOf(errno), int(r.count), errno)
	}
	w.begin(w.run + 1)
	return true
}

// abandon counts what was not written because the device is closed.
func (w *kernelWrite) abandon() {
	packets := 0
	if w.run < w.plan.n {
		packets = int(w.plan.runs[w.run].count)
		if w.apart {
			packets = w.left
		}
		for i := range w.plan.runs[w.run+1 : w.plan.n] {
			packets += int(w.plan.runs[w.run+1+i].count)
		}
	}
	w.result.errors++
	w.result.dropped[dropClosed] += packets
}

// dropOf returns the reason for which the kernel did not take a packet.
func dropOf(errno unix.Errno) writeDrop {
	switch errno {
	case unix.EIO:
		return dropDown
	case unix.EINVAL:
		return dropInvalid
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return dropNoBuffer
	}
	return dropOther
}
