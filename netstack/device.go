// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

var _ tun.MultiQueueDevice = (*Device)(nil)

// nicID is the one network card of a stack.
const nicID tcpip.NICID = 1

// eventBuffer holds EventUp and changes of the MTU. When it is full, a change
// that nobody has seen yet is in it, and whoever sees it asks for the MTU then.
const eventBuffer = 4

// Device is a host inside the tunnel, seen from the tunnel: Read takes the
// packets it sends, Write gives it packets. It implements
// [tun.MultiQueueDevice] with queues that have no file.
type Device struct {
	// Immutable after New.
	*ipStack // of its own addresses
	log      *slog.Logger
	opts     Options
	link     *link
	queues   []*queue
	net      *Net
	events   chan tun.Event

	mtu     atomic.Uint32
	ipID    atomic.Uint32 // identification of the next raw packet
	joiners sync.Pool     // of *joiner
	raws    rawPool
	in      inboundCounters
	udp     udpCounters
	echo    echoCounters

	ports   portTable[*UDPPort]
	own     atomic.Pointer[addressSet] // what addresses is, for the packet path
	transit atomic.Pointer[Transit]    // nil: none
	foreign atomic.Pointer[ipStack]    // of all other addresses; nil: never needed

	tcpPorts   portTable[*TCPPort]
	portTCP    handshakes // of tcpPorts
	transitTCP handshakes // of transit

	// closing is held for reading while packets are given to the stack.
	closing sync.RWMutex
	down    bool // guarded by closing

	mu        sync.Mutex // guards below and the sending end of events
	closed    bool
	addresses []netip.Addr

	closeOnce sync.Once
}

// New returns a running device, or an error that names what is wrong with o.
func New(o *Options) (*Device, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("netstack options: %w", err)
	}
	d := &Device{log: opts.Logger, opts: opts, events: make(chan tun.Event, eventBuffer)}
	d.own.Store(&addressSet{})
	d.ports.init()
	d.tcpPorts.init()
	d.portTCP.init()
	d.transitTCP.init()
	d.ipID.Store(rand.Uint32())
	d.mtu.Store(uint32(opts.MTU))
	for range opts.Queues {
		q := &queue{mtu: &d.mtu}
		q.ring.init()
		d.queues = append(d.queues, q)
	}
	d.link = &link{queues: d.queues, seed: maphash.MakeSeed(), mtu: &d.mtu}
	d.joiners.New = func() any { return &joiner{seed: d.link.seed} }
	if d.ipStack, err = newStack(&opts, d.link, true); err != nil {
		return nil, fmt.Errorf("netstack: %w", err)
	}
	d.stack.SetTransportProtocolHandler(udp.ProtocolNumber, d.takeOwnUDP)
	d.portTCP.attach(d.stack, d.opts.firstWindow(), d.takePortTCP)
	d.net = newNet(d, &opts)
	if err := d.SetAddresses(opts.Addresses); err != nil {
		d.Close()
		return nil, err
	}
	d.events <- tun.EventUp
	return d, nil
}

// Net returns the host's network.
func (d *Device) Net() *Net { return d.net }

// Read is Read of the first queue.
func (d *Device) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	return d.queues[0].Read(slab, packets)
}

// Queues returns the queues. The slice is the caller's.
func (d *Device) Queues() []tun.Queue {
	qs := make([]tun.Queue, len(d.queues))
	for i, q := range d.queues {
		qs[i] = q
	}
	return qs
}

// File returns nil: there is no file behind the device.
func (d *Device) File() *os.File { return nil }

// Name returns "netstack".
func (d *Device) Name() (string, error) { return "netstack", nil }

// BatchSize returns 128.
func (d *Device) BatchSize() int { return batchSize }

// Events returns the channel that has tun.EventUp once, and tun.EventMTUUpdate
// after SetMTU. Close closes it.
func (d *Device) Events() <-chan tun.Event { return d.events }

// MTU returns the MTU in bytes.
func (d *Device) MTU() (int, error) { return int(d.mtu.Load()), nil }

// SetMTU changes the MTU, 576 to 65535 bytes, at least 1280 while the device
// has an IPv6 address. Connections send no packet above a smaller MTU from now
// on; a larger one counts for new connections.
func (d *Device) SetMTU(mtu int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	if err := checkMTU(mtu, d.addresses); err != nil {
		return fmt.Errorf("netstack: %w", err)
	}
	if old := d.mtu.Swap(uint32(mtu)); old == uint32(mtu) {
		return nil
	}
	select {
	case d.events <- tun.EventMTUUpdate:
	default: // see eventBuffer
	}
	d.log.Debug("mtu changed", "mtu", mtu)
	return nil
}

// SetAddresses makes addrs the addresses of the host. Those it already has are
// not touched, nor are connections that use them; connections of an address
// that goes are not closed, but no packet reaches them any more. Nothing
// changes when addrs has one that a host cannot have.
func (d *Device) SetAddresses(addrs []netip.Addr) error {
	want, err := cleanAddresses(addrs)
	if err != nil {
		return fmt.Errorf("netstack: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	if err := checkMTU(int(d.mtu.Load()), want); err != nil {
		return fmt.Errorf("netstack: %w", err)
	}
	// Add before removing: a host that renumbers is never without address.
	var have []netip.Addr
	for _, a := range want {
		if !slices.Contains(d.addresses, a) {
			if terr := d.stack.AddProtocolAddress(nicID, protocolAddress(a), stack.AddressProperties{}); terr != nil {
				for _, b := range have {
					d.stack.RemoveAddress(nicID, toAddress(b))
				}
				return fmt.Errorf("netstack address %v: %w", a, stackError(terr))
			}
			have = append(have, a)
		}
	}
	d.own.Store(newAddressSet(want))
	for _, a := range d.addresses {
		if !slices.Contains(want, a) {
			if terr := d.stack.RemoveAddress(nicID, toAddress(a)); terr != nil {
				d.log.Warn("address not removed", "address", a, "err", stackError(terr))
			}
		}
	}
	if !slices.Equal(d.addresses, want) {
		d.log.Debug("addresses changed", "addresses", want)
	}
	d.addresses = want
	return nil
}

// Addresses returns the addresses of the host. The slice is the caller's.
func (d *Device) Addresses() []netip.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.addresses)
}

// Close ends the host: connections, listeners and pending calls of its Net end
// with net.ErrClosed, without a word to their peers; Read and Write with
// os.ErrClosed. It returns when the workers of the stack have ended and all
// packet buffers are given back. More calls do nothing and wait likewise.
func (d *Device) Close() error {
	d.closeOnce.Do(func() {
		d.mu.Lock()
		d.closed = true
		close(d.events)
		d.mu.Unlock()

		d.net.shut()
		// Then whoever waits in a ring, with locks of the stack held.
		for _, q := range d.queues {
			q.close()
		}
		d.shutTCPPorts()
		d.portTCP.close()
		d.transitTCP.close()
		d.net.abort()
		d.closing.Lock()
		d.down = true
		d.closing.Unlock()
		d.close()
		if s := d.foreign.Load(); s != nil {
			s.close()
		}
	})
	return nil
}

func protocolAddress(a netip.Addr) tcpip.ProtocolAddress {
	proto := header.IPv4ProtocolNumber
	if a.Is6() {
		proto = header.IPv6ProtocolNumber
	}
	return tcpip.ProtocolAddress{Protocol: proto, AddressWithPrefix: toAddress(a).WithPrefix()}
}
