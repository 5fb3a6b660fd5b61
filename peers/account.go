// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"slices"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/device"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/peers/path"
)

// Every message that the device gives to be sent, and every one that it is given, is
// counted by what it is and once by what became of it. wireguard-go drops messages
// without a word; what it takes and gives here tells how many.

// A sent is what a message to be sent is.
type sent uint8

const (
	sentInitiation sent = iota
	sentResponse
	sentCookieReply
	sentKeepalive
	sentData // a packet of the tunnel
	numSent
)

// transports counts the messages of a batch that are packets of the tunnel; the others
// are keepalives.
func transports(bufs [][]byte, offset int) (data uint64) {
	for _, buf := range bufs {
		if len(buf)-offset > device.MessageKeepaliveSize {
			data++
		}
	}
	return data
}

// refusals are the reasons of [batching.SendReason].
var refusals = [...]string{"too_long", "no_buffers", "denied", "unreachable", "source", "closed", "other"}

// txCounters count messages to be sent, over all peers.
type txCounters struct {
	handed    [numSent]atomic.Uint64 // but for keepalives and data, which the peers count
	noAddress atomic.Uint64
	closed    atomic.Uint64
	refused   [len(refusals)]atomic.Uint64
}

// refuse counts messages that no socket took because of err.
func (c *txCounters) refuse(n int, err error) {
	if i := slices.Index(refusals[:], batching.SendReason(err)); i >= 0 {
		c.refused[i].Add(uint64(n))
	}
}

// A class is a kind of path: direct or over a relay, by the family of the outer
// packets.
type class uint8

const (
	direct4 class = iota
	direct6
	relay4
	relay6
	numClasses
)

func classOf(p path.Path) class {
	c := direct4
	if p.VNI.IsSet() {
		c = relay4
	}
	if p.Addr.Addr().Unmap().Is6() {
		c++
	}
	return c
}

// traffic counts messages by the kind of path. One goroutine writes it, as a rule.
type traffic [numClasses]struct{ packets, bytes atomic.Uint64 }

func (t *traffic) add(c class, packets int, bytes uint64) {
	t[c].packets.Add(uint64(packets))
	t[c].bytes.Add(bytes)
}

func (t *traffic) totals() (packets, bytes uint64) {
	for i := range t {
		packets += t[i].packets.Load()
		bytes += t[i].bytes.Load()
	}
	return packets, bytes
}

// accounts are what one peer was sent and was heard saying.
type accounts struct {
	_               [cacheLine]byte
	tx              traffic
	data, keepalive atomic.Uint64 // that the device gave to be sent
	_               [cacheLine]byte
	rx              traffic       // not verified yet
	authentic       atomic.Uint64 // transport messages that were verified and are no replays
}

// handed counts transport messages that the device gave to be sent.
func (a *accounts) handed(bufs [][]byte, offset int) {
	data := transports(bufs, offset)
	a.data.Add(data)
	if rest := uint64(len(bufs)) - data; rest > 0 {
		a.keepalive.Add(rest)
	}
}

// cacheLine separates what the sender and the receiver of a peer write: amd64 fetches
// lines in pairs.
const cacheLine = 128

// A peerSums is a snapshot of accounts, of one peer or of several.
type peerSums struct {
	data, keepalive, authentic uint64
	by                         ClassTraffic
}

func (s *peerSums) add(a *accounts) {
	s.data += a.data.Load()
	s.keepalive += a.keepalive.Load()
	s.authentic += a.authentic.Load()
	for c := range s.by {
		t := &s.by[c]
		t.TxPackets += a.tx[c].packets.Load()
		t.TxBytes += a.tx[c].bytes.Load()
		t.RxPackets += a.rx[c].packets.Load()
		t.RxBytes += a.rx[c].bytes.Load()
	}
}

// ClassTraffic are WireGuard messages by the kind of path that they took: direct over
// IPv4, direct over IPv6, relayed over IPv4, relayed over IPv6. Received ones came from
// where a peer was heard before, and are not verified; the first from a new address are
// missing.
type ClassTraffic [numClasses]PathTraffic

// Class returns what the kind at an index of [ClassTraffic] is.
func Class(i int) (relayed, ipv6 bool) { return class(i) >= relay4, class(i)&1 != 0 }

// sums adds up all peers, those that were removed included.
func (b *Bind) sums() peerSums {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.gone
	for _, e := range b.table {
		s.add(&e.accounts)
	}
	return s
}

// DataSent returns how many packets of the tunnel the device gave to be sent, so far.
func (b *Bind) DataSent() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n := b.gone.data
	for _, e := range b.table {
		n += e.accounts.data.Load()
	}
	return n
}

// handed returns what the device gave to be sent, by kind.
func (b *Bind) handed(s *peerSums) map[string]uint64 {
	at := func(i sent) uint64 { return b.tx.handed[i].Load() }
	return map[string]uint64{
		"initiation": at(sentInitiation), "response": at(sentResponse), "cookie_reply": at(sentCookieReply),
		"keepalive": s.keepalive, "data": s.data,
	}
}
