// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

const (
	// zonesFor is how long the name of an interface is remembered: the net
	// package asks again after as long.
	zonesFor = time.Minute
	// maxZones bounds the names that are remembered.
	maxZones = 256
)

// zones gives link-local addresses the name of their interface as zone, as the
// net package does.
type zones struct {
	names map[uint32]string
	until time.Time
	fresh bool // until was looked at since the last call of age
}

// age lets names expire. Called once for each batch, so that the time is not
// looked up for each message.
func (z *zones) age() { z.fresh = false }

func (z *zones) with(addr netip.AddrPort, index uint32) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().WithZone(z.name(index)), addr.Port())
}

func (z *zones) name(index uint32) string {
	if !z.fresh {
		z.fresh = true
		if now := time.Now(); now.After(z.until) || len(z.names) > maxZones {
			z.names = make(map[uint32]string)
			z.until = now.Add(zonesFor)
		}
	}
	name, ok := z.names[index]
	if !ok {
		name = strconv.FormatUint(uint64(index), 10)
		if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
			name = ifi.Name
		}
		z.names[index] = name
	}
	return name
}
