// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailscale/wireguard-go/tun"
)

var (
	_ tun.MultiQueueDevice = (*Device)(nil)
	_ tun.GRODevice        = (*Device)(nil)
)

// Defaults of [Options].
const (
	// DefaultQueues is the most queues that a device has if nobody asks for more.
	DefaultQueues = 8
	// DefaultTxQueueLen is twice what a TUN has by itself: 4 ms at 250,000 packets/s,
	// for which a reader may have to wait for a CPU.
	DefaultTxQueueLen = 1000

	defaultMergeRetry = time.Minute
)

// DefaultMTU is the MTU of a new device when none is asked for: what remains of
// 1500 when the outer packet is IPv6 (40 + 8 UDP + 32 WireGuard = 80).
const DefaultMTU = 1420

// Options are the optional settings of a [Device]. A nil *Options and the zero
// value mean the defaults.
type Options struct {
	// Logger gets one line about how the device is read and one for each later
	// change of state. Default: none.
	Logger *slog.Logger

	// Queues is how many kernel queues [Create] asks for, 1 to 256; 0 means the
	// number of CPUs, at most [DefaultQueues]. With 1 the device is one without
	// IFF_MULTI_QUEUE. If the kernel gives fewer, there are fewer.
	Queues int

	// MTU is what [Create] and [FromFiles] set, 68 to 65535; 0 means
	// [DefaultMTU]. [Wrap] does not set it.
	MTU int

	// TxQueueLen is how many packets the kernel keeps for us in each queue; it
	// drops what comes then. 0 means [DefaultTxQueueLen] in [Create], and in
	// [FromFiles] to leave it as it is. [Wrap] does not set it.
	TxQueueLen int

	// Elsewhere tells [FromFiles] that the interface is in another network namespace,
	// where somebody else has configured it: MTU is what it has, nothing is set, and
	// there are no events, not even at the start.
	Elsewhere bool

	// KernelSteering leaves it to the kernel which queue a packet is read from;
	// see the package's documentation.
	KernelSteering bool

	// MergeRetry is how long packets of a protocol are not merged when written,
	// after the kernel refused a merged one. 0 means one minute.
	MergeRetry time.Duration

	// PlainReads leaves reading to the wrapped device: one packet of the kernel
	// per call.
	PlainReads bool
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Queues == 0 {
		c.Queues = min(runtime.NumCPU(), DefaultQueues)
	}
	if c.MergeRetry == 0 {
		c.MergeRetry = defaultMergeRetry
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	return c
}

// A Device is a [tun.Device] around another one: it reads kernel queues in
// batches, counts, and keeps its name and MTU known when the interface moves.
//
// Distinct queues may be read concurrently, one queue by one goroutine at a
// time. All other methods may be called concurrently with them and each other.
type Device struct {
	// Immutable.
	log       *slog.Logger
	inner     tun.Device
	writeTo   func(flow int, bufs [][]byte, offset int) (int, error)
	bytes     bool            // inner.Write returns bytes
	kernel    []*kernelWriter // per queue; nil: inner writes
	merging   *merging
	queues    []*queue
	public    []tun.Queue // the same
	writers   []writeCounters
	requested int
	elsewhere bool // not to be asked for its MTU
	steering  Steering
	unsteered string // why steering is not SteeringDestination
	batchSize int
	events    chan tun.Event

	// closed is set before anything is taken down.
	closed    atomic.Bool
	closeOnce sync.Once
	closeErr  error
	forwarder sync.WaitGroup // the goroutine that forwards events

	name atomic.Pointer[string] // last known
	mtu  atomic.Int64           // last known; 0 = never
	down atomic.Bool            // writes fail because the interface is down
	told [writeDrops]atomic.Bool
}

// Wrap returns a Device around dev and takes ownership of dev: it is closed with
// the Device, and here on an error. Queues that are kernel TUN queues with a
// virtio header are read in batches on Linux; all others by dev itself. dev's
// events go to [Device.Events] and must not be read elsewhere.
func Wrap(dev tun.Device, o *Options) (*Device, error) {
	if dev == nil {
		return nil, errors.New("tunwrap: no device to wrap")
	}
	return wrap(dev, o.withDefaults(), 0, 0)
}

// wrap is Wrap for options with defaults. requested is how many queues were
// asked for, 0 = as many as there are; initial is an event to send first.
func wrap(dev tun.Device, o Options, requested int, initial tun.Event) (*Device, error) {
	inner := tun.QueuesOf(dev)
	if requested == 0 {
		requested = len(inner)
	}
	d := &Device{
		log:       o.Logger,
		inner:     dev,
		writeTo:   tun.WriteToOf(dev),
		bytes:     writesBytes(dev),
		writers:   make([]writeCounters, len(inner)),
		requested: requested,
		elsewhere: o.Elsewhere,
		batchSize: dev.BatchSize(),
		events:    make(chan tun.Event),
		merging:   &merging{retry: o.MergeRetry},
		steering:  SteeringNone,
	}
	if name, err := d.Name(); err == nil {
		d.log = d.log.With("interface", name)
	}
	d.merging.log = d.log
	if o.Elsewhere {
		d.mtu.Store(int64(o.MTU))
	}
	if _, err := d.MTU(); err != nil {
		d.log.Warn("mtu of the tun device is not known", "err", err)
	}
	if d.bytes {
		if err := d.openKernel(inner, &o); err != nil {
			return nil, errors.Join(fmt.Errorf("tunwrap: %w", err), dev.Close())
		}
	}
	batched := 0
	for _, q := range inner {
		w := d.newQueue(q, o.PlainReads)
		d.queues = append(d.queues, w)
		d.public = append(d.public, w)
		if w.kernel != nil {
			batched++
		}
	}
	d.log.Info("tun device open", "queues", len(d.queues), "batched", batched, "mtu", d.mtu.Load(), "steering", string(d.steering))
	if plain := d.queues[0].plain; batched == 0 {
		d.log.Info("tun queues are read one packet at a time", "reason", plain)
	}
	d.forwarder.Go(func() { d.forwardEvents(initial) })
	return d, nil
}

// Queues implements [tun.MultiQueueDevice]. The queues belong to the Device.
func (d *Device) Queues() []tun.Queue { return append([]tun.Queue(nil), d.public...) }

// Read reads the first queue; see [tun.Reader]. It never returns
// [tun.ErrTooManySegments] for a slab of 65,703 bytes or more.
func (d *Device) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	return d.queues[0].Read(slab, packets)
}

