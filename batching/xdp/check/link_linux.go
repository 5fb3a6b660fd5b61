// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
)

// publicTargets are addresses to ask the kernel where the default route leads.
// Nothing is sent to them.
func publicTargets() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{1, 1, 1, 1}), netip.MustParseAddr("2606:4700:4700::1111")}
}

// findLink returns the interface that the name means; the error is for people.
func findLink(h *netlink.Handle, name string) (netlink.Link, error) {
	if name != "" {
		link, err := h.LinkByName(name)
		if gone := (netlink.LinkNotFoundError{}); errors.As(err, &gone) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ERANGE) {
			return nil, fmt.Errorf("there is no interface %s", name)
		}
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", name, err)
		}
		return link, nil
	}
	for _, to := range publicTargets() {
		routes, err := h.RouteGet(to.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_UNICAST && routes[0].LinkIndex > 0 {
			return h.LinkByIndex(routes[0].LinkIndex)
		}
	}
	return nil, errors.New("there is no default route")
}

// collectLink asks for what concerns an interface. What cannot be found out is left
// out.
func collectLink(h *netlink.Handle, link netlink.Link) *linkFacts {
	a := link.Attrs()
	l := &linkFacts{
		name: a.Name, kind: link.Type(), mtu: a.MTU,
		up: a.Flags&net.FlagUp != 0, carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
		loopback: a.Flags&net.FlagLoopback != 0, ethernet: a.EncapType == "ether" && len(a.HardwareAddr) == 6,
	}
	// An interrupted list may lack some; one is enough.
	if addrs, err := h.AddrList(link, netlink.FAMILY_ALL); err == nil || errors.Is(err, netlink.ErrDumpInterrupted) {
		for i := range addrs {
			if addrs[i].Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
				l.addresses++
			}
		}
	}
	if master, err := h.LinkByIndex(a.MasterIndex); a.MasterIndex != 0 && err == nil {
		l.master, l.masterOf = master.Attrs().Name, master.Type()
	}
	device := link
	if v, ok := link.(*netlink.Vlan); ok {
		l.vlan = uint16(v.VlanId)
		if device, l.deviceErr = underVLAN(h, v); l.deviceErr != nil {
			return l
		}
	}
	l.device = collectDevice(device)
	return l
}

func underVLAN(h *netlink.Handle, v *netlink.Vlan) (netlink.Link, error) {
	device, err := h.LinkByIndex(v.ParentIndex)
	if err != nil {
		return nil, fmt.Errorf("the interface under %s is not in this network namespace", v.Name)
	}
	if _, twice := device.(*netlink.Vlan); twice {
		return nil, fmt.Errorf("%s is a VLAN in a VLAN; the program takes one tag", v.Name)
	}
	return device, nil
}

func collectDevice(link netlink.Link) *deviceFacts {
	a := link.Attrs()
	d := &deviceFacts{name: a.Name, index: a.Index, kind: link.Type(), driver: driverOf(a.Name), queues: 1, program: collectProgram(a.Xdp)}
	if n := channels(a.Name); n > 0 {
		d.queues = n
	}
	d.table = hashTable(a.Name)
	d.active, d.changeable = features(a.Name)
	d.xdp = xdpFeaturesOf(a.Index)
	return d
}

// collectProgram says what is attached; nil: nothing.
func collectProgram(x *netlink.LinkXdp) *programFacts {
	if x == nil || !x.Attached {
		return nil
	}
	p := &programFacts{id: x.ProgId}
	switch x.AttachMode {
	case nl.XDP_ATTACHED_DRV:
		p.mode = "native"
	case nl.XDP_ATTACHED_SKB:
		p.mode = "generic"
	case nl.XDP_ATTACHED_HW:
		p.mode = "offloaded"
	default: // XDP_ATTACHED_MULTI
		p.mode = "several"
	}
	p.name, _ = redirect.NameOf(p.id) // needs a privilege
	p.ours = p.name == redirect.ProgramName
	return p
}

func driverOf(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	file := os.NewFile(uintptr(fd), "ethtool")
	defer file.Close()
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}
