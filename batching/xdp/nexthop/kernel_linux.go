// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernelPort is the netlink port of the kernel (netlink(7)).
const kernelPort = 0

// drainTime is how long the socket must be silent, after it dropped messages, to
// count as empty, and the pause after an error.
const drainTime = 10 * time.Millisecond

// messageSource is the part of nl.NetlinkSocket that listen needs.
type messageSource interface {
	Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error)
	SetReceiveTimeout(*unix.Timeval) error
}

// listen forgets what the kernel's messages make wrong, until the table closes.
//
// A socket that is full drops messages, which may have been about anything. The
// kernel says so once (ENOBUFS), and drops more in silence until the socket has
// been read empty (net/netlink/af_netlink.c, netlink_overrun). So everything is
// forgotten at the error, at each message until the socket is empty, and then.
func (t *Table) listen(events messageSource) {
	all := func(*entry) bool { return true }
	lossy := false
	for {
		messages, from, err := events.Receive()
		select {
		case <-t.done:
			return
		default:
		}
		switch {
		case err != nil && lossy && errors.Is(err, unix.EAGAIN):
			lossy = false
			_ = events.SetReceiveTimeout(&unix.Timeval{}) // only stores it
			t.forget(all)
		case err != nil:
			lossy = true
			limit := unix.NsecToTimeval(drainTime.Nanoseconds())
			_ = events.SetReceiveTimeout(&limit)
			t.forget(all)
			select { // an error that stays must not spin
			case <-t.done:
				return
			case <-time.After(drainTime):
			}
		case lossy:
			t.forget(all)
		case from.Pid == kernelPort:
			for i := range messages {
				t.message(&messages[i])
			}
		}
	}
}

// message handles one message of the kernel.
func (t *Table) message(m *syscall.NetlinkMessage) {
	if m.Header.Type != unix.RTM_NEWNEIGH && m.Header.Type != unix.RTM_DELNEIGH {
		t.forget(func(*entry) bool { return true })
		return
	}
	n, err := netlink.NeighDeserialize(m.Data)
	if err != nil {
		t.forget(func(*entry) bool { return true })
		return
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	if n.LinkIndex != t.ifIndex || !ok {
		return
	}
	ip = ip.Unmap()
	mac, resolved := [6]byte{}, false
	if m.Header.Type == unix.RTM_NEWNEIGH {
		mac, resolved = usable(n)
	}
	t.forget(func(e *entry) bool {
		same := resolved && e.reason == OK && e.hop.Target == mac
		return e.hop.Gateway == ip && !same
	})
}

// usable returns the Ethernet address of a neighbour, and whether the kernel
// would send to it now.
func usable(n *netlink.Neigh) ([6]byte, bool) {
	const states = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
	if n.State&states == 0 || len(n.HardwareAddr) != 6 {
		return [6]byte{}, false
	}
	return [6]byte(n.HardwareAddr), true
}

// forget drops the answers for which wrong returns true, and those that are on
// their way.
func (t *Table) forget(wrong func(*entry) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes++
	old := *t.entries.Load()
	for _, e := range old {
		if wrong(e) {
			left := maps.Clone(old)
			maps.DeleteFunc(left, func(_ key, e *entry) bool { return wrong(e) })
			t.entries.Store(&left)
			return
		}
	}
}

// keep stores the answer e to k, unless something changed since the question.
func (t *Table) keep(k key, e *entry, asked uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes != asked || t.closed {
		return
	}
	left := maps.Clone(*t.entries.Load())
	if _, known := left[k]; !known && len(left) >= t.options.Entries {
		for victim := range left { // any: the order of a map is random
			delete(left, victim)
			break
		}
	}
	left[k] = e
	t.entries.Store(&left)
}

// now returns how many changes there were.
func (t *Table) now() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes
}

// resolve asks the kernel for the next hop.
func (t *Table) resolve(k key) *entry {
	link, err := t.handle.LinkByIndex(t.ifIndex)
	if err != nil {
		return &entry{reason: NotPlain}
	}
	attrs := link.Attrs()
	if attrs.Flags&net.FlagUp == 0 || len(attrs.HardwareAddr) != 6 || attrs.EncapType != "ether" {
		return &entry{reason: NotPlain}
	}
	var o netlink.RouteGetOptions
	if k.src.IsValid() {
		o.SrcAddr = k.src.AsSlice()
	}
	if k.dst.IsLinkLocalUnicast() && k.dst.Is6() {
		o.OifIndex = t.ifIndex
	}
	routes, err := t.handle.RouteGetWithOptions(k.dst.AsSlice(), &o)
	if err != nil || len(routes) != 1 {
		return &entry{reason: Unreachable}
	}
	r := &routes[0]
	switch {
	case r.Type == unix.RTN_BROADCAST || r.Type == unix.RTN_MULTICAST:
		return &entry{reason: NotUnicast}
	case r.LinkIndex != t.ifIndex || r.Type == unix.RTN_LOCAL:
		return &entry{reason: OtherInterface}
	case r.Type != unix.RTN_UNICAST:
		return &entry{reason: Unreachable}
	case r.Encap != nil || r.NewDst != nil || len(r.MultiPath) != 0:
		return &entry{reason: NotPlain}
	}
	hop := Hop{Source: [6]byte(attrs.HardwareAddr), Gateway: k.dst, Src: k.src, MTU: attrs.MTU}
	if r.MTU > 0 {
		hop.MTU = min(hop.MTU, r.MTU)
	}
	if gw, ok := gateway(r); ok {
		hop.Gateway = gw
	}
	if src, ok := netip.AddrFromSlice(r.Src); ok && !hop.Src.IsValid() {
		hop.Src = src.Unmap()
	}
	return t.neighbour(hop)
}

// gateway returns the gateway of a route, of any family; ok is false when the
// destination is on the link.
func gateway(r *netlink.Route) (gw netip.Addr, ok bool) {
	ip := r.Gw
	if via, is := r.Via.(*netlink.Via); is {
		ip = via.Addr
	}
	gw, ok = netip.AddrFromSlice(ip)
	return gw.Unmap(), ok
}

// neighbour fills in the target of hop.
func (t *Table) neighbour(hop Hop) *entry {
	family := uint8(unix.AF_INET)
	if hop.Gateway.Is6() {
		family = unix.AF_INET6
	}
	list, err := t.handle.NeighListExecute(netlink.Ndmsg{Family: family, Index: uint32(t.ifIndex)})
	if err == nil {
		i := slices.IndexFunc(list, func(n netlink.Neigh) bool {
			ip, ok := netip.AddrFromSlice(n.IP)
			return ok && ip.Unmap() == hop.Gateway
		})
		if i >= 0 {
			if mac, ok := usable(&list[i]); ok {
				hop.Target = mac
				return &entry{hop: hop, reason: OK}
			}
		}
	}
	// The gateway stays, for the message that tells of it.
	return &entry{hop: Hop{Gateway: hop.Gateway}, reason: Unresolved}
}
