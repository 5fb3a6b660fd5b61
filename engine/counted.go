// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net"
	"sync/atomic"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/internal/hostnet"
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

// openLink begins to watch what the kernel counts for the TUN, where there is one.
func (e *Engine) openLink() {
	if e.netdev != nil || e.opts.Elsewhere || e.tun.File() == nil {
		return
	}
	link, err := net.InterfaceByName(e.name)
	if err != nil {
		return // gone already: the router is about to end
	}
	if e.link, err = hostnet.NewLinkWatch(link.Index); err != nil {
		e.link = nil
		e.log.Info("the kernel does not tell what it counts for the tunnel interface", "err", err)
	}
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
