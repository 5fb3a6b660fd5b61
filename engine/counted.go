// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"sync/atomic"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/metrics"
)

// handshakeCounters are what the WireGuard device counts.
type handshakeCounters struct {
	first, retry, response, cookie, initiator, responder, replayed counter
}

// A counter is a device.Counter.
type counter struct{ atomic.Int64 }

func (c *counter) Add(n int64) { c.Int64.Add(n) }

func (h *handshakeCounters) metrics() device.Metrics {
	return device.Metrics{
		MessageInitiationTXAttemptInitial: &h.first,
		MessageInitiationTXAttemptRetry:   &h.retry,
		MessageResponseTXAttempt:          &h.response,
		MessageCookieReplyTXAttempt:       &h.cookie,
		HandshakeInitiatorCompleted:       &h.initiator,
		HandshakeResponderCompleted:       &h.responder,
		MessageTransportRXDroppedReplay:   &h.replayed,
	}
}

func (h *handshakeCounters) snapshot() *metrics.Handshakes {
	return &metrics.Handshakes{
		InitiationsFirst: uint64(h.first.Load()), InitiationsRetry: uint64(h.retry.Load()),
		Responses: uint64(h.response.Load()), CookieReplies: uint64(h.cookie.Load()),
		CompletedInitiator: uint64(h.initiator.Load()), CompletedResponder: uint64(h.responder.Load()),
		Replayed: uint64(h.replayed.Load()),
	}
}

// deviceCounters are what the WireGuard device tells in its log only, by the formats of
// its lines.
type deviceCounters struct {
	keepalives                         counter // received
	source, version                    counter // of verified packets
	mac1, initiation, response, cookie counter
}

// Lines of the WireGuard device that stand for a packet.
const (
	formatKeepalive    = "%v - Receiving keepalive packet"
	formatSource4      = "IPv4 packet with disallowed source address from %v"
	formatSource6      = "IPv6 packet with disallowed source address from %v"
	formatVersion      = "Packet with invalid IP version from %v"
	formatMAC1         = "Received packet with invalid mac1"
	formatInitiation   = "Received invalid initiation message from %s"
	formatResponse     = "Received invalid response message from %s"
	formatCookie       = "Failed to decode cookie reply"
	formatCookieSecret = "Could not decrypt invalid cookie response"
)

// of returns what counts a line; nil: nothing does.
func (c *deviceCounters) of(format string) *counter {
	switch format {
	case formatKeepalive:
		return &c.keepalives
	case formatSource4, formatSource6:
		return &c.source
	case formatVersion:
		return &c.version
	case formatMAC1:
		return &c.mac1
	case formatInitiation:
		return &c.initiation
	case formatResponse:
		return &c.response
	case formatCookie, formatCookieSecret:
		return &c.cookie
	}
	return nil
}

// A deviceTally is a snapshot of what passed the WireGuard device. It is taken before
// anything else, so that what is under way is not counted as negative.
type deviceTally struct {
	out metrics.WireGuard // without what goes in
	// gone are the messages that came to an end inside, sent the packets that came out
	// encrypted.
	gone, sent uint64
}

func (e *Engine) deviceTally() *deviceTally {
	c := &e.devices
	at := func(n *counter) uint64 { return uint64(n.Load()) }
	t := &deviceTally{sent: e.bind.DataSent()}
	t.out.Keepalives = at(&c.keepalives)
	t.out.Dropped = []metrics.Count{{Name: "source", N: at(&c.source)}, {Name: "version", N: at(&c.version)}}
	t.out.HandshakeDropped = []metrics.Count{
		{Name: "mac1", N: at(&c.mac1)}, {Name: "initiation", N: at(&c.initiation)},
		{Name: "response", N: at(&c.response)}, {Name: "cookie", N: at(&c.cookie)},
	}
	t.gone = at(&e.counted.replayed) + t.out.Keepalives + t.out.Dropped[0].N + t.out.Dropped[1].N
	return t
}

// metrics completes the tally with what went in, which was read after it.
func (t *deviceTally) metrics(st *Stats) *metrics.WireGuard {
	out := t.out
	out.PacketsIn, out.PacketsOut = st.Hub.ToPeers, st.Hub.FromPeers
	out.PendingTransmit = int64(out.PacketsIn - t.sent)
	out.PendingReceive = int64(st.Network.RxMessages["transport"] - t.gone - out.PacketsOut)
	return &out
}

// linkMetrics is nil while the kernel does not tell.
func (e *Engine) linkMetrics() *metrics.Link {
	if e.link == nil {
		return nil
	}
	s, ok := e.link.Latest()
	if !ok {
		return nil
	}
	return &metrics.Link{
		RxPackets: s.RxPackets, TxPackets: s.TxPackets, RxBytes: s.RxBytes, TxBytes: s.TxBytes,
		RxErrors: s.RxErrors, TxErrors: s.TxErrors, RxDropped: s.RxDropped, TxDropped: s.TxDropped,
		Multicast: s.Multicast, Collisions: s.Collisions, RxNoHandler: s.RxNoHandler,
		RxErrorsBy: []metrics.Count{
			{Name: "length", N: s.RxLengthErrors}, {Name: "over", N: s.RxOverErrors}, {Name: "crc", N: s.RxCRCErrors},
			{Name: "frame", N: s.RxFrameErrors}, {Name: "fifo", N: s.RxFIFOErrors}, {Name: "missed", N: s.RxMissedErrors},
		},
		TxErrorsBy: []metrics.Count{
			{Name: "aborted", N: s.TxAbortedErrors}, {Name: "carrier", N: s.TxCarrierErrors}, {Name: "fifo", N: s.TxFIFOErrors},
			{Name: "heartbeat", N: s.TxHeartbeatErrors}, {Name: "window", N: s.TxWindowErrors},
		},
	}
}
