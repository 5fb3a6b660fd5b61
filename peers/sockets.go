// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// A socket is one batched UDP socket of one family; [*batching.Conn] is one.
type socket interface {
	ReadBatch(slab []byte, pkts []batching.Packet) (n int, err error)
	WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error)
	Queue(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error)
	SetReadDeadline(t time.Time) error
	LocalAddr() netip.AddrPort
	Close() error
}

// A group is the sockets of one family on one address and port; [udpGroup] is
// one.
type group interface {
	Members() []socket
	Resize(n int) (added []socket, err error)
	Reconfigure(o *batching.Options) error
	SetMark(mark uint32) error
	LocalAddr() netip.AddrPort
	Close() error
}

type listenFunc func(network string, addr netip.AddrPort, n int, o *batching.Options) (group, error)

func listenUDP(network string, addr netip.AddrPort, n int, o *batching.Options) (group, error) {
	g, err := batching.ListenGroup(network, addr, n, o)
	if err != nil {
		return nil, err
	}
	return udpGroup{g}, nil
}

// A udpGroup is a [*batching.Group] as a group.
type udpGroup struct{ *batching.Group }

func (g udpGroup) Members() []socket { return socketsOf(g.Conns()) }

func (g udpGroup) Resize(n int) ([]socket, error) {
	added, err := g.Group.Resize(n)
	return socketsOf(added), err
}

func socketsOf(conns []*batching.Conn) []socket {
	out := make([]socket, len(conns))
	for i, c := range conns {
		out[i] = c
	}
	return out
}

// sockets are the open sockets of a Bind as those see them who send: the members
// of the group of each family. Either family may be empty, not both. Immutable.
type sockets struct {
	v4, v6 []socket
	port   uint16
	asked  int // members that each family was to have
}

// to returns the sockets that reach addr; none when the family is not open.
func (s *sockets) to(addr netip.Addr) []socket {
	if addr.Is4() {
		return s.v4
	}
	return s.v6
}
