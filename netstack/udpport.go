// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// A UDPPort is a UDP port of the host whose datagrams are handed over as they
// arrive: no endpoint of the stack, no queue, no goroutine.
type UDPPort struct {
	// Immutable.
	device      *Device
	local       netip.AddrPort // as a key of portTable
	reservation ports.Reservation
	receive     func(*Datagrams)

	// running counts calls of receive. It grows only while the port is in
	// the table of ports, with its lock held.
	running sync.WaitGroup
}

func (p *UDPPort) hold() { p.running.Add(1) }

// OpenUDPPort makes receive take the datagrams that arrive at local. The zero
// Addr, and 0.0.0.0 and :: likewise, mean every address of the device, present
// and future, of both families. Port 0 chooses a free one. A port that a socket
// or another UDPPort has is EADDRINUSE.
//
// receive is called by the goroutines that deliver inbound packets, by several
// at a time for different flows, and once per flow and batch. It borrows its
// argument, payloads included, and must not change them. It must not block, nor
// call SendDatagrams, which may: receiving would depend on sending. Nor may it
// close the device.
func (n *Net) OpenUDPPort(local netip.AddrPort, receive func(*Datagrams)) (*UDPPort, error) {
	p, err := n.openUDPPort(local, receive)
	if err != nil {
		return nil, opError("listen", "bind", "udp", nil, net.UDPAddrFromAddrPort(local), err)
	}
	return p, nil
}

func (n *Net) openUDPPort(local netip.AddrPort, receive func(*Datagrams)) (*UDPPort, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	if receive == nil {
		return nil, syscall.EINVAL
	}
	d := n.device
	res, a, err := d.reservation(udp.ProtocolNumber, local)
	if err != nil {
		return nil, err
	}
	p := &UDPPort{device: d, receive: receive, reservation: res}
	port, terr := d.stack.ReservePort(d.stack.SecureRNG(), p.reservation, nil)
	if terr != nil {
		return nil, stackError(terr)
	}
	p.reservation.Port = port
	p.local = netip.AddrPortFrom(a, port)
	d.ports.mu.Lock()
	defer d.ports.mu.Unlock()
	d.ports.addLocked(p.local, p)
	return p, nil
}

// LocalAddr returns the address of the port, :: for every address.
func (p *UDPPort) LocalAddr() netip.AddrPort { return shownAddr(p.local) }

// Close gives the port back. No call of receive begins afterwards. Close waits
// for those under way, unless a receive function is what it is called from,
// even indirectly: that one ends when it ends, and to wait for others could be
// to wait for each other. More calls do nothing and wait likewise. The error is
// always nil.
func (p *UDPPort) Close() error {
	all := &p.device.ports
	all.mu.Lock()
	if all.removeLocked(p.local, p) {
		p.device.stack.ReleasePort(p.reservation)
	}
	all.mu.Unlock()
	if !inReceive() {
		p.running.Wait()
	}
	return nil
}

// call hands over g, which acquire has got the port for, and counts.
//
//go:noinline
func (p *UDPPort) call(g *Datagrams) {
	defer p.running.Done()
	c := &p.device.udp
	c.portDatagrams.Add(uint64(len(g.Payloads)))
	c.portBytes.Add(uint64(g.bytes()))
	p.receive(g)
}

// bytes returns the length of all payloads.
func (g *Datagrams) bytes() (n int) {
	for _, p := range g.Payloads {
		n += len(p)
	}
	return n
}

// inReceive reports whether the caller runs inside call, of any port.
func inReceive() bool {
	var pcs [64]uintptr
	for skip := 1; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			f, more = frames.Next()
			if strings.HasSuffix(f.Function, "/netstack.(*UDPPort).call") {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
