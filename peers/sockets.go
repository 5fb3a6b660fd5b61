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
// of the group of each family, and the queues of an underlay. Either family may be
// empty, not both. Immutable.
type sockets struct {
	v4, v6 []socket
	port   uint16
	asked  int // members that each family was to have

	past   []socket // of the underlay, through which everything is sent; empty: there is none
	kernel *sockets // the same without the underlay; nil where there is none
}

// to returns the sockets to send to addr through; none when its family is not open.
func (s *sockets) to(addr netip.Addr) []socket {
	members := s.v6
	if addr.Is4() {
		members = s.v4
	}
	if len(s.past) > 0 && len(members) > 0 {
		return s.past
	}
	return members
}
