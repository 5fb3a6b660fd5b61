// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/internal/hostnet"
)

const (
	// sourceFor is how long the source of datagrams is taken to stay what it was.
	sourceFor = 10 * time.Second
	// maxSources bounds the addresses that are remembered.
	maxSources = 4096
)

// sources finds out from which address the kernel sends, for the datagrams of which only
// the kernel knew. It belongs to the goroutine that writes a capture.
type sources struct {
	mark  uint32 // of the router's sockets
	known map[netip.Addr]sourceEntry
}

type sourceEntry struct {
	addr  netip.Addr
	until time.Time
}

func newSources(mark uint32) *sources {
	return &sources{mark: mark, known: make(map[netip.Addr]sourceEntry)}
}

// of returns the address that datagrams to remote leave from, the zero Addr when that
// does not come out.
func (s *sources) of(remote netip.Addr) netip.Addr {
	now := time.Now()
	if e, ok := s.known[remote]; ok && now.Before(e.until) {
		return e.addr
	}
	if len(s.known) >= maxSources {
		clear(s.known)
	}
	addr := s.ask(remote)
	s.known[remote] = sourceEntry{addr, now.Add(sourceFor)}
	return addr
}

func (s *sources) ask(remote netip.Addr) netip.Addr {
	if s.mark != 0 {
		// A socket without the mark may be routed elsewhere.
		return s.onInterface(remote)
	}
	// Nothing is sent by that.
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// onInterface returns the first address of the interface that leads to remote.
func (s *sources) onInterface(remote netip.Addr) netip.Addr {
	index, err := hostnet.RouteInterface(remote, netip.Addr{}, s.mark)
	if err != nil {
		return netip.Addr{}
	}
	link, err := net.InterfaceByIndex(index)
	if err != nil {
		return netip.Addr{}
	}
	addrs, err := link.Addrs()
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() == remote.Is4() && !ip.IsLinkLocalUnicast() {
				return ip.Unmap()
			}
		}
	}
	return netip.Addr{}
}
