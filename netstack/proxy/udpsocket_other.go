// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package proxy

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// slabSize holds any datagram.
const slabSize = 1 << 16

// A udpSlab is what one datagram is received into.
type udpSlab struct{}

func newUDPSlab() *udpSlab { return &udpSlab{} }

// A udpBatch holds a datagram behind its prefix.
type udpBatch struct{ b []byte }

func newUDPBatch() *udpBatch { return &udpBatch{} }

// control leaves the socket as it is.
func (h *udpHost) control(_, _ string, _ syscall.RawConn) error { return nil }

// A udpReader is the reading side of a socket. It owns its buffer: nothing
// tells when a datagram is there.
type udpReader struct {
	buf      []byte
	payloads [1][]byte
}

func (r *udpReader) init(*udpSocket) {}

func (s *udpSocket) read(handle func(from netip.AddrPort, payloads [][]byte)) (bad int, err error) {
	r := &s.reader
	if r.buf == nil {
		r.buf = make([]byte, slabSize)
	}
	n, from, err := s.udp.ReadFromUDPAddrPort(r.buf)
	if err != nil {
		return 0, err
	}
	r.payloads[0] = r.buf[:n:n]
	handle(netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()), r.payloads[:])
	return 0, nil
}

// send sends payloads one by one, each behind prefix. n is how many the system
// took.
func (s *udpSocket) send(prefix []byte, payloads [][]byte, to netip.AddrPort) (n int, err error) {
	b := s.host.batches.Get().(*udpBatch)
	defer s.host.batches.Put(b)
	for _, p := range payloads {
		if len(prefix) > 0 {
			b.b = append(append(b.b[:0], prefix...), p...)
			p = b.b
		}
		var werr error
		if to.IsValid() {
			_, werr = s.udp.WriteToUDPAddrPort(p, to)
		} else {
			_, werr = s.udp.Write(p)
		}
		switch {
		case werr == nil:
			n++
		case errors.Is(werr, net.ErrClosed):
			return n, net.ErrClosed
		default:
			err = werr
		}
	}
	return n, err
}
