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

	// synRetries ends a dial to an address that does not answer after
	// 1+2+4+8+16 = 31 s, if its context does not before.
	synRetries = 4
)

// newStack makes the stack and its network card, or releases what it made.
func (d *Device) newStack(o *Options) error {
	d.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		Clock:              clock{tcpip.NewStdClock()},
		HandleLocal:        true, // a host reaches its own addresses
	})
	if err := d.configure(o); err != nil {
		d.stack.Close()
		d.stack.Wait()
		return err
	}
	return nil
}

func (d *Device) configure(o *Options) error {
	if terr := d.stack.CreateNIC(nicID, d.link); terr != nil {
		return fmt.Errorf("create nic: %w", stackError(terr))
	}
	var terr tcpip.Error
	if d.ip4, terr = d.stack.GetNetworkEndpoint(nicID, header.IPv4ProtocolNumber); terr != nil {
		return fmt.Errorf("ipv4 endpoint: %w", stackError(terr))
	}
	if d.ip6, terr = d.stack.GetNetworkEndpoint(nicID, header.IPv6ProtocolNumber); terr != nil {
		return fmt.Errorf("ipv6 endpoint: %w", stackError(terr))
	}
	d.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	return errors.Join(d.configureTCP(o), d.configureBuffers())
}

func (d *Device) configureTCP(o *Options) error {
	var (
		congestion = tcpip.CongestionControlOption(o.CongestionControl)
		sack       = tcpip.TCPSACKEnabled(true)
		recovery   = tcpip.TCPRACKLossDetection
		moderate   = tcpip.TCPModerateReceiveBufferOption(true)
		retries    = tcpip.TCPSynRetriesOption(synRetries)
		wait       = tcpip.TCPTimeWaitTimeoutOption(timeWait)
		linger     = tcpip.TCPLingerTimeoutOption(finWait)
		receive    = tcpip.TCPReceiveBufferSizeRangeOption{Min: tcpFloor, Default: min(tcpStart, o.ReceiveBuffer), Max: o.ReceiveBuffer}
		send       = tcpip.TCPSendBufferSizeRangeOption{Min: tcpFloor, Default: min(tcpStart, o.SendBuffer), Max: o.SendBuffer}
	)
	if o.DisableRACK {
		recovery = 0
	}
	for _, opt := range []tcpip.SettableTransportProtocolOption{
		&congestion, &sack, &recovery, &moderate, &retries, &wait, &linger, &receive, &send,
	} {
		if terr := d.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt); terr != nil {
			return fmt.Errorf("tcp option %T: %w", opt, stackError(terr))
		}
	}
	return nil
}

func (d *Device) configureBuffers() error {
	for _, opt := range []any{
		tcpip.ReceiveBufferSizeOption{Min: tcpFloor, Default: udpReceive, Max: udpBufferMax},
		tcpip.SendBufferSizeOption{Min: tcpFloor, Default: udpSend, Max: udpBufferMax},
	} {
		if terr := d.stack.SetOption(opt); terr != nil {
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
