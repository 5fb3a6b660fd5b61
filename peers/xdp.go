// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import "github.com/tunrouter/tunrouter/batching/xdp"

// SetUnderlay makes u carry the datagrams of the port past the kernel's sockets,
// beside them, in place of the underlay before; nil is none. What peers are sent goes
// through u at once, what they send arrives through it after the next Open; until then, and where u takes nothing, through the
// kernel's sockets. While the Bind is closed, it says what the next Open uses.
//
// With reopen, u has no receive functions yet: the caller must make the device close
// and open the Bind, as after [Bind.Reconfigure]. Sockets and port stay, and nothing
// is lost. The receive functions of the underlay before read what it has received,
// and end; SetUnderlay waits for that for 0.2 seconds at most.
//
// The error is of the kernel's sockets, see Reconfigure; u is in use all the same.
//
// The Bind never closes an underlay. Its owner does, after SetUnderlay has put
// another one or none in its place, or after the last [Bind.Close]. When it is closed
// before, the kernel's sockets do everything.
func (b *Bind) SetUnderlay(u *xdp.Underlay) (reopen bool, err error) {
	return b.setUnderlay(underlayOf(u))
}

// underlayOf returns u as an underlay, nil for nil.
func underlayOf(u *xdp.Underlay) underlay {
	if u == nil {
		return nil
	}
	return xdpUnderlay{u}
}

// An xdpUnderlay is an [*xdp.Underlay] as an underlay.
type xdpUnderlay struct{ *xdp.Underlay }

func (u xdpUnderlay) Members() []socket {
	conns := u.Conns()
	out := make([]socket, len(conns))
	for i, c := range conns {
		out[i] = c
	}
	return out
}

func (u xdpUnderlay) Beside(v4, v6 []socket) { u.Underlay.Beside(kernelOf(v4), kernelOf(v6)) }

func kernelOf(sockets []socket) []xdp.Kernel {
	out := make([]xdp.Kernel, len(sockets))
	for i, s := range sockets {
		out[i] = s
	}
	return out
}
