// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"
	"github.com/vishvananda/netlink"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// The addresses of the interface in a test namespace and of a host behind it.
var (
	hostV4   = netip.MustParseAddr("10.9.0.1")
	remoteV4 = netip.MustParseAddr("10.9.0.2")
	hostV6   = netip.MustParseAddr("fd99::1")
	remoteV6 = netip.MustParseAddr("fd99::2")
)

// slabLen is the length of wireguard-go's slabs.
const slabLen = 2 * (1<<16 - 1)

const batchSize = 128

// A lab is a namespace with a Device in it that is up and has addresses.
type lab struct {
	*testutil.NS
	dev *tunwrap.Device
}

func newLab(t testing.TB, o *tunwrap.Options) *lab {
	t.Helper()
	testutil.NeedNetNS(t)
	l := &lab{NS: testutil.NewNS(t)}
	l.must(t, func() (err error) {
		l.dev, err = tunwrap.Create("tun0", o)
		return err
	})
	t.Cleanup(func() { l.dev.Close() })
	l.must(t, func() error { return configure("tun0") })
	return l
}

func (l *lab) must(t testing.TB, f func() error) {
	t.Helper()
	if err := l.Do(f); err != nil {
		t.Fatal(err)
	}
}

// configure gives the interface its addresses and sets it up.
func configure(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, addr := range []netip.Addr{hostV4, hostV6} {
		bits := addr.BitLen() - 8
		ip := &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}
		// No duplicate address detection, which would delay the address.
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ip, Flags: 0x02}); err != nil {
			return err
		}
	}
	// No router solicitations of the kernel between the packets of a test.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/addr_gen_mode", []byte("1"), 0); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
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

// read is one Read into a fresh slab; the packets are cut out of it.
func read(t testing.TB, r tun.Reader) ([][]byte, error) {
	t.Helper()
	slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, batchSize)
	n, err := r.Read(slab, packets)
	out := make([][]byte, n)
	for i, p := range packets[:n] {
		out[i] = slab[p.Offset : p.Offset+p.Size]
	}
	return out, err
}

func TestBatchIsTaken(t *testing.T) {
	l := newLab(t, nil)
	if s := l.dev.Stats().Queues[0]; !s.Batched {
		t.Fatalf("queue is not batched: %s", s.Plain)
	}
	c := l.listen(t, hostV4)
	const count = 50
	for i := range count {
		if _, err := c.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), netip.AddrPortFrom(remoteV4, 9)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := read(t, l.dev)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != count {
		t.Fatalf("first Read returned %d packets, want all %d", len(got), count)
	}
	for i, p := range got {
		if !testutil.ChecksumsOK(p) {
			t.Errorf("packet %d: wrong checksum: %x", i, p)
		}
		if seq := binary.BigEndian.Uint32(p[28:]); int(seq) != i {
			t.Errorf("packet %d carries number %d", i, seq)
		}
	}
}

func TestDeletedDevice(t *testing.T) {
	l := newLab(t, nil)
	done := make(chan error)
	go func() {
		_, err := read(t, l.dev)
		done <- err
	}()
	time.Sleep(200 * time.Millisecond)
	l.must(t, func() error {
		link, err := netlink.LinkByName("tun0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	})
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after deletion: %v, want os.ErrClosed", err)
	}
	n, err := l.dev.Write([][]byte{make([]byte, 100)}, 16)
	t.Log(n, err, l.dev.Stats().Queues[0].Write)
}
