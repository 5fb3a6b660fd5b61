// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Hosts behind far.
var (
	beyond4 = netip.MustParseAddr("198.51.100.7")
	beyond6 = netip.MustParseAddr("2001:db8:99::7")
)

// The frames of an underlay are those that the kernel's socket sends in its place,
// byte for byte, but for what both draw at random and what is summed from that.
func TestGolden(t *testing.T) {
	testutil.LeakCheck(t)
	l := newHosts(t, 1)
	l.near.Run(func() { behind(t, l.nearLink) })
	testGolden(t, l, 64)
}

// The time to live is that of the host.
func TestGoldenTTL(t *testing.T) {
	testutil.LeakCheck(t)
	l := newHosts(t, 1)
	const ttl = 37
	l.near.Run(func() {
		behind(t, l.nearLink)
		for _, name := range []string{"ipv4/ip_default_ttl", "ipv6/conf/eth0/hop_limit"} {
			must(t, os.WriteFile("/proc/sys/net/"+name, fmt.Append(nil, ttl), 0))
		}
	})
	testGolden(t, l, ttl)
}

// behind makes far a gateway.
func behind(t *testing.T, link netlink.Link) {
	t.Helper()
	for to, via := range map[netip.Addr]netip.Addr{beyond4: far4, beyond6: far6} {
		must(t, netlink.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index, Gw: via.AsSlice(),
			Dst: &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(to.BitLen(), to.BitLen())},
		}))
	}
}

func testGolden(t *testing.T, l *lab, ttl uint8) {
	tap := openTap(t, l)
	l.open(t, &xdp.Options{})
	l.resolve(t)
	for _, to := range []netip.Addr{far4, far6, beyond4, beyond6} {
		dst := destination(to)
		l.learn(t, dst)
		for _, v := range []geneve.VNI{0, vni(t, 0x1234)} {
			for _, size := range []int{0, 1, 60, 1400} {
				t.Run(fmt.Sprintf("%v/%v/%d", to, v, size), func(t *testing.T) {
					payload := bytes.Repeat([]byte{0xa5, 3, byte(size)}, 500)[:size]
					want := tap.next(t, l.beside[to.Is4()], dst, payload, v)
					c := l.under.Conns()[0]
					before := c.Stats().Tx.Packets
					got := tap.next(t, c, dst, payload, v)
					if c.Stats().Tx.Packets == before {
						t.Fatalf("not past the kernel: %v", l.under.Status().Kernel)
					}
					compareFrames(t, got, want, ttl)
				})
			}
		}
	}
}

// learn waits until the way to dst is known.
func (l *lab) learn(t *testing.T, dst *batching.Destination) {
	t.Helper()
	c := l.under.Conns()[0]
	testutil.Eventually(t, 10*time.Second, "way to "+dst.Remote().String(), func() error {
		before := c.Stats().Tx.Packets
		if _, err := c.WriteBatch([][]byte{[]byte("hello")}, 0, dst, 0); err != nil {
			return err
		}
		if c.Stats().Tx.Packets == before {
			return fmt.Errorf("not past the kernel yet: %v", l.under.Status().Kernel)
		}
		return nil
	})
}

// compareFrames compares what the underlay sent with what the kernel did.
func compareFrames(t *testing.T, got, want []byte, ttl uint8) {
	t.Helper()
	var d, k frame.Datagram
	if r := d.Parse(got); r != frame.OK || !d.ChecksumValid(got) {
		t.Fatalf("the frame is %v, checksum valid: %v: %x", r, d.ChecksumValid(got), got)
	}
	if r := k.Parse(want); r != frame.OK || k.TTL != ttl || k.TrafficClass != 0 {
		t.Fatalf("the kernel's frame is %v, TTL %d, class %d: %x", r, k.TTL, k.TrafficClass, want)
	}
	const ip = 14
	if d.Dst.Addr().Is4() {
		if flags := binary.BigEndian.Uint16(want[ip+6:]); flags != 0 {
			t.Errorf("the kernel's frame has flags %#x", flags)
		}
		for _, b := range [][]byte{got, want} {
			clear(b[ip+4 : ip+6])   // identification; the header checksum was checked
			clear(b[ip+10 : ip+12]) // by Parse
		}
	} else {
		if label := binary.BigEndian.Uint32(got[ip:]) & 0xfffff; label == 0 {
			t.Error("no flow label")
		}
		for _, b := range [][]byte{got, want} {
			b[ip+1] &= 0xf0
			clear(b[ip+2 : ip+4])
		}
	}
	if !k.ChecksumValid(want) {
		// The device was to finish it: then what is there is the sum of the pseudo
		// header, and what the underlay wrote was found right.
		copy(want[k.Offset-2:k.Offset], got[d.Offset-2:d.Offset])
		if !k.ChecksumValid(want) {
			t.Errorf("the checksum of the underlay is not right for the kernel's frame")
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// A tap sees what arrives at far.
type tap struct{ file *os.File }

func openTap(t *testing.T, l *lab) *tap {
	t.Helper()
	var out *tap
	l.far.Run(func() {
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
		must(t, err)
		out = &tap{os.NewFile(uintptr(fd), "packet socket")}
		t.Cleanup(func() { must(t, out.file.Close()) })
		must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.farLink.Attrs().Index}))
	})
	return out
}

// next sends a packet by way of w and returns its frame.
func (p *tap) next(t *testing.T, w xdp.Kernel, dst *batching.Destination, payload []byte, v geneve.VNI) []byte {
	t.Helper()
	size := len(payload)
	if v.IsSet() {
		size += geneve.HeaderLen
	}
	p.drain(t)
	if n, err := w.WriteBatch([][]byte{append(make([]byte, 8), payload...)}, 8, dst, v); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	must(t, p.file.SetReadDeadline(time.Now().Add(10*time.Second)))
	for {
		b := make([]byte, 4096)
		n, err := p.file.Read(b)
		must(t, err)
		var d frame.Datagram
		if d.Parse(b[:n]) == frame.OK && d.Dst == dst.Remote() && d.Size == size {
			return b[:n]
		}
	}
}

// drain reads what is there.
func (p *tap) drain(t *testing.T) {
	t.Helper()
	must(t, p.file.SetReadDeadline(time.Now().Add(time.Millisecond)))
	b := make([]byte, 4096)
	for {
		if _, err := p.file.Read(b); err != nil {
			return
		}
	}
}
