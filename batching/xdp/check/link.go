// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import "strconv"

// linkFacts are what the kernel says of the interface that has the addresses.
type linkFacts struct {
	name      string
	kind      string // of the kernel: "device" for real ones, "veth", "bridge", …
	mtu       int
	addresses int
	up        bool
	carrier   bool
	loopback  bool
	ethernet  bool
	master    string // name, empty for none
	masterOf  string // its kind
	vlan      uint16
	deviceErr error // there is no device under the VLAN interface
	device    *deviceFacts
}

// The router has frames of 2048 bytes where those hold packets of the MTU, else of 4096;
// a frame holds 256 bytes less (XDP_PACKET_HEADROOM in include/uapi/linux/bpf.h).
// Ethernet has 14 bytes in front of a packet, 18 with a tag.
//
// Native mode takes what fits into a page with 256 bytes in front and struct
// skb_shared_info behind, 320 bytes on 64-bit machines (veth_xdp_set in
// drivers/net/veth.c; other drivers are similar), since the program takes frames in one
// piece only.
const (
	etherLen   = 14
	tagLen     = 4
	headroom   = 256
	smallFrame = 2048
	largeFrame = 4096
	nativeRest = headroom + 320 + etherLen
)

// frameSize returns the size of the frames that the router uses with the MTU.
func frameSize(mtu int) int {
	if mtu+etherLen+tagLen <= smallFrame-headroom {
		return smallFrame
	}
	return largeFrame
}

// nativeMTU is the largest MTU that most drivers take in native mode.
func nativeMTU(pageSize int) int { return pageSize - nativeRest }

func (l *linkFacts) report(r *Report, pageSize int) {
	r.Interface, r.MTU = l.name, l.mtu
	switch {
	case l.loopback:
		r.stops("interface", "name the interface that peers are reached by", "%s is the loopback interface", l.name)
		return
	case !l.ethernet:
		r.stops("interface", "name the Ethernet interface that peers are reached by", "%s is no Ethernet interface", l.name)
		return
	case l.deviceErr != nil:
		r.stops("interface", "", "%v", l.deviceErr)
		return
	}
	r.Device, r.VLAN = l.device.name, l.vlan
	switch {
	case !l.up:
		r.stops("interface", "ip link set "+l.name+" up", "%s is down", l.name)
	case !l.carrier:
		r.add(Note, "interface", "plug it in, or look at the other end", "%s is up and has no carrier", l.name)
	case l.vlan != 0:
		r.add(OK, "interface", "", "%s is up, VLAN %d on %s", l.name, l.vlan, l.device.name)
	default:
		r.add(OK, "interface", "", "%s is up", l.name)
	}
	if l.reportKind(r) {
		l.reportMTU(r, pageSize)
		l.device.report(r, l.vlan)
	}
}

// reportKind is about interfaces on top of or underneath others. It returns false
// when the interface has no queues that would be of interest.
func (l *linkFacts) reportKind(r *Report) bool {
	switch kind := l.device.kind; kind {
	case "bond", "team":
		// A bond takes a program and gives it to its ports; a socket on the bond gets
		// nothing of their queues (xsk_rcv_check in net/xdp/xsk.c), so all would be lost.
		r.stops("interface", "use a port alone, with the addresses on it, or stay with the kernel's sockets",
			"%s is a %s: AF_XDP sockets get nothing from its ports", l.device.name, kind)
		return false
	case "bridge":
		r.stops("interface", "put the addresses on an interface that is no port of a bridge, or stay with the kernel's sockets",
			"%s is a bridge, which has no queues of its own", l.device.name)
		return false
	}
	switch l.masterOf {
	case "":
	case "vrf":
		r.add(Note, "interface", "", "%s is in VRF %s", l.name, l.master)
	default:
		r.add(Note, "interface", "", "%s is a port of %s %s, which has the addresses as a rule", l.name, l.masterOf, l.master)
	}
	if l.addresses == 0 {
		remedy := "give it an address"
		if l.masterOf != "" && l.masterOf != "vrf" {
			remedy = "take it out of " + l.master + " and give it the addresses, or stay with the kernel's sockets"
		}
		r.stops("addresses", remedy, "%s has no address to receive for", l.name)
	}
	return true
}

func (l *linkFacts) reportMTU(r *Report, pageSize int) {
	frame, native := frameSize(l.mtu), nativeMTU(pageSize)
	room := frame - headroom - etherLen - tagLen
	switch {
	case l.mtu > room:
		r.add(Limits, "mtu", "ip link set "+l.device.name+" mtu "+strconv.Itoa(min(native, room))+", or less",
			"MTU %d: most drivers refuse native mode above about %d, and packets above %d bytes go to the kernel's sockets", l.mtu, native, room)
	case l.mtu > native:
		r.add(Limits, "mtu", "ip link set "+l.device.name+" mtu "+strconv.Itoa(native)+", or less",
			"MTU %d: most drivers refuse native mode above about %d", l.mtu, native)
	default:
		r.add(OK, "mtu", "", "packets of the MTU, %d bytes, fit into frames of %d", l.mtu, frame)
	}
}
