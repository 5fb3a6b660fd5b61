// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/tunrouter/tunrouter/batching"
)

// sendErrors counts packets to one peer that did not leave, and remembers the
// last cause so that a change is logged once.
type sendErrors struct {
	noAddress atomic.Uint64 // no address is known
	closed    atomic.Uint64 // no socket of the family is open
	refused   atomic.Uint64 // the kernel refused
	cause     atomic.Int32  // errno of the last refusal, 0 after a success
	late      atomic.Int32  // errno of the last loss of packets held back
}

// failed notes that n packets were refused with err, and reports whether that
// is news.
func (s *sendErrors) failed(n int, err error) (news bool) {
	s.refused.Add(uint64(n))
	return isNews(&s.cause, err)
}

// lostLate notes that packets held back were lost because of err, and reports
// whether that is news. Nothing tells when it ends, so it is news once for each
// cause.
func (s *sendErrors) lostLate(err error) (news bool) { return isNews(&s.late, err) }

func isNews(cause *atomic.Int32, err error) bool {
	errno := syscall.Errno(1)
	errors.As(err, &errno)
	return cause.Load() != int32(errno) && cause.Swap(int32(errno)) != int32(errno)
}

// EndpointStats are the counters of one peer.
type EndpointStats struct {
	// TxPackets and TxBytes count WireGuard messages that left, by UDP payload;
	// with batching.Options.FlushTimeout those that wait for others included. The
	// socket counts those of them that were lost.
	TxPackets, TxBytes uint64
	// RxAuthentic counts transport messages that were verified and are no replays.
	RxAuthentic uint64
	// Paths are the messages by the kind of path, but for those sent again.
	Paths ClassTraffic
	// TxAgain counts messages sent a second time, over another path, while the one in
	// use was in doubt.
	TxAgain uint64
	// Roams counts moves to another address, the first included.
	Roams uint64
	// SourcesReleased counts sticky sources let go.
	SourcesReleased uint64
	// Messages that did not leave: no address known, no socket open, refused by
	// the kernel.
	DroppedNoAddress, DroppedClosed, DroppedRefused uint64
}

// Stats returns a snapshot of the counters of the peer.
func (e *Endpoint) Stats() EndpointStats {
	var own peerSums
	own.add(&e.accounts)
	packets, bytes := e.accounts.tx.totals()
	return EndpointStats{
		TxPackets:        packets,
		TxBytes:          bytes,
		RxAuthentic:      own.authentic,
		Paths:            own.by,
		TxAgain:          e.again.Load(),
		Roams:            e.roams.Load(),
		SourcesReleased:  e.released.Load(),
		DroppedNoAddress: e.sendErrs.noAddress.Load(),
		DroppedClosed:    e.sendErrs.closed.Load(),
		DroppedRefused:   e.sendErrs.refused.Load(),
	}
}

// Stats are the counters of a [Bind].
type Stats struct {
	// RxPackets counts WireGuard messages handed to the device, RxMessages them by
	// type: initiation, response, cookie_reply, transport. RxAuthentic are those
	// transport messages that were verified and are no replays.
	RxPackets   uint64
	RxMessages  map[string]uint64
	RxAuthentic uint64
	// TxMessages counts what the device gave to be sent: initiation, response,
	// cookie_reply, keepalive, data.
	TxMessages map[string]uint64
	// TxNoAddress and TxClosed count messages that did not leave because no address
	// is known, or no socket open; TxRefused what no socket took, by reason as
	// batching.TxStats, discovery included. One that left for another source address
	// or over another path in the end is in none of them.
	TxNoAddress, TxClosed uint64
	TxRefused             map[string]uint64
	// Paths are the messages of all peers by the kind of path.
	Paths ClassTraffic
	// Totals are the drops of all sockets there were.
	Totals SocketTotals
	// RxDropped counts datagrams that went no further, by reason: too_short,
	// unknown_type, bad_length, bad_geneve, unknown_vni, disco_unknown,
	// disco_queue_full.
	RxDropped map[string]uint64
	// RxErrors counts failed reads of a socket.
	RxErrors uint64
	// Groups holds one entry for each address family that is open.
	Groups []GroupStats
	// Sockets holds one entry for each open socket, by family and index.
	Sockets []SocketStats
	// Underlay holds one entry for each queue of the underlay while the Bind is
	// open.
	Underlay []SocketStats
}

