// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

const (
	// maxSegments and maxMessage bound a message as in package batching: what
	// every kernel with UDP_SEGMENT takes, and what IPv4 carries.
	maxSegments = 64
	maxMessage  = 1<<16 - 1 - 20 - 8
	// segmentHeaders is what kernels before 6.9 count as part of the segments:
	// an IPv6 and a UDP header.
	segmentHeaders = 40 + 8
)

// A udpBatch is what one sendmmsg sends. It comes from a pool, and goes back
// without a pointer to anything of the caller's.
type udpBatch struct {
	msgs     [maxDatagrams]unix.Mmsghdr
	iovs     [2 * maxDatagrams]unix.Iovec
	controls [maxDatagrams][sys.SegmentSpace]byte
	counts   [maxDatagrams]int // datagrams in each message
	name     sys.Sockaddr
	nameLen  int
	usedIovs int // how many of iovs, and of msgs, may hold pointers
	usedMsgs int

	first, last int
	n           int
	errno       unix.Errno
	call        func(fd uintptr)
}

func newUDPBatch() *udpBatch {
	b := &udpBatch{}
	for i := range b.controls {
		sys.AppendSegment(b.controls[i][:0], 0)
	}
	b.call = func(fd uintptr) {
		b.n, b.errno = sys.SendMMsg(int(fd), b.msgs[b.first:b.last], unix.MSG_DONTWAIT)
	}
	return b
}

// send sends payloads, at most maxDatagrams, each behind prefix, to the address
// to, which is invalid for a connected socket. It does not wait: what finds the
// send buffer full is not sent. n is how many the kernel took; err, if it was not
// all of them, why not. [isRefused] is about datagrams sent before, whatever n is.
func (s *udpSocket) send(prefix []byte, payloads [][]byte, to netip.AddrPort) (n int, err error) {
	b := s.host.batches.Get().(*udpBatch)
	defer s.host.batches.Put(b)
	defer b.release()
	b.nameLen = b.name.Put(to, 0)
	var refused error
	for len(payloads) > 0 {
		messages := b.prepare(prefix, payloads, s.host.gso && !s.single.Load())
		b.first, b.last = 0, messages
		for b.first < b.last {
			if s.raw.Control(b.call) != nil {
				return n, net.ErrClosed
			}
			if b.errno != 0 {
				break
			}
			for _, k := range b.counts[b.first : b.first+b.n] {
				n += k
				payloads = payloads[k:]
			}
			b.first += b.n
		}
		if b.first == b.last {
			continue
		}
		switch errno := b.errno; {
		case errno == unix.EINTR:
		case errno == unix.ECONNREFUSED && refused == nil:
			refused = os.NewSyscallError("sendmmsg", errno) // and nothing was sent now
		case b.counts[b.first] > 1 && (errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE):
			s.single.Store(true) // a path without checksum offload, or with a smaller MTU
		case errno == unix.EMSGSIZE:
			err = os.NewSyscallError("sendmmsg", errno)
			payloads = payloads[1:] // the others may be shorter
		default:
			return n, errors.Join(refused, os.NewSyscallError("sendmmsg", errno))
		}
	}
	if refused != nil {
		return n, refused
	}
	return n, err
}

// prepare makes messages of all payloads and returns how many.
func (b *udpBatch) prepare(prefix []byte, payloads [][]byte, segmented bool) (messages int) {
	iov := 0
	for len(payloads) > 0 {
		k, size := 1, len(prefix)+len(payloads[0])
		if segmented {
			k = segments(len(prefix), payloads)
		}
		first := iov
		for _, p := range payloads[:k] {
			iov += b.point(iov, prefix)
			iov += b.point(iov, p)
		}
		h := &b.msgs[messages].Hdr
		h.Iov = &b.iovs[first]
		h.SetIovlen(iov - first)
		h.Name, h.Namelen = nil, 0
		if b.nameLen > 0 {
			h.Name, h.Namelen = &b.name[0], uint32(b.nameLen)
		}
		h.Control = nil
		h.SetControllen(0)
		if k > 1 {
			control := b.controls[messages][:]
			sys.SetSegment(control, uint16(size))
			h.Control = &control[0]
			h.SetControllen(len(control))
		}
		b.counts[messages] = k
		messages++
		payloads = payloads[k:]
	}
	b.usedIovs = max(b.usedIovs, iov)
	b.usedMsgs = max(b.usedMsgs, messages)
	return messages
}

// release drops all references to what the caller owns.
func (b *udpBatch) release() {
	clear(b.iovs[:b.usedIovs])
	clear(b.msgs[:b.usedMsgs])
	b.usedIovs, b.usedMsgs = 0, 0
}

// point makes entry i refer to p and returns how many entries that took.
func (b *udpBatch) point(i int, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	b.iovs[i].Base = &p[0]
	b.iovs[i].SetLen(len(p))
	return 1
}

// segments returns how many datagrams from the first on fit one message: as long
// as that, but for a shorter last one.
func segments(prefix int, payloads [][]byte) int {
	size := prefix + len(payloads[0])
	if size == 0 {
		return 1
	}
	room := min(maxMessage, maxSegments*size-segmentHeaders) - size
	k := 1
	for k < len(payloads) {
		n := prefix + len(payloads[k])
		if n == 0 || n > size || n > room {
			break
		}
		room -= n
		k++
		if n < size {
			break
		}
	}
	return k
}
