// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// icmpOf returns the ICMP message of an error for alice, with checked checksums.
func icmpOf(t *testing.T, pkt []byte, from, to netip.Addr) *icmp.Message {
	t.Helper()
	var p inner.Packet
	if problem := p.Parse(pkt); problem != inner.OK || p.Src != from || p.Dst != to || p.HopLimit < 32 {
		t.Fatalf("%v: %+v", problem, p)
	}
	proto, pseudo := 1, uint16(0)
	if from.Is6() {
		proto = 58
		pseudo = inner.Sum(pkt[8:40], uint32(len(pkt)-40)+58)
	}
	if inner.Sum(pkt[p.Transport:], uint32(pseudo)) != 0xffff {
		t.Errorf("checksum of the ICMP message is wrong")
	}
	m, err := icmp.ParseMessage(proto, pkt[p.Transport:])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTimeExceeded(t *testing.T) {
	for _, hops := range []byte{0, 1} {
		l := newLab(t, &hub.Options{Forwarding: hub.On})
		pkt := hopLimit(udp(aliceAddr, bobAddr, 1000), hops)
		pkt6 := hopLimit(udp(alice6, bob6, 1380), hops)
		if n := l.write(pkt, pkt6); n != 2 {
			t.Errorf("%d errors took effect", n)
		}
		got := l.cut()
		if len(got) != 2 {
			t.Fatalf("%d packets", len(got))
		}
		m := icmpOf(t, got[0], hostAddr, aliceAddr)
		if m.Type != ipv4.ICMPTypeTimeExceeded || m.Code != 0 || len(got[0]) != 576 {
			t.Errorf("%v %d, %d bytes", m.Type, m.Code, len(got[0]))
		}
		if quoted := m.Body.(*icmp.TimeExceeded).Data; !bytes.HasPrefix(pkt, quoted) || len(quoted) < 28 {
			t.Errorf("quotes %x", quoted)
		}
		m = icmpOf(t, got[1], hostAddr6, alice6)
		if m.Type != ipv6.ICMPTypeTimeExceeded || m.Code != 0 || len(got[1]) != 1280 {
			t.Errorf("%v %d, %d bytes", m.Type, m.Code, len(got[1]))
		}
		if quoted := m.Body.(*icmp.TimeExceeded).Data; !bytes.HasPrefix(pkt6, quoted) {
			t.Errorf("quotes %x", quoted)
		}
		if s := l.Stats(); s.Dropped.HopLimit != 2 || s.ICMPSent != 2 {
			t.Errorf("%+v", s)
		}
	}
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	pkt := hopLimit(udp(aliceAddr, bobAddr, 5), 2)
	l.write(pkt)
	same(t, "the last hop", l.cut(), hopLimit(pkt, 1))
}

func TestTooBig(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	df := udp(aliceAddr, bobAddr, 1500)
	df[6] |= 0x40
	sum4(df)
	six := udp(alice6, bob6, 1500)
	fits := udp(alice6, bob6, 1420-48)
	l.write(df, six, fits)
	got := l.cut()
	var forAlice, forBob [][]byte
	for _, p := range got {
		if bytes.Equal(p, less(fits)) {
			forBob = append(forBob, p)
		} else {
			forAlice = append(forAlice, p)
		}
	}
	if len(forAlice) != 2 || len(forBob) != 1 {
		t.Fatalf("%d packets for one, %d for the other", len(forAlice), len(forBob))
	}
	m := icmpOf(t, forAlice[0], hostAddr, aliceAddr)
	if m.Type != ipv4.ICMPTypeDestinationUnreachable || m.Code != 4 || binary.BigEndian.Uint16(forAlice[0][26:]) != 1420 {
		t.Errorf("%v %d: %x", m.Type, m.Code, forAlice[0])
	}
	m = icmpOf(t, forAlice[1], hostAddr6, alice6)
	if body, ok := m.Body.(*icmp.PacketTooBig); !ok || body.MTU != 1420 {
		t.Errorf("%+v", m)
	}
	if s := l.Stats(); s.Dropped.TooBig != 2 || s.ICMPSent != 2 {
		t.Errorf("%+v", s)
	}
	// The MTU is asked for again before a packet is called too big.
	l.host.mtu = 9000
	l.write(df)
	same(t, "after the MTU grew", l.cut(), less(df))
}

func TestFragment(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	payload := make([]byte, 4000)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	pkt := testutil.UDP(netip.AddrPortFrom(aliceAddr, 1), netip.AddrPortFrom(bobAddr, 2), payload)
	binary.BigEndian.PutUint16(pkt[4:], 4711)
	// Two options: record route is in the first fragment only, security in all.
	options := []byte{7, 3, 4, 1, 130, 3, 0, 0}
	pkt = append(append(append([]byte(nil), pkt[:20]...), options...), pkt[20:]...)
	pkt[0] = 4<<4 | 7
	pkt[6] &^= 0x40
	binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
	sum4(pkt)

	l.write(pkt)
	got := l.cut()
	if len(got) != 3 {
		t.Fatalf("%d fragments", len(got))
	}
	var whole []byte
	for i, f := range got {
		var p inner.Packet
		if problem := p.Parse(f); problem != inner.OK {
			t.Fatalf("fragment %d: %v", i, problem)
		}
		if !p.Fragment || p.ID != 4711 || p.Offset != len(whole) || p.More != (i < 2) || len(f) > 1420 || p.HopLimit != pkt[8]-1 {
			t.Errorf("fragment %d: %+v", i, p)
		}
		want := options
		if i > 0 {
			want = []byte{1, 1, 1, 1, 130, 3, 0, 0}
		}
		if !bytes.Equal(f[20:28], want) {
			t.Errorf("options of fragment %d: %x", i, f[20:28])
		}
		whole = append(whole, f[28:]...)
	}
	if !bytes.Equal(whole, pkt[28:]) {
		t.Error("the fragments do not make up the packet")
	}
	// A fragment may be fragmented again.
	l.host.mtu = 600
	if _, err := l.MTU(); err != nil {
		t.Fatal(err)
	}
	l.write(got[1])
	again := l.cut()
	var part []byte
	for i, f := range again {
		var p inner.Packet
		if problem := p.Parse(f); problem != inner.OK || !p.More {
			t.Fatalf("fragment %d: %v, more %v", i, problem, p.More)
		}
		part = append(part, f[28:]...)
	}
	if !bytes.Equal(part, got[1][28:]) {
		t.Error("the fragments do not make up the fragment")
	}
	if s := l.Stats(); s.Fragmented != 2 {
		t.Errorf("fragmented: %d", s.Fragmented)
	}
}

// Nothing is answered that RFC 1812 section 4.3.2.7 forbids, and no peer gets more
// than its share.
func TestErrorsNotSent(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	about := hopLimit(udp(aliceAddr, bobAddr, 5), 1)
	l.write(about)
	anError := l.cut()[0]
	copy(anError[12:], aliceAddr.AsSlice())
	copy(anError[16:], bobAddr.AsSlice())
	later := udp(aliceAddr, bobAddr, 24)
	later[7] = 5
	for _, pkt := range [][]byte{hopLimit(anError, 1), hopLimit(later, 1)} {
		if n := l.write(pkt); n != 0 {
			t.Errorf("an error was sent about %x", pkt)
		}
	}
	sent := 0
	for range 1000 {
		sent += l.write(about)
	}
	if s := l.Stats(); sent > 500 || s.ICMPLimited != uint64(1000-sent) || sent == 0 {
		t.Errorf("%d errors sent, %d held back", sent, s.ICMPLimited)
	}
}
