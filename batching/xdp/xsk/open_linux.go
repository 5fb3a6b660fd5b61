// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// The kernel gives a queue free some time after the last socket of it was closed
// (xp_release_deferred in net/xdp/xsk_buff_pool.c): binding is tried for a second.
const (
	bindTries = 40
	bindPause = 25 * time.Millisecond
)

const (
	addrSize = 8
	descSize = 16 // struct xdp_desc
)

// NewMemory maps memory for the sockets of several queues.
func NewMemory(o *MemoryOptions) (*Memory, error) {
	opt, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(-1, 0, opt.size(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("xsk: map %d bytes: %w", opt.size(), err)
	}
	return newMemory(data, opt, func(b []byte) error { return os.NewSyscallError("munmap", unix.Munmap(b)) }), nil
}

// Open makes a socket bound to a queue of the interface with the given index, in
// the network namespace of the calling thread. Every error names the step that
// failed; that a queue has a socket already is EBUSY, that a driver cannot do
// zero-copy is EOPNOTSUPP, that a kernel cannot share a Memory
// [errors.ErrUnsupported].
func Open(ifindex int, o *Options) (*Socket, error) {
	opt, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := opt.Memory
	if m == nil {
		m, err = NewMemory(&MemoryOptions{RxFrames: opt.RxFrames, TxFrames: opt.TxFrames, FrameSize: opt.FrameSize})
		if err != nil {
			return nil, err
		}
		defer m.Close() // the socket and its frames hold it
	}
	m.opening.Lock()
	defer m.opening.Unlock()
	p, err := m.take(ifindex, opt.Queue)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("xsk: open AF_XDP socket: %w", err), p.letGo(1))
	}
	s := &Socket{fd: fd, opt: opt, part: p}
	s.file = os.NewFile(uintptr(fd), "xsk") // owns fd from here on
	if err := s.setUp(ifindex); err != nil {
		return nil, errors.Join(fmt.Errorf("xsk: interface %d, queue %d: %w", ifindex, opt.Queue, err), s.Close())
	}
	return s, nil
}

// setUp registers memory, makes rings, fills, and binds. What it leaves is what
// Close undoes.
func (s *Socket) setUp(ifindex int) (err error) {
	s.rx.count, s.tx.count = &s.count, &s.count
	s.rx.pool, s.tx.pool = s.part.newPools()
	s.readable, s.writable, s.polled = s.isReadable, s.isWritable, s.isPolled
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return err
	}
	// NewFile does not say whether the poller took the descriptor; deadlines do.
	if err := s.file.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("add to poller: %w", err)
	}
	if s.part.mem.lead() == nil { // before the rings, as Linux 5.9 and older want it
		if err := s.register(); err != nil {
			return err
		}
	}
	if err := s.mapRings(); err != nil {
		return err
	}
	s.rx.fillAll() // a driver that starts with an empty ring may stop at once
	// In copy mode each packet on its way counts against the send buffer. The
	// kernel doubles the value. Without CAP_NET_ADMIN the limit is wmem_max.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, s.opt.TxFrames*s.opt.FrameSize) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, s.opt.TxFrames*s.opt.FrameSize)
	}
	if err := s.bind(ifindex); err != nil {
		return fmt.Errorf("bind (%v): %w", s.opt.Mode, err)
	}
	s.part.mem.join(s, s.part, ifindex)
	flags, err := sys.XDPOptions(s.fd)
	if err != nil {
		return fmt.Errorf("ask for mode: %w", err)
	}
	s.zeroCopy = flags&unix.XDP_OPTIONS_ZEROCOPY != 0
	return nil
}

// register makes the memory that of the socket (XDP_UMEM_REG).
func (s *Socket) register() error {
	m := s.part.mem
	if err := sys.XDPRegisterUMEM(s.fd, m.data, uint32(m.opt.FrameSize), 0); err != nil {
		return fmt.Errorf("register %d bytes in frames of %d: %w", len(m.data), m.opt.FrameSize, err)
	}
	s.registered = true
	return nil
}

func (s *Socket) bind(ifindex int) (err error) {
	for range bindTries {
		if err = s.tryBind(ifindex); err != unix.EBUSY {
			return err
		}
		time.Sleep(bindPause)
	}
	return err
}

