// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

const (
	// maxPending is how many datagrams wait for a socket to open or a name to
	// be found: a request, its repetitions and some.
	maxPending = 16
	// maxOpening is how many sockets may be opening or closing besides those of
	// the flows in the table.
	maxOpening = 256
	// maxOpeningClient is how many of them one client may have, so that others
	// get through beside one that opens flow after flow.
	maxOpeningClient = 64
)

// beyond returns limit and some, no limit for none.
func beyond(limit, some int) int {
	if limit <= 0 {
		return -1
	}
	return limit + some
}

// hostKey is a flow between a peer in the tunnel and the address it sent to.
type hostKey struct{ source, destination netip.AddrPort }

type hostFlowTable = flowTable[hostKey, *hostFlow]

// hostFlows carry what peers in the tunnel send to the host's network, from a
// connected socket for each flow, and the answers back. The socket belongs to a
// goroutine that opens it, reads it and closes it; there is no other.
type hostFlows struct {
	// Immutable.
	net    udpNet
	host   *udpHost
	count  *counters
	wg     *sync.WaitGroup // goroutines of flows
	dial   func(ctx context.Context, k hostKey) (*udpSocket, error)
	admit  func(k hostKey) (client any, ok bool)          // whose flow it is, nil: counted in the total only; not ok: refused
	silent func(destination netip.AddrPort) time.Duration // how long a flow may be; 0: for ever
	table  *hostFlowTable
	live   *peerLimits // goroutines, those of flows that have ended included

	ctx atomic.Pointer[context.Context] // nil until run
}

// udpNet is the network in the tunnel, which *netstack.Net is.
type udpNet interface {
	SendDatagrams(d *netstack.Datagrams) (int, error)
	SendUnreachable(d *netstack.Datagrams) error
}

// A hostFlow is a socket of the host, or what waits for it.
type hostFlow struct {
	mu      sync.Mutex // guards below
	ended   bool
	failed  bool       // there will be no socket
	socket  *udpSocket // nil while it is being opened
	pending [][]byte
}

// newHostFlows completes f, whose fields without table, live and ctx are set.
func newHostFlows(f *hostFlows, l Limits) *hostFlows {
	f.table = newFlowTable(l, f.end)
	f.live = newPeerLimits(Limits{}, beyond(f.table.total, maxOpening), beyond(f.table.perClient, maxOpeningClient))
	return f
}

// end makes the goroutine of the flow end. What waits for its socket is not sent.
func (h *hostFlows) end(f *flow[hostKey, *hostFlow]) {
	v := f.value
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	h.count.dropSend.Add(uint64(len(v.pending)))
	v.pending = nil
	if v.socket != nil {
		v.socket.wake() // closing it here would wait for its reader
	}
}

// run carries datagrams until ctx ends. All sockets are closed when wg is done.
func (h *hostFlows) run(ctx context.Context) {
	h.ctx.Store(&ctx)
	h.table.run(ctx)
}

// take is called with datagrams from the tunnel, by the goroutine that delivers
// them. It never waits. It returns false when the sender is to be told that nobody
// listens there.
func (h *hostFlows) take(d *netstack.Datagrams, now time.Duration) (alive bool) {
	k := hostKey{d.Source, d.Destination}
	f := h.table.get(k, now)
	if f == nil {
		client, ok := h.admit(k)
		if !ok {
			return false
		}
		if f = h.open(k, client, now); f == nil {
			h.count.dropFull.Add(uint64(len(d.Payloads)))
			return true
		}
	}
	v := f.value
	v.mu.Lock()
	s := v.socket
	if s == nil {
		h.waitLocked(v, d.Payloads)
		v.mu.Unlock()
		return true
	}
	v.mu.Unlock()
	return h.send(s, d.Payloads)
}

// waitLocked keeps copies of payloads until the socket is there.
func (h *hostFlows) waitLocked(v *hostFlow, payloads [][]byte) {
	if v.failed {
		h.count.dropSend.Add(uint64(len(payloads)))
		return
	}
	room := maxPending - len(v.pending)
	if v.ended {
		room = 0
	}
	if len(payloads) > room {
		h.count.dropFull.Add(uint64(len(payloads) - room))
		payloads = payloads[:room]
	}
	for _, p := range payloads {
		v.pending = append(v.pending, slices.Clone(p))
	}
}

