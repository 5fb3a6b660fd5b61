// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/tailscale/wireguard-go/device"
)

func TestPeerWithoutEndpointIsReachedOnceItSpoke(t *testing.T) {
	_, a, b, _, ofA := pair(t)
	wantAddr(t, ofA, netip.AddrPort{})
	a.ping(b)
	wantAddr(t, ofA, a.outer)
	b.ping(a)
	if got := ofA.Source(); got != b.outer.Addr() {
		t.Errorf("sticky source is %v, want %v, where the packets were sent to", got, b.outer.Addr())
	}
}

func TestPacketsForUnknownPlaceAreCounted(t *testing.T) {
	_, a, b, _, ofA := pair(t)
	b.tun.Outbound <- []byte{} // the reader is alive
	_ = a
	e := ofA
	eventually(t, "initiation to nowhere", func() bool {
		select {
		case b.tun.Outbound <- slices.Clone(pingPacket(b, a)):
		default:
		}
		return e.Stats().DroppedNoAddress > 0
	})
	if s := e.Stats(); s.TxPackets != 0 || s.TxBytes != 0 {
		t.Errorf("counted %+v as sent, but there was nowhere to send to", s)
	}
}

func TestRoaming(t *testing.T) {
	n, a, b, _, ofA := pair(t)
	a.ping(b)
	sock := n.socket(a.outer)
	for i := range 50 {
		moved := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), uint16(1000+i))
		n.alias(sock, moved)
		a.ping(b)
		wantAddr(t, ofA, moved)
		b.ping(a)
	}
	if got := ofA.Stats().Roams; got != 51 {
		t.Errorf("counted %d moves, want 51", got)
	}
}

// evil is an address that no packet of a peer ever comes from.
var evil = netip.MustParseAddrPort("203.0.113.66:6666")

func TestReplaysMoveNothing(t *testing.T) {
	n, a, b, _, ofA := pair(t)
	a.ping(b)
	b.ping(a)
	captured := n.log()
	types := make(map[uint32]int)
	for range 3 {
		for _, d := range captured {
			if d.to == b.outer {
				types[binary.LittleEndian.Uint32(d.data)]++
				n.inject(datagram{from: evil, to: b.outer, data: slices.Clone(d.data)})
			}
		}
	}
	if types[device.MessageInitiationType] == 0 || types[device.MessageTransportType] == 0 {
		t.Fatalf("captured %v, want initiations and transport packets to replay", types)
	}
	a.ping(b) // everything injected before has gone through the device's queues
	wantAddr(t, ofA, a.outer)
	for _, d := range n.log() {
		if d.to == evil {
			t.Fatalf("a message of type %d went to where replays came from", d.data[0])
		}
	}
}

func TestForgedInitiationsMoveNothing(t *testing.T) {
	n, a, b, _, ofA := pair(t)

	// Before anything is known of the peer: forgeries that open the static key
	// field, which takes nothing but the two public keys.
	for i := range uint32(40) {
		n.inject(datagram{from: evil, to: b.outer, data: forgeInitiation(t, a.public, b.public, i)})
	}
	a.ping(b)
	wantAddr(t, ofA, a.outer)

	// While a session is up, and with the sender index of the real one.
	var genuine uint32
	for _, d := range n.log() {
		if d.to == b.outer && d.data[0] == device.MessageInitiationType {
			genuine = binary.LittleEndian.Uint32(d.data[4:])
		}
	}
	for range 40 {
		n.inject(datagram{from: evil, to: b.outer, data: forgeInitiation(t, a.public, b.public, genuine)})
	}
	a.ping(b)
	b.ping(a)
	wantAddr(t, ofA, a.outer)
	for _, d := range n.log() {
		if d.to == evil {
			t.Fatalf("a message of type %d went to where forgeries came from", d.data[0])
		}
	}
}

// A forged initiation with the same sender index, at the same moment as the
// real one: which of the two addresses is genuine cannot be known, so both get
// the response and the endpoint waits for a transport packet.
func TestAmbiguousInitiationWaitsForProof(t *testing.T) {
	_, a, b, _, ofA := pair(t)
	const sender = 0x01020304
	fromA := initiationFrom(t, b, a.outer, sender)
	fromEvil := initiationFrom(t, b, evil, sender)
	fromA.InitiationMessagePublicKey(a.public)
	fromEvil.InitiationMessagePublicKey(a.public)
	fromEvil.InitiationMessagePublicKey(a.public)

	before := len(b.net.log())
	if err := b.bind.Send([][]byte{response(sender)}, ofA, device.MessageEncapsulatingTransportSize); err != nil {
		t.Fatal(err)
	}
	var to []netip.AddrPort
	for _, d := range b.net.log()[before:] {
		to = append(to, d.to)
	}
	if !slices.Equal(to, []netip.AddrPort{a.outer, evil}) {
		t.Errorf("response went to %v, want both, once each", to)
	}
	wantAddr(t, ofA, netip.AddrPort{})

	fromA.FromPeer(a.public) // a transport packet from there was authenticated
	wantAddr(t, ofA, a.outer)
}

func TestResponseCommitsItsInitiation(t *testing.T) {
	_, a, b, _, ofA := pair(t)
	first := netip.MustParseAddrPort("192.0.2.77:7777")
	initiationFrom(t, b, evil, 1).InitiationMessagePublicKey(a.public)
	initiationFrom(t, b, first, 2).InitiationMessagePublicKey(a.public)
	wantAddr(t, ofA, netip.AddrPort{})
	if err := b.bind.Send([][]byte{response(2)}, ofA, device.MessageEncapsulatingTransportSize); err != nil {
		t.Fatal(err)
	}
	wantAddr(t, ofA, first)
	// Another response to the same index is no proof of anything any more.
	initiationFrom(t, b, evil, 3)
	if err := b.bind.Send([][]byte{response(2)}, ofA, device.MessageEncapsulatingTransportSize); err != nil {
		t.Fatal(err)
	}
	wantAddr(t, ofA, first)
}
