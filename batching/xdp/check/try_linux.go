// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

// try attaches the program for a moment and opens sockets, as the router would, and
// sets the verdict by what worked. The program redirects nothing.
func try(r *Report, l *linkFacts) {
	p, err := redirect.Load(&redirect.Options{VLAN: l.vlan})
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n") // the verifier has much more to say
		r.stops("program", "", "the kernel does not take the program: %s", text)
		return
	}
	defer func() {
		if err := p.Close(); err != nil {
			r.add(Note, "program", "", "taking the program away again: %v", err)
		}
	}()
	size := frameSize(l.mtu)
	switch tryAttach(r, p, l.device) {
	case redirect.ModeNative:
		zero := tryOpen(r, l.device, xsk.ModeZeroCopy, size)
		if simple := tryOpen(r, l.device, xsk.ModeCopy, size); !zero && !simple {
			r.decide(Kernel, "no socket could be opened")
		} else if zero {
			r.decide(ZeroCopy, "")
		} else {
			r.decide(NativeCopy, "")
		}
	case redirect.ModeGeneric:
		if tryOpen(r, l.device, xsk.ModeCopy, size) {
			r.decide(Generic, "")
		} else {
			r.decide(Kernel, "no socket could be opened")
		}
	}
}

// tryAttach returns the mode in which the router would attach the program, and leaves
// it attached so; ModeAuto: none.
func tryAttach(r *Report, p *redirect.Program, d *deviceFacts) redirect.Mode {
	_, refusals, err := p.Attach(d.index, redirect.ModeNative)
	if err == nil {
		r.add(OK, "native", "", "native mode works")
		return redirect.ModeNative
	}
	native := fmt.Sprintf("native mode is refused (%s)", refusal(refusals, err))
	if text := d.noGeneric(); text != "" {
		r.stops("native", "", "%s, and generic mode is not used: %s", native, text)
		return redirect.ModeAuto
	}
	r.add(Limits, "native", "", "%s", native)
	if _, refusals, err = p.Attach(d.index, redirect.ModeGeneric); err != nil {
		r.stops("generic", "", "%s, and so is generic (%s)", native, refusal(refusals, err))
		return redirect.ModeAuto
	}
	r.add(Limits, "generic", "", "generic mode works, which "+genericCosts)
	return redirect.ModeGeneric
}

// refusal is the kernel's answer to an attachment.
func refusal(refusals []*redirect.Refusal, err error) string {
	text := answer(err)
	if len(refusals) > 0 && refusals[0].Hint() != "" {
		text += ": " + refusals[0].Hint()
	}
	return text
}

// answer is what the kernel said, without the steps that led there.
func answer(err error) string {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

// tryOpen opens a socket on the first queue with the memory that the router would have
// for it.
func tryOpen(r *Report, d *deviceFacts, mode xsk.Mode, size int) bool {
	s, err := xsk.Open(d.index, &xsk.Options{Mode: mode, FrameSize: size})
	if err == nil {
		err = s.Close()
	}
	if err == nil {
		r.add(OK, mode.String(), "", "a socket in %s mode works", mode)
		return true
	}
	if mode == xsk.ModeZeroCopy && errors.Is(err, unix.EOPNOTSUPP) {
		r.add(Note, mode.String(), "", "the driver has no zero-copy")
		return false
	}
	remedy := ""
	switch {
	case errors.Is(err, unix.EBUSY):
		remedy = "another AF_XDP socket has the queue: end its program"
	case errors.Is(err, unix.ENOBUFS):
		remedy = "raise RLIMIT_MEMLOCK, or give CAP_IPC_LOCK"
	}
	r.add(Limits, mode.String(), remedy, "a socket in %s mode is refused: %v", mode, err)
	return false
}
