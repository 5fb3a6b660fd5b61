// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/netstack"
)

// clientSlab is what a listener receives into, as large as wireguard-go's: two
// messages of 64 KiB, or 64 datagrams of an Ethernet path.
const clientSlab = 2 * 65535

// readPause is how long a listener waits after an error that may go away, such as
// ENOMEM.
const readPause = 100 * time.Millisecond

// udpClient forwards from a port of the host to a target in the tunnel.
type udpClient struct {
	// Immutable.
	net    *netstack.Net
	conns  []*batching.Conn // one for each family
	port   uint16           // of the target
	names  *nameLookup
	silent time.Duration
	count  *counters
	log    *slog.Logger
	table  *flowTable[netip.AddrPort, *clientFlow]
	wg     sync.WaitGroup // readers, and questions of theirs
}

// A clientFlow is a port in the tunnel, or what waits for it.
type clientFlow struct {
	// Immutable.
	client *udpClient
	conn   *batching.Conn
	back   *batching.Destination

	mu      sync.Mutex // guards below
	ended   bool
	failed  bool              // the target was not found
	port    *netstack.UDPPort // nil until the target is known
	out     netstack.Datagrams
	pending [][]byte
}

// ListenUDPClient listens at a UDP port of the host and forwards to a target in
// the tunnel, from a port for each client.
func ListenUDPClient(n *netstack.Net, o *UDPForwardOptions) (*UDPForward, error) {
	host, port, err := parseTarget(o.Target)
	if err != nil {
		return nil, err
	}
	f := &UDPForward{}
	f.init("udp client", nil, Limits{}, o.Logger)
	c := &udpClient{net: n, port: port, count: &f.count, silent: inactivity(o.InactivityTimeout, port)}
	if c.conns, err = listenUDP(o.Listen); err != nil {
		return nil, err
	}
	f.log = f.log.With("listen", c.local(), "target", net.JoinHostPort(host, strconv.Itoa(int(port))))
	c.log = f.log
	c.names = newNameLookup(host, n.Resolver().LookupNetIP, func(a netip.Addr) bool {
		_, err := n.SourceFor(a)
		return err == nil
	})
	c.table = newFlowTable(o.Limits, func(f *flow[netip.AddrPort, *clientFlow]) { f.value.end() })
	f.side = c
	return f, nil
}