// tryBind binds with the memory registered by the socket itself or by another one.
// The kernel counts the sockets that share a UMEM (xdp_get_umem in xsk_bind,
// net/xdp/xsk.c), so that any of them that is bound may stand for it, whether or not
// the one that registered it is still there. When none is, it is registered anew.
func (s *Socket) tryBind(ifindex int) error {
	addr := unix.SockaddrXDP{Ifindex: uint32(ifindex), QueueID: uint32(s.opt.Queue)}
	lead := s.part.mem.lead()
	if lead == nil || s.registered {
		if !s.registered { // the last of the others closed meanwhile
			if err := s.register(); err != nil {
				return err
			}
		}
		addr.Flags = unix.XDP_USE_NEED_WAKEUP
		switch s.opt.Mode {
		case ModeZeroCopy:
			addr.Flags |= unix.XDP_ZEROCOPY
		case ModeCopy:
			addr.Flags |= unix.XDP_COPY
		}
		return unix.Bind(s.fd, &addr)
	}
	if !s.opt.Mode.allows(lead.zeroCopy) {
		return fmt.Errorf("the memory is in the other mode: %w", unix.EOPNOTSUPP)
	}
	// Mode and need-wakeup are inherited; the kernel refuses other flags.
	addr.Flags = unix.XDP_SHARED_UMEM
	bindErr := error(unix.EBUSY) // when lead is being closed
	// The descriptor is not closed, nor another one, while Control runs.
	_ = lead.raw.Control(func(fd uintptr) {
		addr.SharedUmemFD = uint32(fd)
		bindErr = unix.Bind(s.fd, &addr)
	})
	return bindErr
}

// mapRings sets the sizes of the rings and maps them.
func (s *Socket) mapRings() error {
	rx, tx := ringSize(s.opt.RxFrames), ringSize(s.opt.TxFrames)
	for _, r := range []struct {
		option int
		size   uint32
	}{{unix.XDP_UMEM_FILL_RING, rx}, {unix.XDP_RX_RING, rx}, {unix.XDP_UMEM_COMPLETION_RING, tx}, {unix.XDP_TX_RING, tx}} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.option, int(r.size)); err != nil {
			return fmt.Errorf("make ring %d of %d entries: %w", r.option, r.size, s.sharingError(err))
		}
	}
	off, err := sys.XDPMmapOffsets(s.fd)
	if err != nil {
		return fmt.Errorf("ask for the layout of the rings: %w", err)
	}
	if s.rx.fill, err = mapRing[addrRing](s, unix.XDP_UMEM_PGOFF_FILL_RING, off.Fr, rx, addrSize, addrView); err != nil {
		return err
	}
	if s.tx.done, err = mapRing[addrRing](s, unix.XDP_UMEM_PGOFF_COMPLETION_RING, off.Cr, tx, addrSize, addrView); err != nil {
		return err
	}
	if s.rx.rx, err = mapRing[descRing](s, unix.XDP_PGOFF_RX_RING, off.Rx, rx, descSize, descView); err != nil {
		return err
	}
	s.tx.tx, err = mapRing[descRing](s, unix.XDP_PGOFF_TX_RING, off.Tx, tx, descSize, descView)
	return err
}

// sharingError explains what Linux 5.9 and older say of rings without a UMEM of the
// socket's own.
func (s *Socket) sharingError(err error) error {
	if err == unix.EINVAL && !s.registered {
		return fmt.Errorf("this kernel shares no memory between queues: %w", errors.ErrUnsupported)
	}
	return err
}

func addrView(r ring, m []byte, off uint64) addrRing {
	return addrRing{r, sys.SharedSlice[uint64](m, off, int(r.mask)+1)}
}

func descView(r ring, m []byte, off uint64) descRing {
	return descRing{r, sys.SharedSlice[desc](m, off, int(r.mask)+1)}
}

// mapRing maps the ring at pgoff, whose entries are of the given bytes.
func mapRing[R any](s *Socket, pgoff int64, off unix.XDPRingOffset, size uint32, entry uint64, view func(ring, []byte, uint64) R) (R, error) {
	var zero R
	m, err := unix.Mmap(s.fd, pgoff, int(off.Desc+uint64(size)*entry), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return zero, fmt.Errorf("map ring %#x of %d entries: %w", pgoff, size, err)
	}
	s.maps = append(s.maps, m)
	return view(ring{
		producer: sys.SharedUint32(m, off.Producer),
		consumer: sys.SharedUint32(m, off.Consumer),
		flags:    sys.SharedUint32(m, off.Flags),
		mask:     size - 1,
	}, m, off.Desc), nil
}
