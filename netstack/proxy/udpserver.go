// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

// udpServer forwards from a port in the tunnel to a target of the host's network.
type udpServer struct {
	net   udpNet
	port  *netstack.UDPPort
	flows *hostFlows
	wg    sync.WaitGroup // goroutines of flows
}

// ListenUDPServer listens at a UDP port in the tunnel and forwards to a target on
// the host's network, from a socket for each client. When the target refuses,
// the client is told with port unreachable.
func ListenUDPServer(n *netstack.Net, o *UDPForwardOptions) (*UDPForward, error) {
	host, port, err := parseTarget(o.Target)
	if err != nil {
		return nil, err
	}
	local, err := parseLocal(o.Listen)
	if err != nil {
		return nil, err
	}
	target := net.JoinHostPort(host, strconv.Itoa(int(port)))
	f := &UDPForward{}
	s := &udpServer{net: n}
	h := newUDPHost()
	s.flows = newHostFlows(&hostFlows{
		net: n, host: h, count: &f.count, wg: &s.wg,
		dial:   func(ctx context.Context, _ hostKey) (*udpSocket, error) { return h.dial(ctx, target) },
		admit:  func(k hostKey) (any, bool) { return udpClientOf(k.source.Addr()), true },
		silent: func(netip.AddrPort) time.Duration { return inactivity(o.InactivityTimeout, port) },
	}, o.Limits)
	if s.port, err = n.OpenUDPPort(local, s.receive); err != nil {
		return nil, err
	}
	f.side = s
	f.init("udp server", nil, Limits{}, o.Logger)
	f.log = f.log.With("listen", s.port.LocalAddr(), "target", target)
	return f, nil
}

// receive forwards datagrams from the tunnel.
func (s *udpServer) receive(d *netstack.Datagrams) {
	if !s.flows.take(d, s.flows.table.now()) {
		s.flows.refuse(hostKey{d.Source, d.Destination})
	}
}

func (s *udpServer) serve(ctx context.Context) error {
	s.flows.run(ctx)
	s.close()
	return nil
}

func (s *udpServer) close() {
	_ = s.port.Close() // again does nothing
	s.flows.table.close()
	s.wg.Wait()
}

func (s *udpServer) local() netip.AddrPort { return s.port.LocalAddr() }

func (s *udpServer) fill(st *Stats) { s.flows.table.fill(st) }

// parseLocal parses a host:port to listen on in the tunnel. An empty host is the
// zero Addr.
func parseLocal(listen string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen %s: not a port", listen)
	}
	var a netip.Addr
	if host != "" {
		if a, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("listen %s: not an address", listen)
		}
		if a = a.Unmap().WithZone(""); a.IsUnspecified() {
			a = netip.Addr{}
		}
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}
