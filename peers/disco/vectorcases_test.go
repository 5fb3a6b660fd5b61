// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// A vectorCase is the input of a vector, and the message that it carries.
type vectorCase struct {
	vector
	message message
}

const (
	keyA       = "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
	keyB       = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
	cookieHex  = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	otherHex   = "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
	address4   = "00000000000000000000ffffc0000201ca6c" // 192.0.2.1:51820
	address6   = "20010db80000000000000000000000010001" // [2001:db8::1]:1
	peerDomain = "tunrouter disco v1"
	relay      = "tunrouter relay v1"
)

// vectorCases has the fields of every message by hand, as names and hex digits.
func vectorCases(tb testing.TB) []vectorCase {
	var cases []vectorCase
	add := func(name, domain, a, b string, epoch uint64, m message, fields ...string) {
		c := vectorCase{message: m, vector: vector{
			Name: name, Domain: domain, PrivateA: unhex(tb, a), PrivateB: unhex(tb, b), Epoch: epoch,
			Nonce: bytes.Repeat([]byte{0x40, 0x41, byte(len(cases))}, 8),
		}}
		for i := 0; i < len(fields); i += 2 {
			c.Fields = append(c.Fields, vectorField{fields[i], unhex(tb, fields[i+1])})
		}
		cases = append(cases, c)
	}
	v4, v6 := address("192.0.2.1:51820"), address("[2001:db8::1]:1")

	add("shortest ping", peerDomain, keyA, keyB, 495252, &disco.Ping{TxID: txid, Pad: 88},
		"type", "01", "flags", "00", "transaction", txidHex, "padding", zeros(22))
	add("longer ping, the other way", peerDomain, keyB, keyA, 495252, &disco.Ping{TxID: txid, Pad: 160},
		"type", "01", "flags", "00", "transaction", txidHex, "padding", zeros(94))
	add("pong, IPv4, first epoch", peerDomain, keyA, keyB, 0, &disco.Pong{TxID: txid, Observed: v4, Size: 88},
		"type", "02", "flags", "00", "transaction", txidHex, "address", address4, "size", "0058", "padding", "0000")
	add("pong, IPv6, last epoch", peerDomain, keyA, keyB, 1<<64-1, &disco.Pong{TxID: txid, Observed: v6, Size: 1452},
		"type", "02", "flags", "00", "transaction", txidHex, "address", address6, "size", "05ac", "padding", "0000")
	add("no candidates, reply wanted", peerDomain, keyA, keyB, 495252, &disco.Candidates{Sequence: 1782910799000000000, Reply: true},
		"type", "03", "flags", "01", "sequence", "18be2bece89a5600", "count", "00", "padding", zeros(25))
	add("two candidates", peerDomain, keyA, keyB, 495252, &disco.Candidates{Sequence: 1, Addrs: []netip.AddrPort{v4, v6}},
		"type", "03", "flags", "00", "sequence", "0000000000000001", "count", "02", "address", address4, "address", address6)

	r := func(name string, m disco.RelayMessage, typ, cookie, key, addr, vni, generation, status, seconds string) {
		m.TxID = txid
		a, b := keyA, keyB // client and relay
		if typ[0] == 'r' {
			a, b = keyB, keyA
		}
		add(name, relay, a, b, 495252, &m,
			"type", typ[1:], "flags", "00", "transaction", txidHex, "cookie", cookie, "key", key, "address", addr,
			"vni", vni, "generation", generation, "status", status, "seconds", seconds, "zero", "00")
	}
	cookie, other := [32]byte(unhex(tb, cookieHex)), disco.Key(unhex(tb, otherHex))
	noKey, noAddr, vni, noVNI, gen, noGen := zeros(32), zeros(18), "00ffeedd", "00000000", "0102030405060708", zeros(8)
	const generation = 0x0102030405060708
	r("register", disco.RelayMessage{Type: disco.TypeRegister},
		"c10", noKey, noKey, noAddr, noVNI, noGen, "00", "0000")
	r("challenge", disco.RelayMessage{Type: disco.TypeChallenge, Cookie: cookie},
		"r11", cookieHex, noKey, noAddr, noVNI, noGen, "00", "0000")
	r("registered", disco.RelayMessage{Type: disco.TypeRegistered, Cookie: cookie, Addr: v4, Generation: generation, Seconds: 90},
		"r12", cookieHex, noKey, address4, noVNI, gen, "00", "005a")
	r("allocate", disco.RelayMessage{Type: disco.TypeAllocate, Cookie: cookie, Key: other},
		"c13", cookieHex, otherHex, noAddr, noVNI, noGen, "00", "0000")
	r("allocated", disco.RelayMessage{Type: disco.TypeAllocated, Key: other, VNI: 0xffeedd, Generation: generation, Seconds: 30},
		"r14", noKey, otherHex, noAddr, vni, gen, "00", "001e")
	r("allocated, limit", disco.RelayMessage{Type: disco.TypeAllocated, Key: other, Status: disco.StatusLimit},
		"r14", noKey, otherHex, noAddr, noVNI, noGen, "03", "0000")
	r("bind", disco.RelayMessage{Type: disco.TypeBind, VNI: 0xffeedd, Generation: generation},
		"c15", noKey, noKey, noAddr, vni, gen, "00", "0000")
	r("bind challenge", disco.RelayMessage{Type: disco.TypeBindChallenge, Cookie: cookie, VNI: 0xffeedd, Generation: generation},
		"r16", cookieHex, noKey, noAddr, vni, gen, "00", "0000")
	r("bind answer", disco.RelayMessage{Type: disco.TypeBindAnswer, Cookie: cookie, VNI: 0xffeedd, Generation: generation},
		"c17", cookieHex, noKey, noAddr, vni, gen, "00", "0000")
	r("bound", disco.RelayMessage{Type: disco.TypeBound, Addr: v6, VNI: 0xffeedd, Generation: generation},
		"r18", noKey, noKey, address6, vni, gen, "00", "0000")
	r("unknown", disco.RelayMessage{Type: disco.TypeUnknown, VNI: 0xffeedd},
		"r19", noKey, noKey, noAddr, vni, noGen, "00", "0000")
	return cases
}
