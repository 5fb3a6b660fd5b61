// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// A sent is a message as the kernel was given it.
type sent struct {
	Packets []string
	Segment int // of the UDP_SEGMENT control message; 0 without one
	Local   string
}

// decode reads a message back.
func decode(tb testing.TB, m *unix.Mmsghdr) (s sent) {
	tb.Helper()
	for _, v := range unsafe.Slice(m.Hdr.Iov, m.Hdr.Iovlen) {
		s.Packets = append(s.Packets, string(unsafe.Slice(v.Base, v.Len)))
	}
	if m.Hdr.Controllen == 0 {
		return s
	}
	msgs, err := unix.ParseSocketControlMessage(unsafe.Slice(m.Hdr.Control, m.Hdr.Controllen))
	if err != nil {
		tb.Fatalf("control: %v", err)
	}
	for _, c := range msgs {
		switch {
		case c.Header.Level == unix.IPPROTO_UDP && c.Header.Type == unix.UDP_SEGMENT:
			s.Segment = int(binary.NativeEndian.Uint16(c.Data))
		case c.Header.Level == unix.IPPROTO_IP && c.Header.Type == unix.IP_PKTINFO:
			s.Local = netip.AddrFrom4([4]byte(c.Data[4:8])).String()
		default:
			tb.Fatalf("control message %+v", c.Header)
		}
	}
	return s
}

// A kernel is a scripted sendmmsg.
type kernel struct {
	tb testing.TB
	// refuse returns how many of the messages go through and the error for the
	// next. nil takes all.
	refuse func(msgs []sent, wait bool) (n int, err error)
	calls  [][]sent // every call with all that it was given
	took   []string // the packets that went through
}

func (k *kernel) send(msgs []unix.Mmsghdr, wait bool) (int, error) {
	var call []sent
	for i := range msgs {
		call = append(call, decode(k.tb, &msgs[i]))
	}
	k.calls = append(k.calls, call)
	n, err := len(call), error(nil)
	if k.refuse != nil {
		n, err = k.refuse(call, wait)
	}
	for _, m := range call[:n] {
		k.took = append(k.took, m.Packets...)
	}
	if n > 0 {
		err = nil // sendmmsg reports it only when nothing went through
	}
	return n, err
}

// An arrival is a message for a scripted recvmmsg.
type arrival struct {
	data    []byte
	name    []byte // nil: 192.0.2.1:51820
	nameLen int    // 0: the length of name
	control []byte
	flags   int32
	length  uint32 // instead of that of data
}

// put writes a into the buffers of m as the kernel does.
func (a *arrival) put(m *unix.Mmsghdr) {
	data := a.data
	for _, v := range unsafe.Slice(m.Hdr.Iov, m.Hdr.Iovlen) {
		data = data[copy(unsafe.Slice(v.Base, v.Len), data):]
	}
	m.Len = uint32(len(a.data) - len(data))
	if len(data) > 0 {
		m.Hdr.Flags |= unix.MSG_TRUNC
	}
	if a.length != 0 {
		m.Len = a.length
	}
	if a.name == nil {
		var s sys.Sockaddr
		a.name = s[:s.Put(someone, 0)]
	}
	copy(unsafe.Slice(m.Hdr.Name, m.Hdr.Namelen), a.name)
	m.Hdr.Namelen = uint32(max(a.nameLen, len(a.name)))
	n := copy(unsafe.Slice(m.Hdr.Control, m.Hdr.Controllen), a.control)
	if n < len(a.control) {
		m.Hdr.Flags |= unix.MSG_CTRUNC
	}
	m.Hdr.SetControllen(n)
	m.Hdr.Flags |= a.flags
}

// arriving is a scripted recvmmsg that delivers each of calls in one call, or as
// much of it as there is room for, and then fails with EBADF.
func arriving(calls ...[]arrival) func(msgs []unix.Mmsghdr) (int, error) {
	return func(msgs []unix.Mmsghdr) (int, error) {
		if len(calls) == 0 {
			return 0, unix.EBADF
		}
		n := min(len(msgs), len(calls[0]))
		for i := range n {
			calls[0][i].put(&msgs[i])
		}
		if calls[0] = calls[0][n:]; len(calls[0]) == 0 {
			calls = calls[1:]
		}
		return n, nil
	}
}

// control messages, as the kernel encodes them
func cmsg(level, kind int32, data ...byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.SetLen(unix.CmsgLen(len(data)))
	h.Level, h.Type = level, kind
	copy(b[unix.CmsgLen(0):], data)
	return b
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func gro(size int32) []byte {
	return cmsg(unix.IPPROTO_UDP, unix.UDP_GRO, native32(uint32(size))...)
}

func overflow(n uint32) []byte {
	return cmsg(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, native32(n)...)
}

func pktinfo4(ifIndex uint32, specDst, dst netip.Addr) []byte {
	a, b := specDst.As4(), dst.As4()
	return cmsg(unix.IPPROTO_IP, unix.IP_PKTINFO, append(append(native32(ifIndex), a[:]...), b[:]...)...)
}

func pktinfo6(ifIndex uint32, dst netip.Addr) []byte {
	a := dst.As16()
	return cmsg(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, append(a[:], native32(ifIndex)...)...)
}
