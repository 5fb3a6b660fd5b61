// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
)

// maxRefusals is how many reads in a row may fail with an error that the kernel
// gives for one packet, which it drops, before the error is taken for one of
// the device.
const maxRefusals = 1024

// A kernelReader reads one queue of a kernel TUN in batches. Like the queue it
// serves it is for one goroutine at a time.
type kernelReader struct {
	// Immutable.
	file   *os.File
	raw    syscall.RawConn
	closed *atomic.Bool          // of the device
	step   func(fd uintptr) bool // r.run, made once: a method value allocates

	// Owned by the reading goroutine.
	drain   drain
	fd      int // valid while step runs
	refused int // reads in a row that failed for their packet; see maxRefusals

	// Arguments and results of the read in progress.
	slab    []byte
	packets []tun.ReadPacket
	n       int
	err     error
}

// newKernelReader returns a reader for the queue behind file, or the reason why
// the wrapped device has to read it.
func newKernelReader(file *os.File, closed *atomic.Bool) (*kernelReader, error) {
	if file == nil {
		return nil, errors.New("queue has no file")
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	// Only a descriptor in the poller takes deadlines.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("queue cannot be polled: %w", err)
	}
	var cause error
	err = raw.Control(func(fd uintptr) {
		_, flags, err := sys.TUNInfo(int(fd))
		switch {
		case err != nil:
			cause = err
		case flags&unix.IFF_VNET_HDR == 0:
			cause = errors.New("device has no virtio header")
		}
	})
	if err := errors.Join(err, cause); err != nil {
		return nil, err
	}
	r := &kernelReader{file: file, raw: raw, closed: closed}
	r.drain = drain{read: r.readOne, carry: make([]byte, carryLen)}
	r.step = r.run
	return r, nil
}

// read waits for a packet and returns it with all that are behind it.
func (r *kernelReader) read(slab []byte, packets []tun.ReadPacket) (int, error) {
	r.slab, r.packets, r.n, r.err = slab, packets, 0, nil
	err := r.raw.Read(r.step)
	n := r.n
	if err == nil {
		err = r.err
	} else if n == 0 {
		err = r.pollError(err)
	}
	r.slab, r.packets, r.err = nil, nil, nil
	return n, err
}

// run is one attempt; the poller calls it again when the descriptor is ready
// after it returned false. The descriptor cannot be closed while it runs.
func (r *kernelReader) run(fd uintptr) bool {
	r.fd = int(fd)
	r.n, r.err = r.drain.fill(r.slab, r.packets)
	if r.n == 0 && r.err == errNothing {
		r.err = nil
		return false
	}
	return true
}

// readOne is the drain's read function.
func (r *kernelReader) readOne(b []byte) (int, error) {
	for {
		if r.closed.Load() {
			return 0, os.ErrClosed
		}
		n, errno := sys.ReadNonblock(r.fd, b)
		switch errno {
		case 0:
			r.refused = 0
			return n, nil
		case unix.EAGAIN:
			return 0, errNothing
		case unix.EBADFD:
			return 0, os.ErrClosed // the interface was deleted
		}
		// EINVAL: the kernel could not describe the packet in a virtio header
		// and dropped it (tun_put_user, drivers/net/tun.c).
		r.drain.tally.refused++
		if r.refused++; errno != unix.EINVAL || r.refused > maxRefusals {
			return 0, fmt.Errorf("read tun queue: %w", errno)
		}
	}
}

// pollError returns what an error of the poller means.
func (r *kernelReader) pollError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case r.closed.Load() || gone(r.file):
		return os.ErrClosed
	}
	return fmt.Errorf("wait for tun queue: %w", err)
}

// gone reports whether file is closed or its interface was deleted. The poller
// says of a deleted interface only that the descriptor cannot be polled.
func gone(file *os.File) bool {
	if file == nil {
		return false
	}
	_, err := deviceName(file)
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno == unix.EBADFD
	}
	return err != nil
}

// deviceName and deviceMTU ask the kernel by descriptor, in whatever network
// namespace the device is now.
func deviceName(file *os.File) (name string, err error) {
	err = control(file, func(fd int) (err error) {
		name, _, err = sys.TUNInfo(fd)
		return err
	})
	return name, err
}

func deviceMTU(file *os.File) (mtu int, err error) {
	err = control(file, func(fd int) (err error) {
		mtu, err = sys.TUNMTU(fd)
		return err
	})
	return mtu, err
}

// control calls f with the descriptor of file, which stays open meanwhile.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}
