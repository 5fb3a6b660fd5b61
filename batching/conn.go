// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
)

// A Conn is one UDP socket of one address family. All methods are safe for
// concurrent use.
type Conn struct {
	// immutable after Listen
	network  string
	udp      *net.UDPConn
	raw      syscall.RawConn
	local    netip.AddrPort
	log      *slog.Logger
	gsoRetry time.Duration
	now      func() time.Time
	any      bool // Options.AnyProtocol
	batched  bool
	plain    plain  // used when batched is false
	engine   engine // used when it is true

	settings sync.Mutex // held by whoever changes the options; guards opts
	opts     Options
	features atomic.Pointer[features]
	queue    atomic.Pointer[coalescer] // nil until packets may be held back

	reading  sync.Mutex // held by the ReadBatch whose turn it is, also while it waits; Close takes it once nobody can wait
	deadline readDeadline
	// leaving is not nil when it is out of its group: what is left is read, then
	// comes io.EOF. Close calls it.
	leaving atomic.Pointer[func()]

	close  sync.Once
	closed atomic.Bool
	rx, tx counters
}

// features says what a socket can do, and why not. Immutable.
type features struct {
	batched, gso, gro bool
	sentinel          bool // segmented messages need one, if packets are equally long
	reasons           []string
}

// Listen opens a socket. network is "udp4" or "udp6"; a udp6 socket never
// carries IPv4. An invalid address stands for all addresses of the host, port 0
// for a free one. o may be nil. The features that the kernel does not have are
// logged, and listed by [Conn.Capabilities].
//
// The error unwraps to the kernel's error number: EADDRINUSE, EAFNOSUPPORT for a
// host without the family, EPERM (in a [*MarkError]) for a mark without
// CAP_NET_ADMIN.
func Listen(network string, addr netip.AddrPort, o *Options) (*Conn, error) {
	return listen(network, addr, o.withDefaults(), false)
}

// listen opens a socket, as one that shares its port if sharing.
func listen(network string, addr netip.AddrPort, opts Options, sharing bool) (*Conn, error) {
	addr, err := localAddr(network, addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{network: network, log: opts.Logger, gsoRetry: opts.GSORetry, now: time.Now, any: opts.AnyProtocol, opts: opts}
	var f features
	// Everything is set before the socket is bound: no datagram arrives at one
	// that is half set up.
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		ctlErr := raw.Control(func(fd uintptr) {
			if sharing {
				err = setSharing(int(fd), true)
			}
			if err == nil {
				f, err = configure(int(fd), network, &opts)
			}
		})
		return cmp.Or(ctlErr, err)
	}}
	pc, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		if op := (*net.OpError)(nil); errors.As(err, &op) {
			err = op.Err // the rest of its text is said here
		}
		return nil, fmt.Errorf("listen %s %s: %w", network, addr, err)
	}
	if err := c.start(pc.(*net.UDPConn), &f, sharing); err != nil {
		return nil, fmt.Errorf("listen %s %s: %w", network, addr, err)
	}
	return c, nil
}

// start makes c, which has its options, a Conn on udp, which is configured. udp is
// closed when it fails. further is one like others that are open.
func (c *Conn) start(udp *net.UDPConn, f *features, further bool) (err error) {
	c.udp = udp
	if c.raw, err = udp.SyscallConn(); err != nil {
		_ = udp.Close() // nothing was done with it
		return err
	}
	local := udp.LocalAddr().(*net.UDPAddr).AddrPort()
	c.local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	if c.batched = f.batched; c.batched {
		if err := c.engine.init(c); err != nil {
			_ = udp.Close()
			return err
		}
	}
	c.adopt(f)
	if further {
		c.log.Debug("further udp socket open", "network", c.network, "addr", c.local, "gso", f.gso, "gro", f.gro)
		return nil
	}
	c.log.Info("udp socket open", "network", c.network, "addr", c.local, "gso", f.gso, "gro", f.gro)
	for _, reason := range f.reasons {
		c.log.Info("udp socket feature missing", "network", c.network, "reason", reason)
	}
	return nil
}

// ReadBatch receives packets into slab and describes them in pkts. It waits for
// the first one, takes what else is there, and returns how many of pkts it
// filled: at least one, unless it returns an error. Packets are in order of
// arrival; their offsets need not be.
//
// slab is the caller's. ReadBatch may write to all of it, during the call only.
// Any length works; packets larger than the slab are dropped. wireguard-go's
// slab of 131,070 bytes receives 64 packets of a 1,500-byte path or two merged
// messages of 64 KiB without a copy. pkts is the caller's too; [MaxBatch] is a
// good length.
//
// The error is [net.ErrClosed] after [Conn.Close], [io.ErrShortBuffer] when slab
// or pkts is empty, [os.ErrDeadlineExceeded] after the time of
// [Conn.SetReadDeadline], [io.EOF] when the Conn has left its [Group] and is
// empty, else one of the operating system that says that the socket is of no more
// use or, like ENOMEM, may be of use later.
func (c *Conn) ReadBatch(slab []byte, pkts []Packet) (n int, err error) {
	if len(slab) == 0 || len(pkts) == 0 {
		return 0, io.ErrShortBuffer
	}
	// Held while waiting: whoever waits for the lock waits for packets anyway,
	// and Close wakes the one that waits in the kernel.
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	var t tally
	if c.batched {
		n, err = c.engine.read(c, slab, pkts, &t)
	} else {
		n, err = c.plain.read(c, slab, pkts, &t)
	}
	c.rx.add(&t)
	if err != nil {
		if c.closed.Load() {
			return 0, net.ErrClosed
		}
		if c.leaving.Load() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, io.EOF
		}
		return 0, fmt.Errorf("receive %s %s: %w", c.network, c.local, err)
	}
	return n, nil
}

