// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// twoLabs are two hosts with a TUN each and a cable between these.
func twoLabs(t *testing.T, o *tunwrap.Options) (a, b *lab) {
	t.Helper()
	testutil.NeedNetNS(t)
	make := func(addrs ...netip.Addr) *lab {
		l := &lab{NS: testutil.NewNS(t)}
		l.must(t, func() (err error) {
			l.dev, err = tunwrap.Create(ifName, oneQueue(o))
			return err
		})
		t.Cleanup(func() { l.dev.Close() })
		if o.MTU < 1280 { // too small for IPv6
			addrs = addrs[:1]
		}
		l.must(t, func() error { return configure(addrs...) })
		for _, addr := range addrs {
			l.settle(t, addr)
		}
		return l
	}
	a, b = make(hostV4, hostV6), make(remoteV4, remoteV6)
	var cable sync.WaitGroup
	for _, ends := range [][2]*lab{{a, b}, {b, a}} {
		for _, q := range ends[0].dev.Queues() {
			cable.Go(func() { pump(t, q, ends[1].dev, o.MTU) })
		}
	}
	t.Cleanup(func() {
		a.dev.Close()
		b.dev.Close()
		cable.Wait()
	})
	return a, b
}

// pump carries packets from one device to another as long as both are open. It
// looks at each: whole, not longer than the MTU, checksums right.
func pump(t *testing.T, from tun.Reader, to tun.Device, mtu int) {
	const offset = 16
	slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, batchSize)
	bufs := make([][]byte, 0, batchSize)
	for {
		n, err := from.Read(slab, packets)
		bufs = bufs[:0]
		for _, p := range packets[:n] {
			if pkt := slab[p.Offset : p.Offset+p.Size]; len(pkt) > mtu || !testutil.ChecksumsOK(pkt) {
				t.Errorf("packet of %d bytes, checksums right: %v: %x", len(pkt), testutil.ChecksumsOK(pkt), clip(pkt))
			}
			bufs = append(bufs, slab[p.Offset-offset:p.Offset+p.Size])
		}
		if err == nil {
			_, err = to.Write(bufs, offset)
		}
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("cable: %v", err)
			}
			return
		}
	}
}

// TestTCP carries a stream each way. The kernel leaves its segmentation to us
// and takes what we merged.
func TestTCP(t *testing.T) {
	for _, mtu := range []int{1420, 8920, 296} {
		for _, addr := range []netip.Addr{remoteV4, remoteV6} {
			if mtu < 1280 && addr.Is6() {
				continue
			}
			t.Run(fmt.Sprintf("MTU %d to %v", mtu, addr), func(t *testing.T) {
				testutil.LeakCheck(t)
				a, b := twoLabs(t, &tunwrap.Options{MTU: mtu})
				size := 16 << 20
				if mtu < 1280 {
					size = 2 << 20
				}
				transfer(t, a, b, addr, size)
				for _, l := range []*lab{a, b} {
					s := l.dev.Stats().Queues[0]
					if s.Read.Superpackets == 0 {
						t.Error("no superpacket was read")
					}
					if s.Write.TCP.Superpackets == 0 || s.Write.TCP.Fallbacks != 0 {
						t.Errorf("TCP in writes %+v, want superpackets", s.Write.TCP)
					}
					if s.Read.Dropped.Total() != 0 || s.Write.Dropped.Total() != 0 {
						t.Errorf("drops: read %+v, write %+v", s.Read.Dropped, s.Write.Dropped)
					}
				}
			})
		}
	}
}

// transfer sends size random bytes from a to b over TCP and back again at the
// same time.
func transfer(t *testing.T, a, b *lab, addr netip.Addr, size int) {
	t.Helper()
	var listener net.Listener
	b.must(t, func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	defer listener.Close()
	var client net.Conn
	a.must(t, func() (err error) {
		client, err = net.Dial("tcp", listener.Addr().String())
		return err
	})
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	content := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(content)
	want := sha256.Sum256(content)
	var wg sync.WaitGroup
	for _, c := range []net.Conn{client, server} {
		wg.Go(func() {
			_, err := c.Write(content)
			if err = errors.Join(err, c.(*net.TCPConn).CloseWrite()); err != nil {
				t.Errorf("send: %v", err)
			}
		})
		wg.Go(func() {
			h := sha256.New()
			n, err := io.Copy(h, c)
			if n != int64(size) || err != nil || !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("received %d bytes, %v, content right: %v; want %d", n, err, bytes.Equal(h.Sum(nil), want[:]), size)
			}
		})
	}
	wg.Wait()
}

// TestUDPSegments sends UDP superpackets from sockets with UDP_SEGMENT; the
// other host receives every datagram, in order.
func TestUDPSegments(t *testing.T) {
	const segment, segments, rounds = 1200, 40, 25
	for _, to := range [][2]netip.Addr{{hostV4, remoteV4}, {hostV6, remoteV6}} {
		t.Run(to[1].String(), func(t *testing.T) {
			testutil.LeakCheck(t)
			a, b := twoLabs(t, &tunwrap.Options{MTU: 1420})
			receiver, sender := b.listen(t, to[1]), a.listen(t, to[0])
			setSocket(t, receiver, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
			setSocket(t, sender, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20)
			setSocket(t, sender, unix.SOL_UDP, unix.UDP_SEGMENT, segment)
			dst := netip.MustParseAddrPort(receiver.LocalAddr().String())
			next := uint32(0)
			buf := make([]byte, segment*segments)
			got := make([]byte, 2*segment)
			for range rounds {
				for i := range segments {
					binary.BigEndian.PutUint32(buf[i*segment:], next+uint32(i))
				}
				if _, err := sender.WriteToUDPAddrPort(buf, dst); err != nil {
					t.Fatal(err)
				}
				for range segments {
					n, err := receiver.Read(got)
					if seq := binary.BigEndian.Uint32(got); n != segment || err != nil || seq != next {
						t.Fatalf("received datagram %d of %d bytes, %v, want %d", seq, n, err, next)
					}
					next++
				}
			}
			if s := a.dev.Stats().Queues[0].Read; s.Superpackets < rounds {
				t.Errorf("%d superpackets, want %d: the kernel cut them itself", s.Superpackets, rounds)
			}
			if s := b.dev.Stats().Queues[0].Write; s.UDP.Superpackets == 0 || s.UDP.Fallbacks != 0 || s.Dropped.Total() != 0 {
				t.Errorf("writes %+v, want superpackets", s)
			}
		})
	}
}

func setSocket(t *testing.T, c *net.UDPConn, level, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) })
	if err := errors.Join(cerr, err); err != nil {
		t.Fatal(err)
	}
}
