// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A fakeSocket is one socket of the fake network.
type fakeSocket struct {
	group  *fakeGroup
	in     chan datagram
	left   chan struct{} // closed when it has left its group
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	late  chan struct{} // closed when the read deadline has passed
	timer *time.Timer   // that closes it; nil: none does

	// refuse decides whether the kernel refuses a destination.
	refuse atomic.Pointer[func(*batching.Destination) error]
	// lost is what Queue says of packets held back before.
	lost atomic.Pointer[error]
	// stuck sockets take no deadline.
	stuck atomic.Bool
	// quiet sockets deliver nothing and remember nothing: for benchmarks.
	quiet atomic.Bool
	// direct and queued count the calls of WriteBatch and Queue.
	direct, queued atomic.Int64
}

func newFakeSocket(g *fakeGroup) *fakeSocket {
	return &fakeSocket{
		group: g, in: make(chan datagram, 4096),
		left: make(chan struct{}), closed: make(chan struct{}), late: make(chan struct{}),
	}
}

func (s *fakeSocket) ReadBatch(slab []byte, pkts []batching.Packet) (int, error) {
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	var d datagram
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	case <-late: // as in the kernel, nothing is read even if something is there
		return 0, fmt.Errorf("fake: %w", os.ErrDeadlineExceeded)
	default:
	}
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	case <-late:
		return 0, fmt.Errorf("fake: %w", os.ErrDeadlineExceeded)
	case d = <-s.in:
	case <-s.left:
		select {
		case d = <-s.in:
		default:
			return 0, io.EOF
		}
	}
	off, n := 0, 0
	for {
		size := copy(slab[off:], d.data)
		pkts[n] = batching.Packet{Offset: off, Size: size, Remote: d.from, Local: s.group.at.Addr(), IfIndex: 1}
		off += size
		n++
		if n == len(pkts) {
			return n, nil
		}
		select {
		case d = <-s.in:
		default:
			return n, nil
		}
	}
}

func (s *fakeSocket) SetReadDeadline(t time.Time) error {
	if s.stuck.Load() {
		return os.ErrNoDeadline
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	select {
	case <-s.late:
		s.late = make(chan struct{})
	default:
	}
	late := s.late
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		close(late)
	default:
		s.timer = time.AfterFunc(wait, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.late == late && s.timer != nil {
				s.timer = nil
				close(late)
			}
		})
	}
	return nil
}

func (s *fakeSocket) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	s.direct.Add(1)
	return s.send(bufs, offset, dst, vni)
}

func (s *fakeSocket) Queue(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	s.queued.Add(1)
	n, err := s.send(bufs, offset, dst, vni)
	if lost := s.lost.Load(); lost != nil && err == nil {
		err = *lost
	}
	return n, err
}

func (s *fakeSocket) send(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	if f := s.refuse.Load(); f != nil {
		if err := (*f)(dst); err != nil {
			return 0, err
		}
	}
	if s.quiet.Load() {
		return len(bufs), nil
	}
	n := s.group.net
	for _, b := range bufs {
		offset := offset
		if vni.IsSet() {
			offset -= geneve.HeaderLen
			h := geneve.Header{VNI: vni, Protocol: geneve.ProtocolWireGuard}
			if _, err := h.Put(b[offset:]); err != nil {
				return 0, err
			}
		}
		d := datagram{from: *s.group.source.Load(), to: dst.Remote(), data: slices.Clone(b[offset:]), by: s}
		n.mu.Lock()
		if !n.forgetful {
			n.sent = append(n.sent, d)
		}
		n.mu.Unlock()
		n.inject(d)
	}
	return len(bufs), nil
}

func (s *fakeSocket) LocalAddr() netip.AddrPort                      { return s.group.at }
func (s *fakeSocket) refuseWith(f func(*batching.Destination) error) { s.refuse.Store(&f) }
func (s *fakeSocket) loseWith(err error)                             { s.lost.Store(&err) }

func (s *fakeSocket) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.group.net.mu.Lock()
		defer s.group.net.mu.Unlock()
		s.group.net.open--
		s.group.leaving = slices.DeleteFunc(s.group.leaving, func(o *fakeSocket) bool { return o == s })
	})
	return nil
}
