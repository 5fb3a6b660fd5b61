// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
)

// Lookup resolves a host name to addresses, best first.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// Options configure a [Bind]. The zero value is ready to use.
type Options struct {
	// Logger gets state changes: sockets opened, sending fails, sending works
	// again. Nil discards them.
	Logger *slog.Logger
	// Socket is how every UDP socket is opened.
	Socket batching.Options
	// ListenOn are the local addresses to listen on, at most one per family; a
	// family without one is not opened. Empty means every address of both
	// families.
	ListenOn []netip.Addr
	// Lookup resolves endpoint names. Nil means the resolver of the host.
	Lookup Lookup
}

// A Bind is the WireGuard device's way to the network. It outlives the sockets:
// the device closes and opens it whenever it goes down and up or changes its
// port, and the peers in it keep their addresses.
type Bind struct {
	log    *slog.Logger
	opts   Options
	on     [2]netip.Addr // listen address per family; zero: not opened
	lookup Lookup
	listen listenFunc

	socks    atomic.Pointer[sockets] // nil while closed
	want     atomic.Uint32           // the configured port; 0: any
	rx       rxCounters
	requests chan *Endpoint // peers whose name is to be looked up

	mu     sync.RWMutex // guards the fields below
	table  map[Key]*Endpoint
	sent   map[uint32]*Endpoint // sender index of each peer's last initiation
	closed chan struct{}        // closed when the open sockets close
}

var _ conn.Bind = (*Bind)(nil)

// NewBind returns a closed Bind without peers.
func NewBind(o *Options) *Bind {
	if o == nil {
		o = &Options{}
	}
	b := &Bind{
		log:      o.Logger,
		opts:     *o,
		lookup:   o.Lookup,
		listen:   listenUDP,
		table:    make(map[Key]*Endpoint),
		sent:     make(map[uint32]*Endpoint),
		requests: make(chan *Endpoint, 64),
		on:       [2]netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.lookup == nil {
		b.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if len(o.ListenOn) > 0 {
		b.on = [2]netip.Addr{}
		for _, a := range o.ListenOn {
			if a.Unmap().Is4() {
				b.on[0] = a.Unmap()
			} else {
				b.on[1] = a
			}
		}
	}
	return b
}

// Add returns the endpoint of the peer with that key, which it makes when there
// is none.
func (b *Bind) Add(key Key) *Endpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.table[key]
	if e == nil {
		e = &Endpoint{bind: b, key: key}
		b.table[key] = e
	}
	return e
}

// Lookup returns the endpoint of the peer with that key, or nil.
func (b *Bind) Lookup(key Key) *Endpoint {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.table[key]
}

// Remove forgets the peer with that key. Packets that the device still sends to
// its endpoint go where they went before.
func (b *Bind) Remove(key Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.table[key]; e != nil {
		e.gone.Store(true)
		delete(b.table, key)
		for idx, o := range b.sent {
			if o == e {
				delete(b.sent, idx)
			}
		}
	}
}

// Endpoints returns all peers, in no order.
func (b *Bind) Endpoints() []*Endpoint {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]*Endpoint, 0, len(b.table))
	for _, e := range b.table {
		out = append(out, e)
	}
	return out
}

// ParseEndpoint returns the endpoint object of a peer. The device is configured
// with the hexadecimal public key of the peer in place of an address; real
// addresses are set on the object.
func (b *Bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	var key Key
	if b, err := hex.DecodeString(s); err != nil || copy(key[:], b) != len(key) || len(b) != len(key) {
		return nil, fmt.Errorf("peers: endpoint %q is not the public key of a peer", s)
	}
	return b.Add(key), nil
}

// BatchSize returns how many packets one call sends or receives at most.
func (b *Bind) BatchSize() int { return conn.IdealBatchSize }

// SetPort says which port is configured, 0 for any. It takes effect with the next
// [Bind.Open] for port 0: the device forgets its port when opening it fails, and
// would come up on another one the next time.
func (b *Bind) SetPort(port uint16) { b.want.Store(uint32(port)) }

// Open opens one socket per address family on the port and returns a receive
// function for each. Port 0 means the one of [Bind.SetPort], or a free one.
func (b *Bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socks.Load() != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	if port == 0 {
		port = uint16(b.want.Load())
	}
	s, err := openSockets(b.listen, b.on, port, &b.opts.Socket)
	if err != nil {
		return nil, 0, err
	}
	b.closed = make(chan struct{})
	var fns []conn.ReceiveFunc
	if s.v4 != nil {
		fns = append(fns, newReceiver(b, s.v4, b.closed).receiveIPv4)
	}
	if s.v6 != nil {
		fns = append(fns, newReceiver(b, s.v6, b.closed).receiveIPv6)
	}
	b.socks.Store(s)
	b.log.Debug("sockets opened", "port", s.port)
	return fns, s.port, nil
}

// Close closes the sockets. Receive functions return net.ErrClosed; peers and
// their addresses stay. Close of a closed Bind does nothing.
func (b *Bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.socks.Swap(nil)
	if s == nil {
		return nil
	}
	close(b.closed)
	return s.close()
}

// SetMark sets SO_MARK on the open sockets. It needs CAP_NET_ADMIN.
func (b *Bind) SetMark(mark uint32) error {
	s := b.socks.Load()
	if s == nil {
		return net.ErrClosed
	}
	return s.setMark(mark)
}

// Port returns the port that the sockets are bound to, 0 while closed.
func (b *Bind) Port() uint16 {
	if s := b.socks.Load(); s != nil {
		return s.port
	}
	return 0
}

// RevalidateSources asks keep about every sticky source and releases those that
// it refuses. It is called after addresses or routes of the host have changed.
func (b *Bind) RevalidateSources(keep func(remote, local netip.Addr, ifIndex uint32) bool) {
	for _, e := range b.Endpoints() {
		r := e.cur.Load()
		if r == nil || !r.dst.Local().IsValid() {
			continue
		}
		if !keep(r.dst.Remote().Addr(), r.dst.Local(), r.dst.IfIndex()) {
			e.dropSource(r, "route changed")
		}
	}
}
