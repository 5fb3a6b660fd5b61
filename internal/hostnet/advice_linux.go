// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Advise returns the conditions of the host that hurt a tunnel with the given
// options, the worst first. It looks at the network namespace of the calling thread,
// needs no privilege, and leaves out what it cannot find out. It takes about a
// millisecond and is meant for the start, after [Up], and for a reload.
func Advise(o AdviceOptions) []Advice { return collectFacts(&o).advise(&o) }

func collectFacts(o *AdviceOptions) *hostFacts {
	f := &hostFacts{kernel: runningKernel()}
	f.receiveBuffer, f.sendBuffer = grantedBuffers(o.ReceiveBuffer, o.SendBuffer)
	if o.Interface != "" {
		f.txQueueLen = txQueueLen(o.Interface)
		f.forwarding4, f.forwarding6 = forwarding4(o.Interface), forwarding6(o.Interface)
	}
	if f.nic = defaultRouteNIC(o); f.nic != "" {
		all, _ := sysctl("ipv4/conf/all/rp_filter")
		own, _ := sysctl("ipv4/conf/" + f.nic + "/rp_filter")
		f.rpFilterNIC = max(all, own)
		allMark, _ := sysctl("ipv4/conf/all/src_valid_mark")
		ownMark, _ := sysctl("ipv4/conf/" + f.nic + "/src_valid_mark")
		f.srcValidMark = allMark == 1 || ownMark == 1
		f.features = readNICFeatures(f.nic)
	}
	return f
}

func runningKernel() kernelVersion {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return kernelVersion{}
	}
	return parseKernelVersion(unix.ByteSliceToString(u.Release[:]))
}

// grantedBuffers returns the buffers that a UDP socket of this process gets; 0 where
// it cannot be found out. Asking is the only way to know: what is allowed depends on
// the capabilities too, and namespaces do not show the limits of the host.
func grantedBuffers(receive, send int) (gotReceive, gotSend int) {
	if receive <= 0 && send <= 0 {
		return 0, 0
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return 0, 0
		}
	}
	defer unix.Close(fd)
	return grantedBuffer(fd, receive, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF), grantedBuffer(fd, send, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
}

func grantedBuffer(fd, size, force, plain int) int {
	if size <= 0 {
		return 0
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil && unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size) != nil {
		return 0
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, plain)
	if err != nil {
		return 0
	}
	return got / 2 // the kernel doubles what is set, for its own overhead: socket(7)
}

// sysctl reads a number below /proc/sys/net.
func sysctl(path string) (value int, known bool) {
	b, err := os.ReadFile("/proc/sys/net/" + path)
	if err != nil {
		return 0, false
	}
	value, err = strconv.Atoi(strings.TrimSpace(string(b)))
	return value, err == nil
}

// forwarding4 reports whether IPv4 packets from the interface are forwarded, which it
// says itself; nil: not known.
func forwarding4(name string) *bool {
	own, known := sysctl("ipv4/conf/" + name + "/forwarding")
	if !known {
		if own, known = sysctl("ipv4/ip_forward"); !known {
			return nil
		}
	}
	return new(own != 0)
}

// forwarding6 does that for IPv6, which is switched for the whole host, and from Linux
// 6.17 for single interfaces too.
func forwarding6(name string) *bool {
	all, known := sysctl("ipv6/conf/all/forwarding")
	if !known {
		return nil
	}
	own, _ := sysctl("ipv6/conf/" + name + "/force_forwarding")
	return new(all != 0 || own != 0)
}

// txQueueLen returns the length of the queues of the interface, 0 when it is not
// known.
func txQueueLen(name string) int {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if unix.IoctlIfreq(fd, unix.SIOCGIFTXQLEN, ifr) != nil {
		return 0
	}
	return int(ifr.Uint32())
}

// farAway are addresses that every host reaches by its default route, if at all:
// those of a.root-servers.net. Nothing is sent to them. To look for default routes in
// the tables instead would be to read them all on older kernels.
var farAway = [...]netip.Addr{
	netip.AddrFrom4([4]byte{198, 41, 0, 4}),
	netip.AddrFrom16([16]byte{0x20, 0x01, 0x05, 0x03, 0xba, 0x3e, 14: 0x02, 15: 0x30}),
}

// defaultRouteNIC returns the name of the interface that the tunnel's own packets
// leave through by default, empty when there is none.
func defaultRouteNIC(o *AdviceOptions) string {
	for _, dst := range farAway {
		index, err := RouteInterface(dst, netip.Addr{}, o.Mark)
		if err != nil {
			continue
		}
		link, err := net.InterfaceByIndex(index)
		if err == nil && link.Name != o.Interface && link.Flags&net.FlagLoopback == 0 {
			return link.Name
		}
	}
	return ""
}
