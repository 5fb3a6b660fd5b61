// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// maxHandshakes is how many requests and handshakes are under way at a
	// time, unless Transit.MaxHandshakes says otherwise. A half-open connection
	// is 10 KiB: endpoint, timer, goroutine.
	maxHandshakes = 4096
	// clientPrefix is how much of an IPv6 address tells clients apart. A host
	// has all addresses of a /64 (RFC 4291, 2.5.4).
	clientPrefix = 64
	// closePoll is how often end looks for handshakes it has to end: one that
	// begins just then misses what it was told before.
	closePoll = time.Millisecond
)

// TCPRequestStats is what became of requests to connect.
type TCPRequestStats struct {
	Requests uint64 // handed to a handler
	Accepted uint64 // became connections
	Refused  uint64 // answered with a reset
	Ignored  uint64 // by the handler, or because the port or device was closed
	Failed   uint64 // accepted, but the client did not finish the handshake
	Pending  int    // requests and handshakes under way now

	DropsLimit  uint64 // beyond the limit of all: 4096, or Transit.MaxHandshakes
	DropsClient uint64 // beyond three quarters of it for one client
}

// requestCounters are written once per request.
type requestCounters struct {
	requests, accepted, refused, ignored, failed atomic.Uint64
	dropsLimit, dropsClient                      atomic.Uint64
}

// handshakes are the requests to connect that one stack has for handlers, until
// they are answered. It counts them itself: the stack's forwarder bounds them
// all together only, so that one client that finishes no handshake would keep
// out all.
type handshakes struct {
	requestCounters

	// Immutable after the first packet.
	stack     *stack.Stack
	forwarder *tcp.Forwarder // makes endpoints of requests
	take      func(stack.TransportEndpointID, *stack.PacketBuffer) bool
	timeout   time.Duration // handshakeTimeout, less in tests

	mu      sync.Mutex // guards below
	closed  bool
	pending map[stack.TransportEndpointID]*TCPRequest
	clients map[netip.Addr]int // how many of pending are theirs
}

func (h *handshakes) init() {
	h.timeout = handshakeTimeout
	h.pending = make(map[stack.TransportEndpointID]*TCPRequest)
	h.clients = make(map[netip.Addr]int)
}

// attach makes s call take, before the first packet, with each TCP packet that
// no endpoint wants. take reports whether it took the packet; s answers others
// with a reset. It must not block. window is the first receive window.
func (h *handshakes) attach(s *stack.Stack, window int, take func(stack.TransportEndpointID, *stack.PacketBuffer) bool) {
	h.stack, h.take = s, take
	h.forwarder = tcp.NewForwarder(s, window, math.MaxInt, h.serve)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, take)
}

// connects reports whether pkt asks for a connection.
func connects(pkt *stack.PacketBuffer) bool {
	b := header.TCP(pkt.TransportHeader().Slice())
	return len(b) >= header.TCPMinimumSize && b.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn
}

// request starts the goroutine of r for the request in pkt, or counts why not.
// It reports whether pkt is taken, as take does.
func (h *handshakes) request(id stack.TransportEndpointID, pkt *stack.PacketBuffer, r *TCPRequest, limit int) bool {
	r.Source = netip.AddrPortFrom(fromAddress(id.RemoteAddress), id.RemotePort)
	r.Destination = netip.AddrPortFrom(fromAddress(id.LocalAddress), id.LocalPort)
	r.handshakes = h
	if !h.add(id, r, limit) {
		r.release()
		return true
	}
	if !h.forwarder.HandlePacket(id, pkt) { // calls serve
		h.remove(id)
		r.release()
		return false
	}
	h.requests.Add(1)
	return true
}

// serve is the goroutine of one request.
func (h *handshakes) serve(inner *tcp.ForwarderRequest) {
	r := h.start(inner)
	defer r.release()
	defer r.Ignore() // unless it is answered
	r.handler(r)
}

// add makes r pending, or counts why not.
func (h *handshakes) add(id stack.TransportEndpointID, r *TCPRequest, limit int) bool {
	client := clientOf(r.Source.Addr())
	h.mu.Lock()
	defer h.mu.Unlock()
	switch _, twice := h.pending[id]; {
	case twice, h.closed:
		return false
	case len(h.pending) >= limit:
		h.dropsLimit.Add(1)
		return false
	case h.clients[client] >= limit-limit/4:
		h.dropsClient.Add(1)
		return false
	}
	h.pending[id] = r
	h.clients[client]++
	return true
}

// start gives the pending request to its goroutine.
func (h *handshakes) start(inner *tcp.ForwarderRequest) *TCPRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.pending[inner.ID()]
	r.inner = inner
	return r
}

// waits says that r waits for its client with wq.
func (h *handshakes) waits(r *TCPRequest, wq *waiter.Queue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.wq = wq
}

func (h *handshakes) remove(id stack.TransportEndpointID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.pending[id]
	delete(h.pending, id)
	client := clientOf(r.Source.Addr())
	if h.clients[client]--; h.clients[client] == 0 {
		delete(h.clients, client)
	}
}

// close ends all requests, now and later. It returns when the stack has none any
// more, though handlers may still run.
func (h *handshakes) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end(nil)
}

// end does so with those of p, of which no more come; nil means all.
func (h *handshakes) end(p *TCPPort) {
	for {
		h.mu.Lock()
		var open []*TCPRequest
		left := 0
		for _, r := range h.pending {
			if p != nil && r.port != p {
				continue
			}
			left++
			r.ended.Store(true)
			if r.wq != nil {
				r.wq.Notify(waiter.WritableEvents) // Accept gives up
			} else if r.inner != nil {
				open = append(open, r)
			}
		}
		h.mu.Unlock()
		if left == 0 {
			return
		}
		for _, r := range open {
			r.Ignore()
		}
		time.Sleep(closePoll)
	}
}

// clientOf returns what counts as one client.
func clientOf(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(clientPrefix); err == nil {
			return p.Addr()
		}
	}
	return a
}

// stats returns the counters.
func (h *handshakes) stats() TCPRequestStats {
	h.mu.Lock()
	pending := len(h.pending)
	h.mu.Unlock()
	return TCPRequestStats{
		Requests:    h.requests.Load(),
		Accepted:    h.accepted.Load(),
		Refused:     h.refused.Load(),
		Ignored:     h.ignored.Load(),
		Failed:      h.failed.Load(),
		Pending:     pending,
		DropsLimit:  h.dropsLimit.Load(),
		DropsClient: h.dropsClient.Load(),
	}
}
