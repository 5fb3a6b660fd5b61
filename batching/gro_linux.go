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
// net/ipv4/udp.c), also of one that was merged before. So it is switched off in a
// moment when the socket is empty, by the reader, who is woken for that. What
// arrives between the last look and the switch is thrown away, because nobody
// knows what it is; that is a few microseconds.
//
// It is to be switched off while c.deadline.waking is true.
type groSwitch struct {
	c *Conn
}

// setGRO is called when GRO was switched on, or is to be off.
func (g groSwitch) setGRO(on bool) {
	if on || !g.isOn() {
		g.c.woken()
	} else {
		g.c.wake()
	}
}

// isOn reports whether UDP_GRO is on.
func (g groSwitch) isOn() (on bool) {
	_ = g.c.raw.Control(func(fd uintptr) {
		v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO)
		on = err == nil && v != 0
	})
	return on
}

func (g groSwitch) clear() (err error) {
	ctlErr := g.c.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 0)
	})
	return errors.Join(ctlErr, err)
}

// next is recv for r.msgs[:offered], which are prepared, with the switching off
// of GRO in between. From a socket that left its group it takes everything before
// the error.
func (r *reader) next(offered int, t *tally) (n int, err error) {
	waking := &r.gro.c.deadline.waking
	for {
		if waking.Load() {
			n, err = r.poll(r.msgs[:offered])
			if err == nil {
				return n, nil
			}
			if err != unix.EAGAIN {
				return 0, os.NewSyscallError("recvmmsg", err)
			}
			r.switchOff(offered, t)
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

// switchOff switches GRO off. The socket was empty just now. msgs are used and
// left as they were prepared.
func (r *reader) switchOff(offered int, t *tally) {
	defer r.gro.c.woken()
	if r.gro.clear() != nil {
		return // closed, and the next call will say so
	}
	// Two calls take more than arrives in that time. On a busy socket it would be
	// endless.
	for range 2 {
		n, err := r.poll(r.msgs[:offered])
		if err != nil {
			return
		}
		t[rxSwitch] += uint64(n)
		for i := range n {
			h := &r.msgs[i].Hdr
			h.Namelen = uint32(len(r.names[i]))
			h.SetControllen(len(r.controls[i]))
			h.Flags = 0
		}
	}
}