// listenUDP opens the sockets for host:port of the host, one of each family for
// an empty host.
func listenUDP(listen string) ([]*batching.Conn, error) {
	addr, err := net.ResolveUDPAddr("udp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	local := addr.AddrPort()
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	opts := &batching.Options{AnyProtocol: true}
	if local.Addr().Is4() {
		c, err := batching.Listen("udp4", local, opts)
		return []*batching.Conn{c}, err
	}
	if local.Addr().IsValid() {
		c, err := batching.Listen("udp6", local, opts)
		return []*batching.Conn{c}, err
	}
	six, err6 := batching.Listen("udp6", local, opts)
	if err6 == nil {
		local = netip.AddrPortFrom(netip.Addr{}, six.LocalAddr().Port())
	}
	four, err4 := batching.Listen("udp4", local, opts)
	switch {
	case err4 == nil && err6 == nil:
		return []*batching.Conn{six, four}, nil
	case err4 == nil && !isInUse(err6):
		return []*batching.Conn{four}, nil // a host without IPv6
	case err6 == nil && !isInUse(err4):
		return []*batching.Conn{six}, nil
	case err4 == nil:
		_ = four.Close() // never used
	case err6 == nil:
		_ = six.Close()
	}
	return nil, errors.Join(err6, err4)
}

func (c *udpClient) local() netip.AddrPort { return c.conns[0].LocalAddr() }

func (c *udpClient) fill(s *Stats) {
	c.table.fill(s)
	for _, conn := range c.conns {
		for _, n := range conn.Stats().Rx.Dropped {
			s.Drops.Malformed += n
		}
	}
}

func (c *udpClient) serve(ctx context.Context) error {
	for _, conn := range c.conns {
		c.wg.Go(func() { c.read(ctx, conn) })
	}
	c.table.run(ctx)
	c.close()
	return nil
}

func (c *udpClient) close() {
	for _, conn := range c.conns {
		_ = conn.Close() // again does nothing
	}
	c.table.close()
	c.wg.Wait()
}

// read forwards what clients send until conn is closed.
func (c *udpClient) read(ctx context.Context, conn *batching.Conn) {
	slab, pkts := make([]byte, clientSlab), make([]batching.Packet, maxDatagrams)
	var b clientBatch
	failing := false
	for {
		n, err := conn.ReadBatch(slab, pkts)
		switch {
		case err == nil:
			failing = false
			c.take(ctx, conn, slab, pkts[:n], &b)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			c.count.acceptErrors.Add(1)
			if !failing {
				failing = true
				c.log.Warn("cannot receive datagrams, trying again", "err", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(readPause):
			}
		}
	}
}

// A clientBatch is the packets of one client in a batch.
type clientBatch struct {
	payloads [maxDatagrams][]byte
	taken    [maxDatagrams]bool
}

// take forwards a batch, the packets of each client together.
func (c *udpClient) take(ctx context.Context, conn *batching.Conn, slab []byte, pkts []batching.Packet, b *clientBatch) {
	now := c.table.now()
	b.taken = [maxDatagrams]bool{}
	for i := range pkts {
		if b.taken[i] {
			continue
		}
		payloads := b.payloads[:0]
		for j := i; j < len(pkts); j++ {
			if p := &pkts[j]; !b.taken[j] && p.Remote == pkts[i].Remote {
				b.taken[j] = true
				payloads = append(payloads, slab[p.Offset:][:p.Size:p.Size])
			}
		}
		c.forward(ctx, conn, &pkts[i], payloads, now)
	}
}

// forward sends payloads of the client of p to the target.
func (c *udpClient) forward(ctx context.Context, conn *batching.Conn, p *batching.Packet, payloads [][]byte, now time.Duration) {
	f := c.table.get(p.Remote, now)
	if f == nil {
		if f = c.open(ctx, conn, p, now); f == nil {
			c.count.dropFull.Add(uint64(len(payloads)))
			return
		}
	}
	v := f.value
	v.mu.Lock()
	if v.port == nil {
		v.waitLocked(payloads)
		v.mu.Unlock()
		return
	}
	out := v.out
	v.mu.Unlock()
	out.Payloads = payloads
	n, _ := c.net.SendDatagrams(&out) // what is lost is counted
	c.count.sent(payloads, n)
}

// waitLocked keeps copies of payloads until the target is known.
func (v *clientFlow) waitLocked(payloads [][]byte) {
	if v.failed {
		v.client.count.dropResolve.Add(uint64(len(payloads)))
		return
	}
	room := maxPending - len(v.pending)
	if v.ended {
		room = 0
	}
	if len(payloads) > room {
		v.client.count.dropFull.Add(uint64(len(payloads) - room))
		payloads = payloads[:room]
	}
	for _, b := range payloads {
		v.pending = append(v.pending, slices.Clone(b))
	}
}

// open makes a flow for the client of p.
func (c *udpClient) open(ctx context.Context, conn *batching.Conn, p *batching.Packet, now time.Duration) *flow[netip.AddrPort, *clientFlow] {
	f, made := c.table.add(p.Remote, udpClientOf(p.Remote.Addr()), c.silent, now, func() *clientFlow {
		return &clientFlow{client: c, conn: conn, back: batching.NewDestination(p.Remote, p.Local, p.IfIndex)}
	})
	if made {
		c.count.accepted.Add(1)
		// Readers are part of wg, so more may be added by them.
		c.names.find(ctx, c.wg.Go, func(a netip.Addr, err error) { c.opened(ctx, f, a, err) })
	}
	return f
}

// opened opens the port of f towards a and sends what waits for it.
func (c *udpClient) opened(ctx context.Context, f *flow[netip.AddrPort, *clientFlow], a netip.Addr, err error) {
	v := f.value
	target := netip.AddrPortFrom(a, c.port)
	var port *netstack.UDPPort
	if err == nil {
		port, err = v.bind(f, target)
	}
	v.mu.Lock()
	if err == nil && !v.ended {
		v.out = netstack.Datagrams{Source: port.LocalAddr(), Destination: target, Payloads: v.pending}
		if len(v.pending) > 0 {
			n, _ := c.net.SendDatagrams(&v.out) // what is lost is counted
			c.count.sent(v.pending, n)
		}
		v.pending, v.out.Payloads = nil, nil
		v.port = port
		v.mu.Unlock()
		return
	}
	lost := len(v.pending)
	v.pending = nil
	v.ended, v.failed = true, err != nil
	v.mu.Unlock()
	if port != nil {
		_ = port.Close() // nobody sent from it
	}
	if err != nil && ctx.Err() == nil {
		c.count.dial[dialFailureOf(err)].Add(1)
		c.count.dropResolve.Add(uint64(lost))
	}
	c.table.remove(f)
}

// bind opens a port whose datagrams go back to the client.
func (v *clientFlow) bind(f *flow[netip.AddrPort, *clientFlow], target netip.AddrPort) (*netstack.UDPPort, error) {
	source, err := v.client.net.SourceFor(target.Addr())
	if err != nil {
		return nil, err
	}
	return v.client.net.OpenUDPPort(netip.AddrPortFrom(source, 0), func(d *netstack.Datagrams) {
		c := v.client
		if d.Source != target {
			c.count.dropForeign.Add(uint64(len(d.Payloads)))
			return
		}
		f.seen.Store(int64(c.table.now()))
		n, _ := v.conn.WriteBatch(d.Payloads, 0, v.back, 0) // what is lost is counted
		c.count.received(d.Payloads, n)
	})
}

// end closes the port.
func (v *clientFlow) end() {
	v.mu.Lock()
	port := v.port
	v.ended = true
	v.port, v.pending = nil, nil
	v.mu.Unlock()
	if port != nil {
		_ = port.Close() // no datagram arrives afterwards
	}
}