// GroupStats says how many sockets of a family there are.
type GroupStats struct {
	// Network is "udp4" or "udp6".
	Network string
	// Asked is how many sockets there should be, Got how many there are: fewer
	// where the kernel does not share ports or has no descriptors left.
	Asked, Got int
}

// SocketStats are the counters of one open socket, or of one queue of an underlay.
type SocketStats struct {
	// Network is "udp4", "udp6", or "xdp" for a queue of an underlay.
	Network string
	// Index tells the sockets of one family apart, or says which queue it is, from 0.
	Index int
	// Local is the address that the socket is bound to.
	Local netip.AddrPort
	// GSO and GRO tell whether segmented messages are sent and received, Reasons
	// why not.
	GSO, GRO bool
	Reasons  []string
	batching.Stats
}

// Stats returns a snapshot of the counters of b. It costs no lock on the packet
// path.
func (b *Bind) Stats() Stats {
	sums := b.sums()
	s := Stats{
		RxMessages:  make(map[string]uint64, numMessages-1),
		RxAuthentic: sums.authentic,
		RxErrors:    b.rx.errors.Load(),
		RxDropped:   make(map[string]uint64, numDropReasons-1),
		TxMessages:  b.handed(&sums),
		TxNoAddress: b.tx.noAddress.Load(),
		TxClosed:    b.tx.closed.Load(),
		TxRefused:   make(map[string]uint64, len(refusals)),
		Paths:       sums.by,
		Totals:      b.ledger.totals(),
	}
	for i, reason := range refusals {
		s.TxRefused[reason] = b.tx.refused[i].Load()
	}
	for m := messageInvalid + 1; m < numMessages; m++ {
		n := b.rx.messages[m].Load()
		s.RxMessages[messageNames[m]] = n
		s.RxPackets += n
	}
	for r := dropNone + 1; r < numDropReasons; r++ {
		s.RxDropped[dropReasonNames[r]] = b.rx.dropped[r].Load()
	}
	if socks := b.socks.Load(); socks != nil {
		s.addGroup("udp4", socks, socks.v4)
		s.addGroup("udp6", socks, socks.v6)
		for i, m := range socks.past {
			s.Underlay = append(s.Underlay, statsOf("xdp", i, m))
		}
	}
	return s
}

func (s *Stats) addGroup(network string, socks *sockets, members []socket) {
	if len(members) == 0 {
		return
	}
	s.Groups = append(s.Groups, GroupStats{Network: network, Asked: socks.asked, Got: len(members)})
	for i, m := range members {
		s.Sockets = append(s.Sockets, statsOf(network, i, m))
	}
}

func statsOf(network string, index int, m socket) SocketStats {
	out := SocketStats{Network: network, Index: index, Local: m.LocalAddr()}
	if c, ok := m.(interface{ Stats() batching.Stats }); ok {
		out.Stats = c.Stats()
	}
	if c, ok := m.(interface {
		Capabilities() (gso, gro bool, reasons []string)
	}); ok {
		out.GSO, out.GRO, out.Reasons = c.Capabilities()
	}
	return out
}

// rxCounters count what arrived, over all receive functions of a Bind.
type rxCounters struct {
	messages [numMessages]atomic.Uint64 // handed to the device
	errors   atomic.Uint64
	dropped  [numDropReasons]atomic.Uint64
}

// shortKey returns the first bytes of a public key as text.
func shortKey(k Key) string {
	return base64.StdEncoding.EncodeToString(k[:])[:8] + "…"
}
