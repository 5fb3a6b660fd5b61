// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/path"
)

// sumOf adds up counters.
func sumOf(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// What the device gives to be sent is counted by kind, and once by what became of it;
// the totals keep what a removed peer has counted.
func TestSentOrDropped(t *testing.T) {
	n := newFakeNet()
	b, _, sock, _ := openBind(t, n)
	e := b.Add(keyA)
	send := func(data, keepalives int) {
		t.Helper()
		if err := b.Send(transport(data, 64), e, headroom); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(transport(keepalives, device.MessageKeepaliveSize), e, headroom); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, data, keepalives, noAddress, closed, denied uint64) {
		t.Helper()
		s := b.Stats()
		if s.TxMessages["data"] != data || s.TxMessages["keepalive"] != keepalives || b.DataSent() != data {
			t.Errorf("%s: %v were given, %d data; want %d data, %d keepalives", what, s.TxMessages, b.DataSent(), data, keepalives)
		}
		if s.TxNoAddress != noAddress || s.TxClosed != closed || s.TxRefused["denied"] != denied || sumOf(s.TxRefused) != denied {
			t.Errorf("%s: %d without address, %d closed, refused %v; want %d, %d, %d denied", what, s.TxNoAddress, s.TxClosed, s.TxRefused, noAddress, closed, denied)
		}
		left := s.Paths[0].TxPackets // direct, over IPv4
		if left+noAddress+closed+denied != data+keepalives {
			t.Errorf("%s: %d left of %d", what, left, data+keepalives)
		}
	}
	send(3, 1)
	check("nowhere", 3, 1, 4, 0, 0)
	e.SetAddr(atA)
	send(5, 2)
	check("sent", 8, 3, 4, 0, 0)
	sock.refuseWith(func(*batching.Destination) error { return syscall.EPERM })
	send(7, 1)
	check("refused", 15, 4, 4, 0, 8)
	// What leaves from another source address in the end is not lost.
	initiationEndpoint(b, atA).FromPeer(keyA)
	sock.refuseWith(func(d *batching.Destination) error {
		if d.Local().IsValid() {
			return syscall.EINVAL
		}
		return nil
	})
	send(2, 0)
	check("sent without the source", 17, 4, 4, 0, 8)
	b.Remove(keyA)
	check("removed", 17, 4, 4, 0, 8)
	e = b.Add(keyA)
	e.SetAddr(atA)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	send(1, 1)
	check("closed", 18, 5, 4, 2, 8)
}

// What arrives is counted by type, and what turns out to be authentic by the peer and
// the kind of path.
func TestReceivedAndAuthentic(t *testing.T) {
	n := newFakeNet()
	b, receive, sock, _ := openBind(t, n)
	e := b.Add(keyA)
	slab, packets := make([]byte, 1<<17), make([]conn.ReceivedPacket, 128)
	arrive := func(count int) {
		t.Helper()
		for _, buf := range transport(count, 64) {
			sock.in <- datagram{from: atA, data: buf[headroom:]}
		}
		sock.in <- datagram{from: atA, data: response(7)[headroom:]}
		for got := 0; got < count+1; {
			m, err := receive(slab, packets)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range packets[:m] {
				if p.Size == 64 {
					p.Endpoint.(conn.PeerAwareEndpoint).FromPeer(keyA)
				}
			}
			got += m
		}
	}
	arrive(4)
	arrive(5)
	b.Remove(keyA)
	s := b.Stats()
	if s.RxMessages["transport"] != 9 || s.RxMessages["response"] != 2 || s.RxPackets != 11 || s.RxAuthentic != 9 {
		t.Errorf("%v, %d in all, %d authentic", s.RxMessages, s.RxPackets, s.RxAuthentic)
	}
	own := e.Stats()
	if own.RxAuthentic != 9 || own.Paths != s.Paths {
		t.Errorf("the peer has %d authentic, %+v, all have %+v", own.RxAuthentic, own.Paths, s.Paths)
	}
	// Of the first batch it was not known yet whose it is.
	if p := s.Paths[0]; p.RxPackets < 6 || p.RxPackets > 11 || p.RxBytes < 5*64 {
		t.Errorf("over IPv4 came %+v", p)
	}
}

// viaPath is a path, over a relay with a VNI that is not 0.
func viaPath(t *testing.T, addr string, vni uint32) path.Path {
	t.Helper()
	p := path.Path{Addr: netip.MustParseAddrPort(addr)}
	if vni == 0 {
		return p
	}
	var err error
	if p.VNI, err = geneve.MakeVNI(vni); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestClasses(t *testing.T) {
	const v4, v6 = "192.0.2.1:7", "[2001:db8::1]:7"
	for i, p := range []path.Path{viaPath(t, v4, 0), viaPath(t, v6, 0), viaPath(t, v4, 5), viaPath(t, v6, 5)} {
		if got := peers.ClassOf(p); got != i {
			t.Errorf("%v is of class %d, want %d", p, got, i)
		}
		relayed, ipv6 := peers.Class(i)
		if relayed != p.VNI.IsSet() || ipv6 != p.Addr.Addr().Is6() {
			t.Errorf("class %d is relayed %v, IPv6 %v; %v is not", i, relayed, ipv6, p)
		}
	}
}

// Drops of sockets that are closed stay in the totals.
func TestSocketTotalsStay(t *testing.T) {
	b := peers.NewBind(&peers.Options{
		Sockets: 1, ListenOn: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Socket: batching.Options{ReceiveBuffer: 4096},
	})
	_, port, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	flood := func() {
		t.Helper()
		c, err := net.Dial("udp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 200 {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
	}
	flood()
	first := b.Stats().Totals.Dropped["overflow"]
	if first == 0 || first >= 200 {
		t.Fatalf("%d of 200 are dropped, want some", first)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := b.Stats().Totals.Dropped["overflow"]; n != first {
		t.Errorf("%d drops when closed, want %d", n, first)
	}
	if _, _, err := b.Open(port); err != nil {
		t.Fatal(err)
	}
	flood()
	s := b.Stats()
	if n := s.Totals.Dropped["overflow"]; n != first+s.Sockets[0].Rx.Overflow || n == first {
		t.Errorf("%d drops, want %d and those of the new socket, %d", n, first, s.Sockets[0].Rx.Overflow)
	}
}
