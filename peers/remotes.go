// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"net/netip"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// maxRemotes bounds the table of a receive function. Peers that are heard
// through it are found by one map lookup; a flood of spoofed sources costs one
// entry each and evicts at random, at about 300 bytes an entry, 5 MiB a socket.
const maxRemotes = 1 << 14

type remoteKey struct {
	remote  netip.AddrPort
	local   netip.Addr
	ifIndex uint32
	vni     geneve.VNI
}

// remotes finds the [remote] for a received datagram. It belongs to the
// goroutine of one receive function and needs no lock.
type remotes struct {
	bind    *Bind
	lastKey remoteKey // most datagrams come from where the one before came from
	last    *remote
	table   map[remoteKey]*remote
}

func newRemotes(b *Bind) *remotes {
	return &remotes{bind: b, table: make(map[remoteKey]*remote)}
}

func (t *remotes) find(p *batching.Packet, vni geneve.VNI) *remote {
	key := remoteKey{p.Remote, p.Local, p.IfIndex, vni}
	if t.last != nil && t.lastKey == key {
		return t.last
	}
	r, ok := t.table[key]
	if !ok {
		if len(t.table) >= maxRemotes {
			for k := range t.table { // map order is random enough here
				delete(t.table, k)
				break
			}
		}
		r = newRemote(t.bind, key.remote, key.local, key.ifIndex, key.vni)
		t.table[key] = r
	}
	t.lastKey, t.last = key, r
	return r
}
