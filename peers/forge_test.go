// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/tun/tuntest"
	"github.com/tunrouter/tunrouter/peers"
	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

// forgeInitiation makes a handshake initiation as far as somebody can who knows
// both public keys and no private one: the ephemeral key, the encrypted static
// key and mac1 are right, the encrypted timestamp is noise (WireGuard
// whitepaper, section 5.4.2).
func forgeInitiation(t *testing.T, initiator, responder peers.Key, sender uint32) []byte {
	t.Helper()
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := ephemeral.PublicKey().Bytes()
	remote, err := ecdh.X25519().NewPublicKey(responder[:])
	if err != nil {
		t.Fatal(err)
	}
	ss, err := ephemeral.ECDH(remote)
	if err != nil {
		t.Fatal(err)
	}
	mix := func(h [32]byte, b []byte) [32]byte { return blake2s.Sum256(append(h[:], b...)) }
	chain, hash := device.InitialChainKey, mix(device.InitialHash, responder[:])
	hash = mix(hash, public)
	device.KDF1(&chain, chain[:], public)
	var key [chacha20poly1305.KeySize]byte
	device.KDF2(&chain, &key, chain[:], ss)
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		t.Fatal(err)
	}

	msg := make([]byte, device.MessageInitiationSize)
	binary.LittleEndian.PutUint32(msg[0:], device.MessageInitiationType)
	binary.LittleEndian.PutUint32(msg[4:], sender)
	copy(msg[8:], public)
	var nonce [chacha20poly1305.NonceSize]byte
	aead.Seal(msg[40:40], nonce[:], initiator[:], hash[:])
	rand.Read(msg[88:116])
	macKey := blake2s.Sum256(append([]byte("mac1----"), responder[:]...))
	mac, err := blake2s.New128(macKey[:])
	if err != nil {
		t.Fatal(err)
	}
	mac.Write(msg[:116])
	copy(msg[116:], mac.Sum(nil))
	return msg
}

// initiationFrom is what the device gets as the endpoint of an initiation.
func initiationFrom(t *testing.T, at *node, from netip.AddrPort, sender uint32) interface {
	conn.Endpoint
	conn.InitiationAwareEndpoint
	conn.PeerAwareEndpoint
} {
	t.Helper()
	return peers.InitiationFrom(at.bind, from, at.outer.Addr(), sender)
}

// response is a handshake response to the initiation with that sender index, as
// the device hands it to the Bind: after the headroom.
func response(receiver uint32) []byte {
	buf := make([]byte, device.MessageEncapsulatingTransportSize+device.MessageResponseSize)
	msg := buf[device.MessageEncapsulatingTransportSize:]
	binary.LittleEndian.PutUint32(msg, device.MessageResponseType)
	binary.LittleEndian.PutUint32(msg[8:], receiver)
	return buf
}

func pingPacket(from, to *node) []byte { return tuntest.Ping(to.inner, from.inner) }

// That the forgery gets as far as it is meant to is what makes the tests that
// use it worth something.
func TestForgeryReachesTheBind(t *testing.T) {
	n := newFakeNet()
	b := newNode(t, n, 2)
	a := newNode(t, n, 1)
	e := b.peer(a, netip.AddrPort{})
	seen := make(chan peers.Key, 1)
	ep := keyTap{initiationFrom(t, b, evil, 9), seen}
	msg := forgeInitiation(t, a.public, b.public, 9)
	var in device.MessageInitiation
	if err := binary.Read(bytes.NewReader(msg), binary.LittleEndian, &in); err != nil {
		t.Fatal(err)
	}
	if p := b.dev.ConsumeMessageInitiation(&in, ep); p != nil {
		t.Fatal("the device accepted a forged initiation")
	}
	select {
	case key := <-seen:
		if key != a.public {
			t.Errorf("the device read the key %x from the forgery, want that of the peer", key)
		}
	default:
		t.Fatal("the device did not get to the static key of the forgery")
	}
	wantAddr(t, e, netip.AddrPort{})
}

// keyTap tells which key the device found in an initiation.
type keyTap struct {
	conn.Endpoint
	seen chan peers.Key
}

func (k keyTap) InitiationMessagePublicKey(key [32]byte) { k.seen <- key }
