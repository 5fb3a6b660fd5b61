// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// lab is a veth pair between two namespaces: "near" has our addresses, "far" is the
// rest of the world.
type lab struct {
	near, far *testutil.NS
	ifindex   int // of near
}

func newLab(t *testing.T, queues int) *lab {
	t.Helper()
	testutil.NeedNetNS(t)
	l := &lab{near: testutil.NewNS(t), far: testutil.NewNS(t)}
	l.near.Run(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues = "near", queues, queues
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far", PeerNamespace: netlink.NsFd(l.far.File().Fd())}))
	})
	up := func(name string, prefixes ...string) func() {
		return func() {
			link, err := netlink.LinkByName(name)
			must(t, err)
			must(t, os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0))
			for _, p := range prefixes {
				addr, err := netlink.ParseAddr(p)
				must(t, err)
				addr.Flags = unix.IFA_F_NODAD
				must(t, netlink.AddrAdd(link, addr))
			}
			must(t, netlink.LinkSetUp(link))
			if name == "near" {
				l.ifindex = link.Attrs().Index
			}
		}
	}
	l.near.Run(up("near", "10.9.0.1/24", "fd00:9::1/64"))
	l.far.Run(up("far", "10.9.0.2/24", "fd00:9::2/64"))
	return l
}

// listen opens a UDP socket of the kernel in the near namespace.
func (l *lab) listen(t *testing.T, port uint16) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	l.near.Run(func() {
		var err error
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
		must(t, err)
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// send sends a datagram from the far end.
func (l *lab) send(t *testing.T, to netip.Addr, port uint16, text string) {
	t.Helper()
	l.far.Run(func() {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, port)))
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte(text))
		must(t, err)
	})
}

// receive returns what comes next; nothing for very long fails the test.
func receive(t *testing.T, c *net.UDPConn) string {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	must(t, err)
	return string(buf[:n])
}

// A receiver is the least AF_XDP socket that receives: 64 frames, each used once.
type receiver struct {
	fd       int
	umem, rx []byte
	off      unix.XDPMmapOffsets
	read     uint32
}

const (
	frames    = 64
	frameSize = 2048
)

func (l *lab) receiver(t *testing.T, queue int) *receiver {
	t.Helper()
	r := &receiver{}
	l.near.Run(func() { r.fd = xskSocket(t) }) // it binds to devices of the namespace it was made in
	mapped := func(fd int, off int64, n, flags int) []byte {
		b, err := unix.Mmap(fd, off, n, unix.PROT_READ|unix.PROT_WRITE, flags)
		must(t, err)
		t.Cleanup(func() { unix.Munmap(b) })
		return b
	}
	r.umem = mapped(-1, 0, frames*frameSize, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, sys.XDPRegisterUMEM(r.fd, r.umem, frameSize, 0))
	for _, ring := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING} {
		must(t, unix.SetsockoptInt(r.fd, unix.SOL_XDP, ring, frames))
	}
	var err error
	r.off, err = sys.XDPMmapOffsets(r.fd)
	must(t, err)
	fill := mapped(r.fd, unix.XDP_UMEM_PGOFF_FILL_RING, int(r.off.Fr.Desc)+8*frames, unix.MAP_SHARED)
	r.rx = mapped(r.fd, unix.XDP_PGOFF_RX_RING, int(r.off.Rx.Desc)+16*frames, unix.MAP_SHARED)
	for i := range uint32(frames) {
		sys.SharedUint32(fill, r.off.Fr.Desc+8*uint64(i)).Store(i * frameSize) // the low half of 64 bits on a little-endian machine
	}
	sys.SharedUint32(fill, r.off.Fr.Producer).Store(frames)
	must(t, unix.Bind(r.fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(l.ifindex), QueueID: uint32(queue)}))
	return r
}

// receive waits for a frame and returns it.
func (r *receiver) receive(t *testing.T) []byte {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
	for sys.SharedUint32(r.rx, r.off.Rx.Producer).Load() == r.read {
		n, err := unix.Poll(poll, 20_000)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if err == nil && n == 0 {
			st, err := sys.XDPStatistics(r.fd)
			t.Fatalf("no frame; the socket's counters: %+v, %v", st, err)
		}
	}
	desc := r.off.Rx.Desc + 16*uint64(r.read)
	at, n := sys.SharedUint32(r.rx, desc).Load(), sys.SharedUint32(r.rx, desc+8).Load()
	r.read++
	return r.umem[at:][:n]
}
