// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A groSwitch switches GRO off on a socket in use. The kernel tells the segment
// size of a merged message only while UDP_GRO is on (udp_recvmsg in
// net/ipv4/udp.c), also of one that was merged before. So the reader, who is woken
// for that, switches it off when the socket is empty, looks whether it still is, and
// if not switches it on again and tries the next time: nothing is received without
// its boundaries. On a socket that is never empty GRO stays on.
//
// It is to be switched off while c.deadline.waking is true. The option changes with
// c.deadline.mu held.
type groSwitch struct {
	c *Conn
}

// want is called for a socket that is, or will be, read: GRO is to be on or off.
func (g groSwitch) want(on bool) {
	c := g.c
	c.deadline.mu.Lock()
	defer c.deadline.mu.Unlock()
	switch {
	case on:
		_ = g.set(1) // it was on before, or it is closed
		c.wokenLocked()
	case g.isOn():
		c.wakeLocked()
	}
}

// tryOff switches GRO off if that is still wanted and the socket is empty.
func (g groSwitch) tryOff() {
	c := g.c
	c.deadline.mu.Lock()
	defer c.deadline.mu.Unlock()
	if !c.deadline.waking.Load() {
		return
	}
	if g.set(0) == nil && !g.isEmpty() {
		_ = g.set(1)
		return
	}
	c.wokenLocked()
}

func (g groSwitch) set(v int) (err error) {
	ctlErr := g.c.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, v)
	})
	return errors.Join(ctlErr, err)
}

// isOn reports whether UDP_GRO is on.
func (g groSwitch) isOn() (on bool) {
	_ = g.c.raw.Control(func(fd uintptr) {
		v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO)
		on = err == nil && v != 0
	})
	return on
}

// isEmpty reports whether nothing waits in the socket.
func (g groSwitch) isEmpty() (empty bool) {
	_ = g.c.raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		empty = err == nil && n == 0
	})
	return empty
}

// next is recv for r.msgs[:offered], which are prepared, with the switching off
// of GRO in between. From a socket that left its group it takes everything before
// the error.
func (r *reader) next(offered int) (n int, err error) {
	waking := &r.gro.c.deadline.waking
	for {
		for waking.Load() {
			n, err = r.poll(r.msgs[:offered])
			if err == nil {
				return n, nil
			}
			if err != unix.EAGAIN {
				return 0, os.NewSyscallError("recvmmsg", err)
			}
			r.gro.tryOff()
		}
		n, err = r.recv(r.msgs[:offered])
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if waking.Load() {
			continue
		}
		if r.gro.c.leaving.Load() != nil {
			if n, pollErr := r.poll(r.msgs[:offered]); pollErr == nil {
				return n, nil
			}
			if !r.detached {
				r.detached = true
				r.gro.c.detach()
				continue
			}
		}
		return 0, err
	}
}
