// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"errors"
	"net"
	"syscall"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A sendFunc is how a socket is given packets: socket.Queue, which may hold them back
// to leave with others, or socket.WriteBatch.
type sendFunc func(s socket, bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error)

// give sends bufs through one of the sockets that reach dst, place modulo their
// number, and returns how many were taken. When that one closes, the rest goes
// through those that there are then: through the kernel's own, if it was of an
// underlay that nothing has taken the place of. The error is EAFNOSUPPORT when the
// family is not open, net.ErrClosed when no socket is, or that of the socket.
func (b *Bind) give(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI, place uint32, send sendFunc) (n int, err error) {
	published := b.socks.Load()
	for s := published; s != nil; {
		members := s.to(dst.Remote().Addr())
		if len(members) == 0 {
			return n, syscall.EAFNOSUPPORT
		}
		m, err := send(members[place%uint32(len(members))], bufs[n:], offset, dst, vni)
		n += m
		if err == nil || !errors.Is(err, net.ErrClosed) || n == len(bufs) {
			return n, err
		}
		switch now := b.socks.Load(); {
		case now != published: // only that socket left
			published, s = now, now
		case s == published:
			s = s.kernel
		default:
			s = nil
		}
	}
	return n, net.ErrClosed
}
