// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A place is where an underlay can be, as the kernel describes it now. When it
// differs from what it was, the underlay starts anew.
type place struct {
	index   int    // of the interface with the addresses
	name    string // likewise
	device  int    // of the interface with the queues: another one under a VLAN
	vlan    uint16
	tagType uint16
	mtu     int
	queues  int
	// merges: packets may arrive merged, which generic mode cannot tell.
	merges bool
}

// tag returns the VLAN tag of frames to be sent.
func (p *place) tag() frame.Tag {
	if p.vlan == 0 {
		return frame.Tag{}
	}
	return frame.Tag{Type: p.tagType, TCI: p.vlan}
}

// A kernelView asks the kernel about interfaces of the network namespace that it
// was made in.
type kernelView struct {
	handle *netlink.Handle
	ioctl  int // a socket
}

func newKernelView() (*kernelView, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("xdp: netlink: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("xdp: socket for ethtool: %w", err)
	}
	return &kernelView{h, fd}, nil
}

func (k *kernelView) close() {
	k.handle.Close()
	_ = unix.Close(k.ioctl) // nothing is written to it
}

// defaultInterface returns the index of the interface that the default route leads
// to, for packets with the mark.
func (k *kernelView) defaultInterface(mark uint32) (int, error) {
	o := &netlink.RouteGetOptions{Mark: mark}
	for _, target := range []string{"1.1.1.1", "2606:4700:4700::1111"} { // public ones; nothing is sent there
		to := netip.MustParseAddr(target)
		routes, err := k.handle.RouteGetWithOptions(to.AsSlice(), o)
		if err == nil && len(routes) == 1 && routes[0].LinkIndex > 0 && routes[0].Type == unix.RTN_UNICAST {
			return routes[0].LinkIndex, nil
		}
	}
	return 0, errors.New("no default route")
}

// find returns the place that the options mean, and what it answers to. The error
// is the reason why there is none, for people.
func (k *kernelView) find(o *Options, mark uint32) (place, *host, error) {
	link, err := k.link(o, mark)
	if err != nil {
		return place{}, nil, err
	}
	attrs := link.Attrs()
	p := place{index: attrs.Index, name: attrs.Name, device: attrs.Index, mtu: attrs.MTU}
	switch {
	case attrs.EncapType != "ether" || len(attrs.HardwareAddr) != 6:
		return p, nil, fmt.Errorf("%s is no Ethernet interface", attrs.Name)
	case attrs.Flags&net.FlagUp == 0:
		return p, nil, fmt.Errorf("%s is down", attrs.Name)
	}
	device := link
	switch link.Type() {
	case "bond", "team":
		// The program is run by the ports, whose queues are not those that the
		// sockets are bound to: everything redirected would be lost.
		return p, nil, fmt.Errorf("%s is a %s: AF_XDP sockets get nothing there", attrs.Name, link.Type())
	}
	if vlan, ok := link.(*netlink.Vlan); ok {
		p.vlan, p.tagType, p.device = uint16(vlan.VlanId), frame.TypeCTag, attrs.ParentIndex
		if vlan.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD {
			p.tagType = frame.TypeSTag
		}
		if device, err = k.handle.LinkByIndex(p.device); err != nil {
			return p, nil, fmt.Errorf("the interface under %s is not in this network namespace", attrs.Name)
		}
		switch device.Type() {
		case "vlan":
			return p, nil, fmt.Errorf("%s is a VLAN in a VLAN; one tag at most", attrs.Name)
		case "bond", "team":
			return p, nil, fmt.Errorf("%s is on a %s: AF_XDP sockets get nothing there", attrs.Name, device.Type())
		}
	}
	if o.vlan != 0 {
		p.vlan, p.tagType = o.vlan, frame.TypeCTag
	}
	// Only a device that is real cuts what it receives into the packets of the wire.
	p.merges = device.Type() != "device" || k.driver(device.Attrs().Name) == "virtio_net"
	p.queues = min(k.rxQueues(device.Attrs().Name), MaxQueues)
	if o.Queues > 0 {
		p.queues = min(p.queues, o.Queues)
	}
	h, err := k.host(link, o)
	return p, h, err
}

func (k *kernelView) link(o *Options, mark uint32) (netlink.Link, error) {
	if o.Interface != "" {
		link, err := k.handle.LinkByName(o.Interface)
		if err != nil {
			return nil, fmt.Errorf("no interface %s", o.Interface)
		}
		return link, nil
	}
	index, err := k.defaultInterface(mark)
	if err != nil {
		return nil, err
	}
	link, err := k.handle.LinkByIndex(index)
	if err != nil {
		return nil, fmt.Errorf("interface %d of the default route: %w", index, err)
	}
	return link, nil
}

// host returns what the interface answers to; an error when it has no address to
// listen on.
func (k *kernelView) host(link netlink.Link, o *Options) (*host, error) {
	attrs := link.Attrs()
	list, err := k.handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", attrs.Name, err)
	}
	h := &host{mac: frame.MAC(attrs.HardwareAddr), addrs: make(map[netip.Addr]struct{}, len(list))}
	for _, a := range list {
		const unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
		if addr, ok := netip.AddrFromSlice(a.IP); ok && a.Flags&unusable == 0 && o.listens(addr.Unmap()) {
			h.addrs[addr.Unmap()] = struct{}{}
		}
	}
	if len(h.addrs) == 0 {
		return nil, fmt.Errorf("%s has no address to listen on", attrs.Name)
	}
	return h, nil
}

// maxQueues returns how many receive queues the interface can have, at least one and at
// most MaxQueues.
func (k *kernelView) maxQueues(link netlink.Link) int {
	if link.Type() == "vlan" {
		if parent, err := k.handle.LinkByIndex(link.Attrs().ParentIndex); err == nil {
			link = parent
		}
	}
	c, err := sys.GetEthtoolChannels(k.ioctl, link.Attrs().Name)
	if err != nil {
		return 1
	}
	return min(max(1, int(max(c.MaxRx, c.MaxCombined, c.RxCount+c.Combined))), MaxQueues)
}

// rxQueues returns how many receive queues there are, at least one.
func (k *kernelView) rxQueues(name string) int {
	c, err := sys.GetEthtoolChannels(k.ioctl, name)
	if err != nil {
		return 1 // devices with one queue need no channels
	}
	return max(1, int(c.RxCount+c.Combined))
}

func (k *kernelView) driver(name string) string {
	info, err := unix.IoctlGetEthtoolDrvinfo(k.ioctl, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}
