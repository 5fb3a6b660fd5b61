// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

const (
	slabLen   = 2 * (1<<16 - 1) // of wireguard-go
	batchSize = 128             // of a kernel TUN
	ifName    = "tun0"
)

// A lab is a network namespace with a Device in it that is up and has both host
// addresses. It has one queue if the test does not say otherwise.
type lab struct {
	*testutil.NS
	dev *tunwrap.Device
}

func newLab(t testing.TB, o *tunwrap.Options) *lab {
	t.Helper()
	testutil.NeedNetNS(t)
	l := &lab{NS: testutil.NewNS(t)}
	l.must(t, func() (err error) {
		l.dev, err = tunwrap.Create(ifName, oneQueue(o))
		return err
	})
	t.Cleanup(func() { l.dev.Close() })
	l.must(t, func() error { return configure(hostV4, hostV6) })
	l.settle(t, hostV6)
	return l
}

// oneQueue returns o with the default of one queue.
func oneQueue(o *tunwrap.Options) *tunwrap.Options {
	var c tunwrap.Options
	if o != nil {
		c = *o
	}
	c.Queues = max(c.Queues, 1)
	return &c
}

// settle waits until the kernel takes packets for addr in, which for IPv6 is
// some time after the address is there.
func (l *lab) settle(t testing.TB, addr netip.Addr) {
	t.Helper()
	testutil.Eventually(t, 10*time.Second, "local route to "+addr.String(), func() error {
		return l.Do(func() error {
			routes, err := netlink.RouteGet(addr.AsSlice())
			if err == nil && routes[0].Type != unix.RTN_LOCAL {
				err = fmt.Errorf("route is %v", routes[0])
			}
			return err
		})
	})
}

func (l *lab) must(t testing.TB, f func() error) {
	t.Helper()
	if err := l.Do(f); err != nil {
		t.Fatal(err)
	}
}

// configure gives the interface its addresses and sets it up. The kernel then
// sends nothing through it on its own.
func configure(addrs ...netip.Addr) error {
	link, err := netlink.LinkByName(ifName)
	if err != nil {
		return err
	}
	genMode := "/proc/sys/net/ipv6/conf/" + ifName + "/addr_gen_mode"
	if err := os.WriteFile(genMode, []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // not there: the MTU is too small for IPv6
	}
	for _, addr := range addrs {
		if err := netlink.AddrAdd(link, hostNet(addr)); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

// hostNet returns addr in a network with the remote addresses.
func hostNet(addr netip.Addr) *netlink.Addr {
	bits := addr.BitLen()
	return &netlink.Addr{
		IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits-8, bits)},
		Flags: unix.IFA_F_NODAD, // else it is good only after a second
	}
}

func deleteLink() error {
	link, err := netlink.LinkByName(ifName)
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

// listen opens a UDP socket in the namespace.
func (l *lab) listen(t testing.TB, addr netip.Addr) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	l.must(t, func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// exchange sends one datagram out of the lab's device and one in.
func exchange(t testing.TB, l *lab) {
	t.Helper()
	c := l.listen(t, hostV4)
	defer c.Close()
	host, remote := netip.MustParseAddrPort(c.LocalAddr().String()), netip.AddrPortFrom(remoteV4, 9)
	if _, err := c.WriteToUDPAddrPort([]byte("out"), remote); err != nil {
		t.Fatal(err)
	}
	got, err := read(l.dev)
	if err != nil || len(got) != 1 || !testutil.ChecksumsOK(got[0]) || string(got[0][28:]) != "out" {
		t.Fatalf("read %x, %v, want the datagram", got, err)
	}
	pkt := append(make([]byte, 16), testutil.UDP(remote, host, []byte("in"))...)
	if n, err := l.dev.Write([][]byte{pkt}, 16); n != 1 || err != nil {
		t.Fatalf("Write returned %d, %v", n, err)
	}
	b := make([]byte, 100)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "in" {
		t.Fatalf("host received %q, %v", b[:n], err)
	}
}

// read is one Read into a fresh slab; the packets are cut out of it.
func read(r tun.Reader) ([][]byte, error) {
	slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, batchSize)
	n, err := r.Read(slab, packets)
	out := make([][]byte, n)
	for i, p := range packets[:n] {
		out[i] = slab[p.Offset : p.Offset+p.Size]
	}
	return out, err
}
