// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/netstack"
)

// socksUDP is what the associations of a service have in common.
type socksUDP struct {
	once sync.Once
	host *udpHost
}

// get returns the host's side, which is made when the first client asks for UDP.
func (u *socksUDP) get() *udpHost {
	u.once.Do(func() { u.host = newUDPHost() })
	return u.host
}

// An association relays datagrams between one client and the tunnel (RFC 1928,
// section 7), from one port in the tunnel for each family, whatever the
// destination. What comes back is handed on if it is from an address that was
// sent to.
type association struct {
	// Immutable.
	net    *netstack.Net
	count  *counters
	socket *udpSocket
	client netip.Addr

	peer   atomic.Pointer[netip.AddrPort] // the client; nil until its port is known
	header atomic.Pointer[socksHeader]    // of the last answer
	sentTo addressMemory
	names  socksNames
	wg     sync.WaitGroup // questions for names

	ports sync.Mutex // guards below
	ended bool
	port4 *netstack.UDPPort
	port6 *netstack.UDPPort

	batch socksBatch // owned by the reader
}

// socksHeader is the header of datagrams from source.
type socksHeader struct {
	source netip.AddrPort
	bytes  []byte
}

// associate serves UDP ASSOCIATE until the control connection ends, for a client that
// said which port it sends from; 0 is for one that did not: then it is the port of its first datagram. The relay
// listens at the address that the client has reached already, and takes only
// what comes from the client's.
func (s *SOCKS5) associate(ctx context.Context, control net.Conn, client netip.Addr, port uint16) {
	local := addrPortOf(control.LocalAddr())
	socket, err := s.udp.get().listen(netip.AddrPortFrom(local.Addr(), 0))
	if err != nil {
		s.log.Warn("cannot open a relay for datagrams", "err", err)
		s.refuse(control, socksFailure)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	a := &association{net: s.net, count: &s.count, socket: socket, client: client}
	a.names.init(s.net.Resolver().LookupNetIP, a)
	if port != 0 {
		peer := netip.AddrPortFrom(client, port)
		a.peer.Store(&peer)
	}
	a.wg.Go(func() { a.read(ctx) })
	if s.reply(control, socksSucceeded, socket.local) == nil {
		var b [64]byte
		for err == nil { // nothing is expected but the end
			_, err = control.Read(b[:])
		}
	}
	cancel()
	a.close()
}

// close ends the association and waits for its goroutines.
func (a *association) close() {
	_ = a.socket.Close() // what it has not sent is lost
	a.wg.Wait()
	a.ports.Lock()
	a.ended = true
	ports := [...]*netstack.UDPPort{a.port4, a.port6}
	a.ports.Unlock()
	for _, p := range ports {
		if p != nil {
			_ = p.Close() // no datagram arrives afterwards
		}
	}
}

// read forwards what the client sends until the socket is closed.
func (a *association) read(ctx context.Context) {
	take := func(from netip.AddrPort, payloads [][]byte) { a.take(ctx, from, payloads) }
	for {
		bad, err := a.socket.read(take)
		a.count.dropMalformed.Add(uint64(bad))
		if err != nil && !isRefused(err) {
			return
		}
	}
}

// knows reports whether from is the client; the first port it sends from counts.
func (a *association) knows(from netip.AddrPort) bool {
	if peer := a.peer.Load(); peer != nil {
		return from == *peer
	}
	if from.Addr() != a.client.WithZone("") {
		return false
	}
	a.peer.Store(&from)
	return true
}

// portFor returns the port in the tunnel to send from to dst.
func (a *association) portFor(dst netip.Addr) (*netstack.UDPPort, error) {
	a.ports.Lock()
	defer a.ports.Unlock()
	if a.ended {
		return nil, net.ErrClosed
	}
	port := &a.port6
	if dst.Is4() {
		port = &a.port4
	}
	if *port != nil {
		return *port, nil
	}
	source, err := a.net.SourceFor(dst)
	if err != nil {
		return nil, err
	}
	p, err := a.net.OpenUDPPort(netip.AddrPortFrom(source, 0), a.receive)
	if err == nil {
		*port = p
	}
	return p, err
}

// send sends payloads into the tunnel.
func (a *association) send(dst netip.AddrPort, payloads [][]byte) {
	port, err := a.portFor(dst.Addr())
	n := 0
	if err == nil {
		a.sentTo.add(dst.Addr())
		n, _ = a.net.SendDatagrams(&netstack.Datagrams{ // what is lost is counted
			Source: port.LocalAddr(), Destination: dst, Payloads: payloads,
		})
	}
	a.count.sent(payloads, n)
}

// receive hands datagrams from the tunnel to the client.
func (a *association) receive(d *netstack.Datagrams) {
	peer := a.peer.Load()
	if peer == nil || !a.sentTo.has(d.Source.Addr()) {
		a.count.dropForeign.Add(uint64(len(d.Payloads)))
		return
	}
	h := a.header.Load()
	if h == nil || h.source != d.Source {
		target := socksTarget{addr: d.Source.Addr(), port: d.Source.Port()}
		h = &socksHeader{d.Source, appendSocksUDPHeader(nil, target)}
		a.header.Store(h)
	}
	n, _ := a.socket.send(h.bytes, d.Payloads, *peer) // what is lost is counted
	a.count.received(d.Payloads, n)
}

// usable reports whether the tunnel has a way to dst.
func (a *association) usable(dst netip.Addr) bool {
	_, err := a.net.SourceFor(dst)
	return err == nil
}
