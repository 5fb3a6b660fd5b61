// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"
	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
)

var (
	_ tun.MultiQueueDevice = (*Device)(nil)
	_ tun.GRODevice        = (*Device)(nil)
)

// Forwarding says what becomes of packets from one peer to another.
type Forwarding uint8

// The ways.
const (
	Off      Forwarding = iota // they go to the host, which may route them
	On                         // they go to the other peer directly
	Isolated                   // they are dropped, also when the host has routed them
)

// String returns off, on or isolated.
func (f Forwarding) String() string {
	switch f {
	case Off:
		return "off"
	case On:
		return "on"
	case Isolated:
		return "isolated"
	}
	return "Forwarding(" + strconv.Itoa(int(f)) + ")"
}

// Options are the optional settings of a [Device]. A nil *Options and the zero value
// mean the defaults.
type Options struct {
	// Logger gets a line when forwarding changes. Default: none.
	Logger *slog.Logger
	// Filter judges every packet that enters or leaves the tunnel. Default: none.
	Filter *filter.Filter
	// Forwarding is how the Device begins.
	Forwarding Forwarding
	// MaxBytes bounds the memory of what waits for peers, 1 MiB at least. 0 means
	// 16 MiB.
	MaxBytes int
	// HasPeer reports whether packets to an address have a peer to go to; those that
	// have none are dropped and counted. It is asked by the readers of all queues,
	// once for many packets; see [Device.BeginChange]. Default: all have one.
	HasPeer func(netip.Addr) bool
}

const (
	defaultMaxBytes = 16 << 20
	minMaxBytes     = 1 << 20
	// maxLane is the most that waits for one peer: 8 ms at 2 Gbit/s, as a longer
	// queue only makes its packets late.
	maxLane = 2 << 20
)

// A Device is a [tun.Device] around another one, which is its host. All methods may
// be called concurrently; each queue is read by one goroutine at a time.
type Device struct {
	// Immutable.
	log      *slog.Logger
	inner    tun.Device
	writeTo  func(flow int, bufs [][]byte, offset int) (int, error)
	filter   *filter.Filter
	queues   []tun.Queue
	host     []*hostQueue // those of queues that are the host's
	cut      *queue
	maxBytes int64
	parcels  parcels
	works    sync.Pool // *work
	reach    reach

	view atomic.Pointer[view]
	tap  atomic.Pointer[Tap] // nil: nobody looks
	mtu  atomic.Int64        // last known

	mu    sync.Mutex // changes of view and lanes
	lanes map[filter.Party]*lane

	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error

	counters counters
}

// New returns a Device around dev and takes ownership of it: it is closed with the
// Device. It knows no peers before [Device.SetRoutes].
func New(dev tun.Device, o *Options) (*Device, error) {
	if dev == nil {
		return nil, errors.New("hub: no device for the host")
	}
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	d := &Device{
		log:      c.Logger,
		inner:    dev,
		writeTo:  tun.WriteToOf(dev),
		filter:   c.Filter,
		maxBytes: int64(max(c.MaxBytes, minMaxBytes)),
		lanes:    make(map[filter.Party]*lane),
	}
	d.works.New = func() any { return new(work) }
	d.reach.ask = c.HasPeer
	if _, err := d.MTU(); err != nil {
		d.mtu.Store(maxPacket)
	}
	for _, q := range tun.QueuesOf(dev) {
		h := &hostQueue{d: d, inner: q}
		d.host, d.queues = append(d.host, h), append(d.queues, h)
	}
	d.cut = newQueue(&d.parcels)
	d.queues = append(d.queues, cutQueue{d.cut, d})
	d.view.Store(&view{forwarding: c.Forwarding, table: new(bart.Table[entry])})
	return d, nil
}

// SetForwarding changes what becomes of packets from peer to peer, from the next
// packet on.
func (d *Device) SetForwarding(f Forwarding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := *d.view.Load()
	if v.forwarding == f {
		return
	}
	d.log.Info("forwarding between peers changed", "from", v.forwarding, "to", f)
	v.forwarding = f
	d.view.Store(&v)
}

// Forwarding returns what becomes of packets from peer to peer.
func (d *Device) Forwarding() Forwarding { return d.view.Load().forwarding }

// SetRoutes replaces what the Device knows about addresses, from the next packet on.
// A range that moves from one peer to another should be in the routes of the new one
// before wireguard-go accepts it from there.
func (d *Device) SetRoutes(r *Routes) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := make(map[filter.Party]*lane, len(r.Peers))
	v := *d.view.Load()
	v.table = newTable(r, func(p filter.Party) *lane {
		l := d.lanes[p]
		if l == nil {
			if l = kept[p]; l == nil {
				l = newLane(p)
			}
		}
		kept[p] = l
		return l
	})
	v.addr4, v.addr6 = firstOf(r.Addresses)
	for p, l := range d.lanes {
		if kept[p] == nil {
			d.counters.gone(l)
		}
	}
	d.lanes = kept
	d.view.Store(&v)
}

// Queues implements [tun.MultiQueueDevice]: those of the device inside, then one for
// packets from peer to peer, which has no descriptor.
func (d *Device) Queues() []tun.Queue { return append([]tun.Queue(nil), d.queues...) }

// Read reads the first queue of the host; see [tun.Reader].
func (d *Device) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	return d.queues[0].Read(slab, packets)
}

// File returns the descriptor of the host's device, which keeps it.
func (d *Device) File() *os.File { return d.inner.File() }

// BatchSize returns that of the host's device.
func (d *Device) BatchSize() int { return d.inner.BatchSize() }

// Events returns those of the host's device.
func (d *Device) Events() <-chan tun.Event { return d.inner.Events() }

// Name returns that of the host's device.
func (d *Device) Name() (string, error) { return d.inner.Name() }

// MTU returns that of the host's device.
func (d *Device) MTU() (int, error) {
	mtu, err := d.inner.MTU()
	if err == nil && mtu > 0 {
		d.mtu.Store(int64(mtu))
	}
	return mtu, err
}

// DisableUDPGRO implements [tun.GRODevice].
func (d *Device) DisableUDPGRO() {
	if g, ok := d.inner.(tun.GRODevice); ok {
		g.DisableUDPGRO()
	}
}

// DisableTCPGRO implements [tun.GRODevice].
func (d *Device) DisableTCPGRO() {
	if g, ok := d.inner.(tun.GRODevice); ok {
		g.DisableTCPGRO()
	}
}

// Close closes the host's device and ends all reads with [os.ErrClosed]. What waits
// for peers is dropped. Further calls return the result of the first.
func (d *Device) Close() error {
	d.closeOnce.Do(func() {
		d.closed.Store(true)
		d.counters.dropped[dropClosed].Add(uint64(d.cut.close()))
		d.closeErr = d.inner.Close()
	})
	return d.closeErr
}

// cutQueue is the queue as wireguard-go sees it.
type cutQueue struct {
	*queue
	d *Device
}

// Read is [queue.Read].
func (q cutQueue) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	n, err := q.queue.Read(slab, packets)
	q.d.toPeers(slab, packets[:n])
	return n, err
}

// File returns nil: the queue has no descriptor.
func (cutQueue) File() *os.File { return nil }
