// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// An activation is an underlay at work on one place: program, sockets, routes.
type activation struct {
	site
	place   place
	program *redirect.Program
	routes  *nexthop.Table
	memory  *xsk.Memory // of all sockets; nil: each has its own
	lanes   []*lane     // by queue
	attach  redirect.Mode
	sockets string // why there are fewer sockets than queues
}

// activate makes everything ready for the place and attaches the program. No port
// is redirected yet.
func (u *Underlay) activate(p place, h *host) (a *activation, out outcome, err error) {
	a = &activation{place: p, site: site{index: p.index, name: p.name, tag: p.tag()}}
	a.host.Store(h)
	defer func() {
		if err != nil {
			a.close()
			a = nil
		}
	}()
	if err = a.open(u); err != nil {
		return a, out, err
	}
	if a.routes, err = nexthop.Open(p.index, &nexthop.Options{Mark: u.mark.Load()}); err != nil {
		return a, out, err
	}
	a.site.routes = a.routes
	out, err = a.attachProgram(&u.opt)
	return a, out, err
}

// open loads the program and opens a socket for each queue, at least for the first
// one.
func (a *activation) open(u *Underlay) (err error) {
	longest := a.place.mtu + etherRoom
	size := frameSize(longest)
	a.program, err = redirect.Load(&redirect.Options{
		Addresses: addressesOf(a.host.Load()), Queues: MaxQueues, VLAN: a.place.vlan,
		MaxFrame: min(longest, size-kernelRoom),
	})
	if err != nil {
		return err
	}
	return a.openSockets(u, min(a.place.queues, len(u.conns)), size)
}

// openSockets opens the sockets of n queues, as many as can be opened, in one memory.
func (a *activation) openSockets(u *Underlay, n, frameSize int) (err error) {
	o := xsk.Options{Mode: u.opt.Mode, RxFrames: u.opt.RxFrames, TxFrames: u.opt.TxFrames, FrameSize: frameSize}
	if n > 1 {
		a.memory, err = xsk.NewMemory(&xsk.MemoryOptions{Queues: n, RxFrames: o.RxFrames, TxFrames: o.TxFrames, FrameSize: frameSize})
		if err != nil {
			return err
		}
	}
	o.Memory = a.memory
	for o.Queue = 0; o.Queue < n; o.Queue++ {
		s, err := xsk.Open(a.place.device, &o)
		if errors.Is(err, errors.ErrUnsupported) && o.Memory != nil { // before Linux 5.10
			o.Memory = nil
			s, err = xsk.Open(a.place.device, &o)
		}
		if err == nil {
			a.lanes = append(a.lanes, newLane(&a.site, s, u.opt.Segment))
			err = a.program.Register(o.Queue, s.FD())
		}
		if err != nil {
			if o.Queue == 0 {
				return err
			}
			a.sockets = fmt.Sprintf("queue %d: %v", o.Queue, err)
			break
		}
	}
	return nil
}

const (
	// etherRoom is what an Ethernet frame is longer than the IP packet: header and
	// one tag.
	etherRoom = 18
	// kernelRoom is what the kernel keeps for itself in front of a received frame
	// (XDP_PACKET_HEADROOM in include/uapi/linux/bpf.h).
	kernelRoom = 256
)

// frameSize returns the size of a frame of memory for Ethernet frames of up to
// longest bytes. Longer ones than fit go to the kernel.
func frameSize(longest int) int {
	if longest <= 2048-kernelRoom {
		return 2048
	}
	return 4096
}

// attachProgram attaches the program as the options allow.
func (a *activation) attachProgram(o *Options) (out outcome, err error) {
	var errs error
	for _, mode := range []redirect.Mode{redirect.ModeNative, redirect.ModeGeneric} {
		if o.Attach != redirect.ModeAuto && o.Attach != mode {
			continue
		}
		if err := a.mayAttach(o, mode); err != nil {
			out.refusals = append(out.refusals, err.Error())
			errs = errors.Join(errs, err)
			continue
		}
		used, refusals, err := a.program.Attach(a.place.device, mode)
		if err == nil {
			a.attach, out.attach = used, used
			return out, nil
		}
		for _, r := range refusals {
			out.refusals = append(out.refusals, r.Error())
		}
		errs = errors.Join(errs, err)
	}
	return out, errs
}

// mayAttach says why a mode is not to be tried. Packets that the kernel itself merges
// are no reason against generic mode: with a program it merges none (netif_elide_gro
// in include/linux/netdevice.h).
func (a *activation) mayAttach(o *Options, mode redirect.Mode) error {
	if mode == redirect.ModeGeneric && o.Attach == redirect.ModeAuto && a.place.merges {
		return errors.New("generic: not on a virtual device, which hands over packets that are merged")
	}
	return nil
}

// listen redirects the port; 0 is none.
func (a *activation) listen(port uint16) {
	_ = a.program.SetPort(port) // fails for a program that is closed only
}

// answer makes h what the interface answers to.
func (a *activation) answer(h *host) error {
	if err := a.program.SetAddresses(addressesOf(h)); err != nil {
		return err
	}
	a.host.Store(h)
	return nil
}

// leave stops redirecting and lets the Conns read what is there.
func (a *activation) leave(conns []*Conn) {
	for _, c := range conns {
		c.stopSending()
	}
	_ = a.program.Detach() // it may be gone with its interface
	var all sync.WaitGroup
	for _, c := range conns {
		all.Go(c.retire)
	}
	all.Wait()
}

// close gives everything back. Sockets of lanes that a Conn has are closed by that
// already, and again here, which does nothing.
func (a *activation) close() {
	for _, l := range a.lanes {
		_ = l.sock.Close()
	}
	if a.memory != nil {
		_ = a.memory.Close()
	}
	if a.routes != nil {
		_ = a.routes.Close()
	}
	if a.program != nil {
		_ = a.program.Close()
	}
}

func addressesOf(h *host) []netip.Addr {
	out := make([]netip.Addr, 0, len(h.addrs))
	for a := range h.addrs {
		out = append(out, a)
	}
	return out
}
