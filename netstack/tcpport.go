// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"net"
	"net/netip"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// A TCPPort is a TCP port of the host whose requests to connect are handed over
// before they are answered. Listen is simpler when all are accepted.
type TCPPort struct {
	// Immutable.
	device      *Device
	local       netip.AddrPort // as a key of portTable
	reservation ports.Reservation
	handler     func(*TCPRequest)
	closed      chan struct{}

	// running counts calls of handler. It grows only while the port is in the
	// table of ports, with its lock held.
	running sync.WaitGroup
}

func (p *TCPPort) hold() { p.running.Add(1) }

// OpenTCPPort makes handler take the requests to connect to local, each in a
// goroutine of its own. The zero Addr, and 0.0.0.0 and :: likewise, mean every
// address of the device, present and future, of both families. Port 0 chooses a
// free one. A port that a listener or another TCPPort has, at that address or at
// all of them, is EADDRINUSE.
//
// At most 4096 requests and handshakes of all ports are under way at a time, of
// one client (an IPv4 address, or the /64 of an IPv6 address) at most three
// quarters of that. Those beyond are not answered, so that clients ask again,
// and counted in Stats. Unlike those of Listen they do not connect by SYN
// cookies: a handler that takes long makes others wait.
func (n *Net) OpenTCPPort(local netip.AddrPort, handler func(*TCPRequest)) (*TCPPort, error) {
	p, err := n.openTCPPort(local, handler)
	if err != nil {
		return nil, opError("listen", "bind", "tcp", nil, net.TCPAddrFromAddrPort(local), err)
	}
	return p, nil
}

func (n *Net) openTCPPort(local netip.AddrPort, handler func(*TCPRequest)) (*TCPPort, error) {
	if handler == nil {
		return nil, syscall.EINVAL
	}
	d := n.device
	t := &d.tcpPorts
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := n.check(); err != nil { // with the lock, see shutTCPPorts
		return nil, err
	}
	res, a, err := d.reservation(tcp.ProtocolNumber, local)
	if err != nil {
		return nil, err
	}
	// Not shared with listeners, which have TupleOnly, and not kept from us by
	// connections of before, which are to certain destinations (gVisor
	// ports/ports.go, intersectionFlags, 2026-09). Only what has this flag too
	// could share it: another TCPPort, which the table knows.
	res.Flags = ports.Flags{MostRecent: true}
	for other := range t.open {
		if other.Port() == local.Port() && (!a.IsValid() || !other.Addr().IsValid() || a == other.Addr()) {
			return nil, syscall.EADDRINUSE
		}
	}
	port, terr := d.stack.ReservePort(d.stack.SecureRNG(), res, nil)
	if terr != nil {
		return nil, stackError(terr)
	}
	res.Port = port
	p := &TCPPort{
		device:      d,
		local:       netip.AddrPortFrom(a, port),
		reservation: res,
		handler:     handler,
		closed:      make(chan struct{}),
	}
	t.addLocked(p.local, p)
	return p, nil
}

// LocalAddr returns the address of the port, :: for every address.
func (p *TCPPort) LocalAddr() netip.AddrPort { return shownAddr(p.local) }

// Done returns a channel that is closed when the port or its device is.
func (p *TCPPort) Done() <-chan struct{} { return p.closed }

// Close gives the port back. Requests that are not answered are ignored, and
// Accept of those whose clients have not finished ends with net.ErrClosed;
// connections stay. No call of the handler begins afterwards, and Close waits
// for those under way: it must not be called from one. More calls do nothing and
// wait likewise. The error is always nil.
func (p *TCPPort) Close() error {
	t := &p.device.tcpPorts
	t.mu.Lock()
	p.closeLocked()
	t.mu.Unlock()
	p.device.portTCP.end(p)
	p.running.Wait()
	return nil
}

// closeLocked lets no more requests come.
func (p *TCPPort) closeLocked() {
	if p.device.tcpPorts.removeLocked(p.local, p) {
		p.device.stack.ReleasePort(p.reservation)
		close(p.closed)
	}
}

// shutTCPPorts closes all ports, after Net.shut, so that there will be no more.
func (d *Device) shutTCPPorts() {
	d.tcpPorts.mu.Lock()
	defer d.tcpPorts.mu.Unlock()
	for _, p := range d.tcpPorts.open {
		p.closeLocked()
	}
}

// takePortTCP takes requests to connect to a TCPPort. It is called by the stack
// of the device's own addresses, see handshakes.attach.
func (d *Device) takePortTCP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	if d.tcpPorts.count.Load() == 0 || !connects(pkt) {
		return false
	}
	p := d.tcpPorts.acquire(netip.AddrPortFrom(fromAddress(id.LocalAddress), id.LocalPort))
	if p == nil {
		return false
	}
	return d.portTCP.request(id, pkt, &TCPRequest{device: d, handler: p.handler, port: p}, maxHandshakes)
}
