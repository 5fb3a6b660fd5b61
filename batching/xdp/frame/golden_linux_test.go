// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A wire is the far end of a kernel's Ethernet device: what the kernel sends is
// read from file, what is written there it receives. It offers the kernel no
// offload, so every checksum is complete.
type wire struct {
	file *os.File
	link netlink.Link // the kernel's end
	mac  frame.MAC    // of link
}

// newWire makes a device in the current namespace.
func newWire(t *testing.T) *wire {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "wire"
	tap := &netlink.Tuntap{
		LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, NonPersist: true, Queues: 1,
		Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_MULTI_QUEUE,
	}
	if err := netlink.LinkAdd(tap); err != nil {
		t.Fatal(err)
	}
	// A second descriptor that does not block, so that reads have deadlines.
	defer tap.Fds[0].Close()
	fd, err := unix.FcntlInt(tap.Fds[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "tap")
	t.Cleanup(func() { file.Close() })
	link := up(t, "wire")
	return &wire{file: file, link: link, mac: frame.MAC(link.Attrs().HardwareAddr)}
}

// up brings a link up and returns it.
func up(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// address gives link the address here and a neighbour, so that nobody asks for it.
func address(t *testing.T, link netlink.Link, here, far netip.Addr, mac frame.MAC) {
	t.Helper()
	ip := func(a netip.Addr) net.IP { return a.AsSlice() }
	mask := net.CIDRMask(here.BitLen()-8, here.BitLen())
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip(here), Mask: mask}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrAdd(link, addr); err != nil {
		t.Fatal(err)
	}
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip(far), HardwareAddr: mac[:],
	})
	if err != nil {
		t.Fatal(err)
	}
}

// again is how long to wait for a packet before it is sent once more: a device
// that has only just come up may lose some, and IPv6 makes the routes of a new
// address later.
const again = 200 * time.Millisecond

// next sends until the kernel's frame with size bytes to dst comes, and returns it.
func (w *wire) next(t *testing.T, dst netip.AddrPort, size int, send func() error) ([]byte, frame.Datagram) {
	t.Helper()
	for range 100 {
		if err := errors.Join(send(), w.file.SetReadDeadline(time.Now().Add(again))); err != nil {
			t.Fatal(err)
		}
		for {
			b := make([]byte, 4096)
			n, err := w.file.Read(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var d frame.Datagram
			if d.Parse(b[:n]) == frame.OK && d.Dst == dst && d.Size == size {
				return b[:n], d
			}
		}
	}
	t.Fatalf("the kernel sends no frame with %d bytes to %v", size, dst)
	return nil, frame.Datagram{}
}

type goldenCase struct {
	name      string
	here, far string
	tos, ttl  int
}

// The frames are those of the kernel, byte for byte, and the kernel accepts them.
// With a tag they are the same but for the tag; see TestTag.
func TestGolden(t *testing.T) {
	testutil.NeedNetNS(t)
	for _, tt := range []goldenCase{
		{"v4", "192.0.2.1", "192.0.2.2", 0, 64},
		{"v4 class", "192.0.2.1", "192.0.2.2", 0xb9, 7},
		{"v6", "2001:db8::1", "2001:db8::2", 0, 64},
		{"v6 class", "2001:db8::1", "2001:db8::2", 0xba, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testutil.LeakCheck(t)
			testutil.NewNS(t).Run(func() { golden(t, &tt) })
		})
	}
}

func golden(t *testing.T, tt *goldenCase) {
	w := newWire(t)
	near, far := netip.MustParseAddr(tt.here), netip.MustParseAddr(tt.far)
	address(t, w.link, near, far, there)
	conn := listenUDP(t, near, tt.tos, tt.ttl)
	local, remote := conn.LocalAddr().(*net.UDPAddr).AddrPort(), netip.AddrPortFrom(far, 443)
	o := frame.Options{
		Source: w.mac, Target: there, Src: local, Dst: remote,
		TrafficClass: uint8(tt.tos), TTL: uint8(tt.ttl),
	}
	const ip = 14 // where the IP header begins
	for _, size := range []int{0, 1, 32, 148, 1452} {
		payload := pattern(size)
		want, d := w.next(t, remote, size, func() error {
			_, err := conn.WriteToUDPAddrPort(payload, remote)
			return err
		})
		if !d.ChecksumValid(want) {
			t.Fatalf("the checksum of the kernel's frame is wrong: %x", want)
		}
		id := uint16(0)
		if near.Is4() { // both are drawn by the kernel
			id = binary.BigEndian.Uint16(want[ip+4:])
		} else {
			o.FlowLabel = binary.BigEndian.Uint32(want[ip:]) & (1<<20 - 1)
		}
		if got := mustPut(t, mustNew(t, o), id, 0, payload); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes:\n got %x\nwant %x", size, got, want)
		}
	}
	accepted(t, w, conn, o)
}

// accepted sends frames to the kernel, which delivers them to conn.
func accepted(t *testing.T, w *wire, conn *net.UDPConn, o frame.Options) {
	t.Helper()
	o.Source, o.Target, o.Src, o.Dst = o.Target, o.Source, o.Dst, o.Src
	tmpl := mustNew(t, o)
	for _, size := range []int{0, 1, 32, 1452} {
		payload := pattern(size)
		w.deliver(t, conn, mustPut(t, tmpl, 1, 0, payload), payload, o.Src)
	}
}

// deliver writes a frame until conn has its payload.
func (w *wire) deliver(t *testing.T, conn *net.UDPConn, packet, payload []byte, src netip.AddrPort) {
	t.Helper()
	for range 100 {
		_, err := w.file.Write(packet)
		if err = errors.Join(err, conn.SetReadDeadline(time.Now().Add(again))); err != nil {
			t.Fatal(err)
		}
		for {
			b := make([]byte, 2048)
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(b[:n], payload) && from == src {
				return
			}
		}
	}
	t.Fatalf("the kernel does not deliver %x", packet)
}

// listenUDP opens a socket like those of package batching: without DF.
func listenUDP(t *testing.T, near netip.Addr, tos, ttl int) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(near, 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	options := [][3]int{
		{unix.IPPROTO_IP, unix.IP_TOS, tos}, {unix.IPPROTO_IP, unix.IP_TTL, ttl},
		{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT},
	}
	if near.Is6() {
		options = [][3]int{{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos}, {unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl}}
	}
	for _, o := range options {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), o[0], o[1], o[2]) })
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}
