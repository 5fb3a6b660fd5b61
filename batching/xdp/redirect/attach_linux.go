// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/cilium/ebpf/link"
)

// A Refusal is a mode that did not work, and why. It is an error.
type Refusal struct {
	Mode Mode
	Err  error // unwraps to the kernel's error number
}

// Error says what was refused and, where the error number tells, what to do.
func (r *Refusal) Error() string {
	text := fmt.Sprintf("attach %s: %v", r.Mode, r.Err)
	if hint := r.Hint(); hint != "" {
		text += " (" + hint + ")"
	}
	return text
}

// Hint says what the kernel's error number means here; empty when it is not one that
// is known.
func (r *Refusal) Hint() string { return hintFor(r.Err) }

// Unwrap returns the error of the operating system.
func (r *Refusal) Unwrap() error { return r.Err }

// hintFor explains the error numbers of an attachment (dev_xdp_attach and
// ndo_bpf; read in Linux 6.18). The kernel's own words only go to netlink users.
func hintFor(err error) string {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return "another XDP program is attached"
	case errors.Is(err, syscall.EEXIST):
		return "another XDP program is attached in another mode"
	case errors.Is(err, syscall.EOPNOTSUPP):
		return "the driver has no XDP, or not with these features"
	case errors.Is(err, syscall.ERANGE):
		return "the MTU of the device or of its peer is too large"
	case errors.Is(err, syscall.ENOSPC):
		return "too few receive queues for the peer's send queues"
	case errors.Is(err, syscall.EPERM):
		return "needs CAP_BPF and CAP_NET_ADMIN"
	case errors.Is(err, syscall.ENODEV):
		return "no such interface in this network namespace"
	}
	return ""
}

// Attach attaches the program to an interface of the caller's network namespace and
// says in which mode. With [ModeAuto] a refused native mode is followed by generic;
// refusals has what failed and why, also when Attach succeeds. The error joins all
// refusals.
//
// A program that was attached and is not any more ([Program.Attached]) can be
// attached again, also to another interface: addresses, sockets and counters stay.
func (p *Program) Attach(ifindex int, mode Mode) (used Mode, refusals []*Refusal, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, nil, os.ErrClosed
	}
	if p.attachedLocked() {
		return 0, nil, ErrAttached
	}
	if err := p.detachLocked(); err != nil { // the link that does nothing any more
		return 0, nil, err
	}
	modes := []Mode{mode}
	if mode == ModeAuto {
		modes = []Mode{ModeNative, ModeGeneric}
	}
	for _, m := range modes {
		flags := link.XDPDriverMode
		if m == ModeGeneric {
			flags = link.XDPGenericMode
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: p.prog, Interface: ifindex, Flags: flags})
		if err == nil {
			p.link, p.ifindex = l, ifindex
			return m, refusals, nil
		}
		refusals = append(refusals, &Refusal{m, err})
	}
	errs := make([]error, len(refusals))
	for i, r := range refusals {
		errs[i] = r
	}
	return 0, refusals, errors.Join(errs...)
}

// Attached reports whether this program is the one that the interface runs. It asks
// the kernel: the link may have been detached or given another program, and the
// interface may be gone.
func (p *Program) Attached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attachedLocked()
}

func (p *Program) attachedLocked() bool {
	if p.link == nil {
		return false
	}
	info, err := p.link.Info()
	if err != nil || info.Program != p.id {
		return false
	}
	// The kernel says 0 for a link whose interface is gone and for one that was
	// detached (bpf_xdp_link_fill_link_info).
	xdp := info.XDP()
	return xdp != nil && int(xdp.Ifindex) == p.ifindex
}

// Detach takes the program off the interface. It may be called when it is not
// attached.
func (p *Program) Detach() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.detachLocked()
}

func (p *Program) detachLocked() error {
	if p.link == nil {
		return nil
	}
	err := p.link.Close()
	p.link = nil
	if err != nil {
		return fmt.Errorf("redirect: detach: %w", err)
	}
	return nil
}
