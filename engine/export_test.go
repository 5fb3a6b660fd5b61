// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net/netip"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/uapi"
)

// SocketOptions returns what becomes of a [Router] section.
func SocketOptions(r *config.Router) (o batching.Options, sockets int) {
	s := new(Engine).socketSettings(r)
	return s.options, s.count
}

// SocketLines is what SocketGroups reads back.
func SocketLines(s *peers.Stats) ([]uapi.KeyValue, error) { return socketLines(s) }

// QueuesInfoOf is what the status says of a device with these counters.
func QueuesInfoOf(s *tunwrap.Stats) *QueuesInfo { return queuesInfo(s) }

// Ask is what the control socket asks the router.
func Ask(e *Engine, name string, args []uapi.KeyValue) ([]byte, error) {
	return handler{e}.Ask(name, args)
}

// An Inside knows which addresses lead into the interface with that index.
type Inside struct{ *inside }

func NewInside(index int) Inside { return Inside{newInside(index)} }

func (in Inside) LeadsTo(addr netip.Addr) bool { return in.leadsTo(addr) }
func (in Inside) Forget(mark uint32)           { in.forget(mark) }
