// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"net"
	"net/netip"
	"os"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

const (
	// slabSlots is how many messages one system call brings. With GRO each may
	// be up to 64 datagrams.
	slabSlots = 8
	// slotSize holds any message: 65,535 bytes with the UDP header.
	slotSize = 1 << 16
)

// A udpSlab is what one recvmmsg fills. Its pointers are to itself and stay.
type udpSlab struct {
	msgs     [slabSlots]unix.Mmsghdr
	iovs     [slabSlots]unix.Iovec
	names    [slabSlots]sys.Sockaddr
	controls [slabSlots][sys.RecvControlSpace]byte
	data     []byte // slabSlots * slotSize
	payloads [][]byte
}

func newUDPSlab() *udpSlab {
	b := &udpSlab{data: make([]byte, slabSlots*slotSize), payloads: make([][]byte, 0, maxDatagrams)}
	for i := range b.msgs {
		b.iovs[i].Base = &b.data[i*slotSize]
		b.iovs[i].SetLen(slotSize)
		h := &b.msgs[i].Hdr
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Name = &b.names[i][0]
		h.Control = &b.controls[i][0]
	}
	return b
}

// A udpReader is the reading side of a socket.
type udpReader struct {
	s     *udpSocket
	slab  *udpSlab // nil while there is nothing to read
	n     int
	errno unix.Errno
	call  func(fd uintptr) (done bool) // bound once: a closure would be allocated for each call
}

func (r *udpReader) init(s *udpSocket) {
	r.s = s
	r.call = r.receive
}

// receive takes what is there. When nothing is, the slab is given back before
// the wait; when there is no slab, read waits for one.
func (r *udpReader) receive(fd uintptr) (done bool) {
	if r.slab == nil {
		if r.slab = r.s.host.slabs.try(); r.slab == nil {
			return true
		}
	}
	for i := range r.slab.msgs {
		h := &r.slab.msgs[i].Hdr
		h.Namelen = uint32(len(r.slab.names[i]))
		h.SetControllen(sys.RecvControlSpace)
		h.Flags = 0
	}
	for {
		r.n, r.errno = sys.RecvMMsg(int(fd), r.slab.msgs[:], unix.MSG_DONTWAIT)
		if r.errno != unix.EINTR {
			break
		}
	}
	if r.errno != unix.EAGAIN {
		return true
	}
	r.release()
	return false
}

func (r *udpReader) release() {
	if r.slab != nil {
		r.s.host.slabs.put(r.slab)
		r.slab = nil
	}
}

// read waits for datagrams and hands them on, in order, those in a row from one
// address together and at most maxDatagrams at a time. They are borrowed for the
// call of handle. bad is the number of messages that were of no use.
//
// The error is net.ErrClosed, or one of the system: after [isRefused] reading
// goes on.
func (s *udpSocket) read(handle func(from netip.AddrPort, payloads [][]byte)) (bad int, err error) {
	r := &s.reader
	defer r.release()
	for {
		if err := s.raw.Read(r.call); err != nil {
			return 0, net.ErrClosed
		}
		if r.slab != nil {
			break
		}
		r.slab = s.host.slabs.get()
	}
	if r.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", r.errno)
	}
	return r.slab.deliver(r.n, handle), nil
}

// deliver hands on the first n messages.
func (b *udpSlab) deliver(n int, handle func(from netip.AddrPort, payloads [][]byte)) (bad int) {
	var source netip.AddrPort
	out := b.payloads[:0]
	flush := func() {
		if len(out) > 0 {
			handle(source, out)
			out = out[:0]
		}
	}
	for i := range n {
		h := &b.msgs[i].Hdr
		var c sys.Control
		err := c.Parse(b.controls[i][:min(uint64(h.Controllen), sys.RecvControlSpace)])
		from, _, known := b.names[i].Get(int(h.Namelen))
		if err != nil || !known || c.Segment < 0 || h.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			bad++
			continue
		}
		if from != source {
			flush()
			source = from
		}
		data := b.data[i*slotSize:][:b.msgs[i].Len]
		size := c.Segment
		if size == 0 {
			size = len(data)
		}
		for more := true; more; more = len(data) > 0 {
			if len(out) == cap(out) {
				flush()
			}
			k := min(size, len(data))
			out = append(out, data[:k:k])
			data = data[k:]
		}
	}
	flush()
	return bad
}
