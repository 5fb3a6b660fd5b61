// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A socket is one batched UDP socket of one family; [*batching.Conn] is one.
type socket interface {
	ReadBatch(slab []byte, pkts []batching.Packet) (n int, err error)
	WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error)
	SetMark(mark uint32) error
	LocalAddr() netip.AddrPort
	Close() error
}

type listenFunc func(network string, addr netip.AddrPort, o *batching.Options) (socket, error)

func listenUDP(network string, addr netip.AddrPort, o *batching.Options) (socket, error) {
	c, err := batching.Listen(network, addr, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// A namedSocket is a socket and its network.
type namedSocket struct {
	network string
	socket
}

// sockets are the open sockets of a Bind: one per family, on one port. Either
// may be missing, not both. Immutable.
type sockets struct {
	v4, v6 socket
	port   uint16
}

// openTries bounds how often a random port is tried for both families.
const openTries = 100

// openSockets opens a socket of each family on the port; port 0 means one that
// is free in both. A family that the host does not have is left out.
func openSockets(listen listenFunc, on [2]netip.Addr, port uint16, o *batching.Options) (*sockets, error) {
	for try := 0; ; try++ {
		s, err := openPair(listen, on, port, o)
		if err == nil {
			return s, nil
		}
		if port != 0 || try >= openTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

func openPair(listen listenFunc, on [2]netip.Addr, port uint16, o *batching.Options) (*sockets, error) {
	s := &sockets{port: port}
	for i, network := range []string{"udp4", "udp6"} {
		if !on[i].IsValid() {
			continue
		}
		c, err := listen(network, netip.AddrPortFrom(on[i], s.port), o)
		if noFamily(err) {
			continue
		}
		if err != nil {
			_ = s.close() // the error that counts is the first
			return nil, fmt.Errorf("listen on %s port %d: %w", network, s.port, err)
		}
		s.port = c.LocalAddr().Port()
		if network == "udp4" {
			s.v4 = c
		} else {
			s.v6 = c
		}
	}
	if s.v4 == nil && s.v6 == nil {
		return nil, fmt.Errorf("listen on port %d: %w", port, syscall.EAFNOSUPPORT)
	}
	return s, nil
}

// noFamily reports whether err says that the host does not have the address
// family at all.
func noFamily(err error) bool { return errors.Is(err, syscall.EAFNOSUPPORT) }

// all returns the sockets that are open.
func (s *sockets) all() []namedSocket {
	out := make([]namedSocket, 0, 2)
	if s.v4 != nil {
		out = append(out, namedSocket{"udp4", s.v4})
	}
	if s.v6 != nil {
		out = append(out, namedSocket{"udp6", s.v6})
	}
	return out
}

// to returns the socket that reaches addr, or nil.
func (s *sockets) to(addr netip.Addr) socket {
	if addr.Is4() {
		return s.v4
	}
	return s.v6
}

func (s *sockets) setMark(mark uint32) error {
	var errs error
	for _, sock := range s.all() {
		errs = errors.Join(errs, sock.SetMark(mark))
	}
	return errs
}

func (s *sockets) close() error {
	var errs error
	for _, sock := range s.all() {
		errs = errors.Join(errs, sock.Close())
	}
	return errs
}