// send reports false when the target refused what was sent before.
func (h *hostFlows) send(s *udpSocket, payloads [][]byte) bool {
	n, err := s.send(nil, payloads, netip.AddrPort{})
	h.count.received(payloads, n)
	if isRefused(err) {
		h.count.dial[dialRefused].Add(1)
		return false
	}
	return true
}

// open makes a flow and starts its goroutine.
func (h *hostFlows) open(k hostKey, client any, now time.Duration) *flow[hostKey, *hostFlow] {
	ctx := h.ctx.Load()
	if ctx == nil || !h.live.acquire(client) {
		return nil
	}
	f, made := h.table.add(k, client, h.silent(k.destination), now, func() *hostFlow {
		h.wg.Add(1) // before the table can be closed, and so before anybody waits
		return &hostFlow{}
	})
	if !made {
		h.live.release(client)
		return f
	}
	h.count.accepted.Add(1)
	go h.serve(*ctx, f)
	return f
}

// serve opens the socket of f and carries the answers until the flow ends.
func (h *hostFlows) serve(ctx context.Context, f *flow[hostKey, *hostFlow]) {
	defer h.wg.Done()
	defer h.live.release(f.client)
	defer h.table.remove(f)
	back := netstack.Datagrams{Source: f.key.destination, Destination: f.key.source}
	s, err := h.dial(ctx, f.key)
	if err != nil {
		if ctx.Err() == nil {
			h.count.dial[dialFailureOf(err)].Add(1)
			h.count.dropSend.Add(uint64(f.value.drop()))
			h.refuse(f.key)
		}
		return
	}
	defer s.Close()
	if !h.ready(f, s) {
		return
	}
	answer := func(_ netip.AddrPort, payloads [][]byte) {
		f.seen.Store(int64(h.table.now()))
		back.Payloads = payloads
		n, _ := h.net.SendDatagrams(&back) // what is lost is counted
		h.count.sent(payloads, n)
	}
	for {
		bad, err := s.read(answer)
		h.count.dropMalformed.Add(uint64(bad))
		switch {
		case err == nil:
		case isRefused(err):
			h.count.dial[dialRefused].Add(1)
			h.refuse(f.key)
		default:
			return
		}
	}
}

// ready sends what waited for s and makes s the socket of f, unless f has ended.
func (h *hostFlows) ready(f *flow[hostKey, *hostFlow], s *udpSocket) bool {
	v := f.value
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return false
	}
	if len(v.pending) > 0 {
		h.send(s, v.pending) // what is refused shows when reading or sending more
	}
	v.pending = nil
	v.socket = s
	return true
}

// drop forgets what waits, and returns how many that were.
func (v *hostFlow) drop() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.pending)
	v.pending = nil
	v.ended, v.failed = true, true
	return n
}

// refuse tells the peer that nobody listens where it sends to.
func (h *hostFlows) refuse(k hostKey) {
	_ = h.net.SendUnreachable(&netstack.Datagrams{ // best effort, as all of ICMP
		Source: k.source, Destination: k.destination, Payloads: [][]byte{nil},
	})
}

// sent counts datagrams for the tunnel, of which the first n went through.
func (c *counters) sent(payloads [][]byte, n int) {
	c.datagramsOut.Add(uint64(n))
	c.bytesOut.Add(size(payloads[:n]))
	if n < len(payloads) {
		c.dropSend.Add(uint64(len(payloads) - n))
	}
}

// received does so for datagrams from the tunnel.
func (c *counters) received(payloads [][]byte, n int) {
	c.datagramsIn.Add(uint64(n))
	c.bytesIn.Add(size(payloads[:n]))
	if n < len(payloads) {
		c.dropSend.Add(uint64(len(payloads) - n))
	}
}

func size(payloads [][]byte) (n uint64) {
	for _, p := range payloads {
		n += uint64(len(p))
	}
	return n
}
