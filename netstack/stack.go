// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"errors"
	"fmt"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	// tcpFloor and tcpStart are the smallest and the first size of a TCP
	// buffer, gVisor's own defaults. An idle connection allocates none of it.
	tcpFloor = 4 << 10
	tcpStart = 1 << 20

	// udpReceive holds 850 datagrams of 1,200 bytes, 8 ms of 1 Gbit/s, while
	// a reader is away. gVisor's default is 212 KiB.
	udpReceive = 1 << 20
	// udpSend is a quarter of a ring, so that a UDP sender without room waits
	// for its socket, where a deadline reaches it, and not for the ring.
	udpSend      = ringBytes / 4
	udpBufferMax = 8 << 20

	// timeWait and finWait are how long a closed connection keeps its port. A
	// minute and more, the stack's defaults, would let the 49,500 ports go at
	// 825 connections a second to one service.
	timeWait = 10 * time.Second
	finWait  = 30 * time.Second
)

// ipStack is a stack of gVisor with one network card. A [Device] has one for
// its own addresses, and one more for all others if it was ever asked to answer
// for them, see [Net.SetTransit].
type ipStack struct {
	stack *stack.Stack
	ip4   stack.NetworkEndpoint
	ip6   stack.NetworkEndpoint
}

// newStack makes a stack behind l, or releases what it made. A local one
// reaches its own addresses and takes no packet that claims to be from one.
func newStack(o *Options, l *link, local bool) (*ipStack, error) {
	s := &ipStack{stack: stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			ipv4.NewProtocolWithOptions(ipv4.Options{AllowExternalLoopbackTraffic: !local}),
			ipv6.NewProtocolWithOptions(ipv6.Options{AllowExternalLoopbackTraffic: !local}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		Clock:              clock{tcpip.NewStdClock()},
		HandleLocal:        local,
	})}
	if err := s.configure(o, l); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the stack and returns when its workers have ended.
func (s *ipStack) close() {
	s.stack.Close()
	s.stack.Wait()
}

func (s *ipStack) configure(o *Options, l *link) error {
	if terr := s.stack.CreateNIC(nicID, l); terr != nil {
		return fmt.Errorf("create nic: %w", stackError(terr))
	}
	var terr tcpip.Error
	if s.ip4, terr = s.stack.GetNetworkEndpoint(nicID, header.IPv4ProtocolNumber); terr != nil {
		return fmt.Errorf("ipv4 endpoint: %w", stackError(terr))
	}
	if s.ip6, terr = s.stack.GetNetworkEndpoint(nicID, header.IPv6ProtocolNumber); terr != nil {
		return fmt.Errorf("ipv6 endpoint: %w", stackError(terr))
	}
	s.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	return errors.Join(s.configureTCP(o), s.configureBuffers())
}

func (s *ipStack) configureTCP(o *Options) error {
	var (
		congestion = tcpip.CongestionControlOption(o.CongestionControl)
		sack       = tcpip.TCPSACKEnabled(true)
		recovery   = tcpip.TCPRACKLossDetection
		moderate   = tcpip.TCPModerateReceiveBufferOption(true)
		wait       = tcpip.TCPTimeWaitTimeoutOption(timeWait)
		linger     = tcpip.TCPLingerTimeoutOption(finWait)
		receive    = tcpip.TCPReceiveBufferSizeRangeOption{Min: tcpFloor, Default: o.firstWindow(), Max: o.ReceiveBuffer}
		send       = tcpip.TCPSendBufferSizeRangeOption{Min: tcpFloor, Default: min(tcpStart, o.SendBuffer), Max: o.SendBuffer}
	)
	if !o.RACK {
		recovery = 0
	}
	for _, opt := range []tcpip.SettableTransportProtocolOption{
		&congestion, &sack, &recovery, &moderate, &wait, &linger, &receive, &send,
	} {
		if terr := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt); terr != nil {
			return fmt.Errorf("tcp option %T: %w", opt, stackError(terr))
		}
	}
	return nil
}

// firstWindow returns the first size of a TCP receive buffer.
func (o *Options) firstWindow() int { return min(tcpStart, o.ReceiveBuffer) }

func (s *ipStack) configureBuffers() error {
	for _, opt := range []any{
		tcpip.ReceiveBufferSizeOption{Min: tcpFloor, Default: udpReceive, Max: udpBufferMax},
		tcpip.SendBufferSizeOption{Min: tcpFloor, Default: udpSend, Max: udpBufferMax},
	} {
		if terr := s.stack.SetOption(opt); terr != nil {
			return fmt.Errorf("stack option %T: %w", opt, stackError(terr))
		}
	}
	return nil
}

// setKeepAlive makes a TCP endpoint probe after idle; negative: never.
func setKeepAlive(ep tcpip.Endpoint, idle time.Duration) {
	if idle < 0 {
		return
	}
	// None of these fails on a TCP endpoint.
	i, v := tcpip.KeepaliveIdleOption(idle), tcpip.KeepaliveIntervalOption(keepAliveInterval)
	ep.SetSockOpt(&i)
	ep.SetSockOpt(&v)
	ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepAliveProbes)
	ep.SocketOptions().SetKeepAlive(true)
}