// File returns the descriptor of the first queue, nil if it has none. It belongs
// to the Device.
func (d *Device) File() *os.File { return d.inner.File() }

// BatchSize returns the most packets that a call should carry. It never changes.
func (d *Device) BatchSize() int { return d.batchSize }

// Events returns the channel of the device's events, which [Device.Close]
// closes. Events that nobody has taken yet are merged: of up and down only the
// later one is kept.
func (d *Device) Events() <-chan tun.Event { return d.events }

// Name returns the interface's present name, from whatever network namespace
// the device is in, and the last known one when it is closed or deleted.
func (d *Device) Name() (string, error) {
	name, err := "", os.ErrClosed
	if !d.closed.Load() {
		name, err = d.askName()
	}
	if err == nil {
		d.name.Store(&name)
		return name, nil
	}
	if last := d.name.Load(); last != nil {
		return *last, nil
	}
	return "", err
}

func (d *Device) askName() (string, error) {
	if isKernelTUN(d.File()) {
		return deviceName(d.File())
	}
	return d.inner.Name()
}

// MTU returns the interface's MTU. A kernel device that was moved to another
// network namespace is asked there, which needs CAP_SYS_ADMIN; without it, and
// when the device is closed or deleted, the last known value is returned.
func (d *Device) MTU() (int, error) {
	mtu, err := 0, os.ErrClosed
	if !d.closed.Load() {
		mtu, err = d.askMTU()
	}
	if err == nil {
		d.mtu.Store(int64(mtu))
		return mtu, nil
	}
	if last := d.mtu.Load(); last > 0 {
		return int(last), nil
	}
	return 0, err
}

// errElsewhere is why a Device goes by what it was told of its MTU.
var errElsewhere = errors.New("the interface is in another network namespace")

func (d *Device) askMTU() (int, error) {
	if d.elsewhere {
		return 0, errElsewhere
	}
	if isKernelTUN(d.File()) {
		return deviceMTU(d.File())
	}
	return d.inner.MTU()
}

// DisableUDPGRO implements [tun.GRODevice]: UDP packets are no longer merged
// when written. It does nothing for a device that does not merge.
func (d *Device) DisableUDPGRO() {
	d.merging.disable(kindUDP, "switched off")
	if g, ok := d.inner.(tun.GRODevice); ok {
		g.DisableUDPGRO()
	}
}

// DisableTCPGRO is [Device.DisableUDPGRO] for TCP.
func (d *Device) DisableTCPGRO() {
	d.merging.disable(kindTCP, "switched off")
	if g, ok := d.inner.(tun.GRODevice); ok {
		g.DisableTCPGRO()
	}
}

// Stats returns a snapshot of the counters.
func (d *Device) Stats() Stats {
	s := Stats{
		QueuesRequested: d.requested,
		Queues:          make([]QueueStats, len(d.queues)),
		Steering:        d.steering,
		SteeringReason:  d.unsteered,
	}
	if d.kernel == nil {
		s.TCPMerging = MergeState{Off: true, Reason: reasonInner}
		s.UDPMerging = s.TCPMerging
	} else {
		s.TCPMerging, s.UDPMerging = d.merging.state(kindTCP), d.merging.state(kindUDP)
	}
	for i, q := range d.queues {
		s.Queues[i] = QueueStats{
			Batched: q.kernel != nil,
			Plain:   q.plain,
			Read:    q.counters.snapshot(),
			Write:   d.writers[i].snapshot(),
		}
	}
	return s
}

// Close closes the wrapped device, which makes reads and writes return
// [os.ErrClosed], and the event channel; it waits for the Device's goroutine
// and, on kernel queues, for reads in progress. Further calls return the result
// of the first.
func (d *Device) Close() error {
	d.closeOnce.Do(func() {
		d.closed.Store(true)
		// wireguard-go tells its netlink listener in two ways to end, and finds it
		// gone already if it was quick.
		if err := d.inner.Close(); !errors.Is(err, os.ErrClosed) {
			d.closeErr = err
		}
		d.forwarder.Wait()
	})
	return d.closeErr
}