// WriteBatch sends the packets bufs[i][offset:] to dst, in order. With a VNI each
// gets a Geneve header in front, with the protocol number of WireGuard, written
// into bufs[i][offset-8:offset]; a caller that needs another header writes it
// itself and passes none.
//
// The packets are the caller's. WriteBatch may overwrite bufs[i][:offset], keeps
// nothing, and is done with them when it returns. An empty packet is sent as an
// empty datagram.
//
// n is the number of packets that the kernel took. When it is less than
// len(bufs), err says why: [net.ErrClosed] after [Conn.Close], else a
// [*SendError]. Packets are not tried after one that failed, so that bufs[n:] can
// be sent again, for instance without the local address that was refused
// (EINVAL, EADDRNOTAVAIL, ENETUNREACH). The exception is EMSGSIZE, which is about
// one packet: the others are sent, n does not count it, and there is nothing to
// send again.
func (c *Conn) WriteBatch(bufs [][]byte, offset int, dst *Destination, vni geneve.VNI) (n int, err error) {
	from, err := c.check(bufs, offset, dst, vni)
	if err != nil {
		return 0, &SendError{Op: "check", Remote: dst.remote, Err: err}
	}
	var (
		t   tally
		bad txResult
	)
	if c.batched {
		n, bad = c.engine.write(c, bufs, from, dst, &t)
	} else {
		n, bad = c.plain.write(c, bufs, from, dst, &t)
	}
	c.tx.add(&t)
	if bad.err == nil {
		return n, nil
	}
	if c.closed.Load() {
		return n, net.ErrClosed
	}
	return n, &SendError{Op: bad.op, Remote: dst.remote, Err: bad.err}
}

// txResult is why not all packets were sent; err is nil when they were.
type txResult struct {
	op  string
	err error
}

// check refuses what WriteBatch cannot do, writes the Geneve headers, and returns
// where packets begin, headers included.
func (c *Conn) check(bufs [][]byte, offset int, dst *Destination, vni geneve.VNI) (from int, err error) {
	if c.is6() != dst.remote.Addr().Is6() || !dst.remote.IsValid() {
		return 0, syscall.EAFNOSUPPORT
	}
	if offset < 0 {
		return 0, ErrOffset
	}
	for _, buf := range bufs {
		if len(buf) < offset {
			return 0, ErrOffset
		}
	}
	if !vni.IsSet() {
		return offset, nil
	}
	from = offset - geneve.HeaderLen
	if from < 0 {
		return 0, ErrHeadroom
	}
	h := geneve.Header{VNI: vni, Protocol: geneve.ProtocolWireGuard}
	for _, buf := range bufs {
		if _, err := h.Put(buf[from:]); err != nil {
			return 0, err
		}
	}
	return from, nil
}

func (c *Conn) is6() bool { return c.network == "udp6" }

// LocalAddr returns the address the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Capabilities reports whether segmented messages are sent (GSO) and received
// (GRO), and for everything the socket does without, the reason.
func (c *Conn) Capabilities() (gso, gro bool, reasons []string) {
	f := c.features.Load()
	return f.gso, f.gro, slices.Clone(f.reasons)
}

// Stats returns a snapshot of the counters. It takes no lock that receiving or
// sending takes.
func (c *Conn) Stats() Stats {
	s := Stats{Rx: c.rx.rxStats(), Tx: c.tx.txStats(), Memory: c.memory()}
	s.Rx.Overflow = s.overflow()
	if q := c.queue.Load(); q != nil {
		s.Queue = q.stats()
	}
	return s
}

// Queue sends as [Conn.WriteBatch] does, but may hold packets back for
// Options.FlushTimeout, so that packets of several calls to one destination leave
// as one message. Packets that are held back are copied. Nothing is held back by
// default, and Queue is WriteBatch then.
//
// n counts the packets that were sent or are held back. Those that are held back
// and fail later are counted in Stats().Queue.Lost; that error is returned by the
// call that sends them, with n = len(bufs), or, when nobody was calling, by the
// next one for the same destination. Packets of Queue to one remote address keep
// their order; WriteBatch passes those held back.
func (c *Conn) Queue(bufs [][]byte, offset int, dst *Destination, vni geneve.VNI) (n int, err error) {
	if q := c.queue.Load(); q != nil {
		return q.queue(bufs, offset, dst, vni)
	}
	return c.WriteBatch(bufs, offset, dst, vni)
}

// Close sends what [Conn.Queue] holds back and closes the socket. Reads that wait
// and everything called later return [net.ErrClosed]; it returns once no call uses
// the socket any more. Closing again does nothing.
func (c *Conn) Close() error {
	var err error
	c.close.Do(func() {
		c.settings.Lock() // no Queue is made behind our back
		if q := c.queue.Load(); q != nil {
			_ = q.close() // what is lost is counted
		}
		c.closed.Store(true)
		c.settings.Unlock()
		err = c.udp.Close()
		if left := c.leaving.Load(); left != nil {
			(*left)()
		}
		if c.batched {
			// Nobody waits in the kernel any more: the lock is free soon, and
			// whoever gets it next sees that the Conn is closed.
			c.reading.Lock()
			defer c.reading.Unlock()
			err = errors.Join(err, c.engine.close())
		}
	})
	if err != nil {
		return fmt.Errorf("close %s %s: %w", c.network, c.local, err)
	}
	return nil
}
