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
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
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
	// Sockets is how many sockets share the port of a family, each with a receive
	// function of its own; 0 means one for each CPU, up to 4.
	Sockets int
	// ListenOn are the local addresses to listen on, at most one per family; a
	// family without one is not opened. Empty means every address of both
	// families.
	ListenOn []netip.Addr
	// Underlay carries datagrams past the sockets, as with [Bind.SetUnderlay]; nil:
	// nothing does.
	Underlay *xdp.Underlay
	// Lookup resolves endpoint names. Nil means the resolver of the host.
	Lookup Lookup
}

// A Bind is the WireGuard device's way to the network. It outlives the sockets:
// the device closes and opens it whenever it goes down and up or changes its
// port, and the peers in it keep their addresses.
type Bind struct {
	// immutable after NewBind
	log    *slog.Logger
	on     [2]netip.Addr // listen address per family; zero: not opened
	lookup Lookup
	listen listenFunc

	socks    atomic.Pointer[sockets] // nil while closed
	want     atomic.Uint32           // the configured port; 0: any
	rx       rxCounters
	tx       txCounters
	ledger   ledger
	paths    paths
	counts   pathCounts
	tap      atomic.Pointer[tapping] // nil: nobody looks
	requests chan *Endpoint          // peers whose name is to be looked up

	// life is held by whoever opens, closes or changes sockets, and guards the
	// fields below. No packet waits for it.
	life   sync.Mutex
	socket batching.Options // how sockets are opened; the mark is that of the next Open
	asked  int              // sockets per family
	mark   uint32           // of the open sockets
	open   *groups          // nil while closed
	past   *bypass          // nil: no underlay

	mu     sync.RWMutex // guards the fields below
	table  map[Key]*Endpoint
	placed uint32               // peers that were given a socket
	sent   map[uint32]*Endpoint // sender index of each peer's last initiation
	gone   peerSums             // of peers that were removed
}

var _ conn.Bind = (*Bind)(nil)

// NewBind returns a closed Bind without peers.
func NewBind(o *Options) *Bind {
	if o == nil {
		o = &Options{}
	}
	b := &Bind{
		log:      o.Logger,
		lookup:   o.Lookup,
		listen:   listenUDP,
		socket:   o.Socket,
		asked:    socketsPerFamily(o.Sockets),
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
	b.paths.init(b)
	b.past = newBypass(underlayOf(o.Underlay))
	b.ledger.joined(b.past.members())
	return b
}

// maxDefaultSockets bounds the sockets of a family when no number is asked for.
// Each costs up to 14 MiB of kernel buffers and a slab of 128 KiB; the device
// encrypts and decrypts on all CPUs whatever the number is.
const maxDefaultSockets = 4

// socketsPerFamily returns n, or the default for 0.
func socketsPerFamily(n int) int {
	if n > 0 {
		return n
	}
	return min(runtime.NumCPU(), maxDefaultSockets)
}

// Add returns the endpoint of the peer with that key, which it makes when there
// is none.
func (b *Bind) Add(key Key) *Endpoint {
	e, added := b.add(key)
	if added {
		b.paths.add(key)
	}
	return e
}

func (b *Bind) add(key Key) (_ *Endpoint, added bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.table[key]; e != nil {
		return e, false
	}
	e := &Endpoint{bind: b, key: key, socket: b.placed}
	b.placed++
	b.table[key] = e
	return e, true
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
	b.paths.remove(key)
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.table[key]; e != nil {
		e.gone.Store(true)
		delete(b.table, key)
		b.gone.add(&e.accounts)
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
