// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

const (
	// echoTimeout is how long an answer is waited for. ping(8) gives up after 10 s.
	echoTimeout = 10 * time.Second
	// echoSlots is how many requests without an answer there may be in a family.
	echoSlots = 4096
	// echoRemembered is how many sequence numbers may be in use or have been so
	// less than echoTimeout ago: fewer than there are.
	echoRemembered = 32768
	// echoSlotsPeer is how many of them a peer may have by default.
	echoSlotsPeer = 64
	// echoRetry is how long after a socket could not be opened it is tried again.
	echoRetry = 30 * time.Second
	// echoQueue is how many requests may wait to be sent.
	echoQueue = 64
	// echoHeader is the length of the header of an echo request or reply: type,
	// code, checksum, identifier, sequence number.
	echoHeader = 8
)

// EchoCounters are counters of ICMP echo.
type EchoCounters struct {
	Requests uint64 // sent to the host's network
	Replies  uint64 // handed back to peers

	NotPermitted uint64 // requests dropped because there is no socket to send them from
	Malformed    uint64 // messages that are no echo requests
	Full         uint64 // requests beyond the limits
	Send         uint64 // requests or replies that the system or the stack did not take
	Unexpected   uint64 // replies that nobody waits for, or no more
}

type echoCounters struct {
	requests, replies, notPermitted, malformed, full, send, unexpected atomic.Uint64
}

// An echoRouter sends echo requests of peers from two sockets, one for each
// family. The kernel chooses the identifier of an unprivileged socket, so that
// requests are told apart by their sequence numbers, which are replaced, as are
// identifiers.
type echoRouter struct {
	r          *SubnetRouter
	each       int // requests a peer may have under way
	total      int
	count      echoCounters
	open       func(is6 bool) (echoSocket, error)
	four, six  echoFamily
	loggedOnce sync.Once
}

// echoSocket sends and receives ICMP messages of one family, from the type on.
// write fills in what the kernel does not.
type echoSocket interface {
	write(message []byte, to netip.Addr) error
	read(b []byte) (n int, from netip.Addr, err error)
	// mine reports whether identifier is that of the socket.
	mine(identifier uint16) bool
	Close() error
}

// An echoFamily is the socket of one family and what is under way through it.
type echoFamily struct {
	mu      sync.Mutex // guards below
	closed  bool
	socket  echoSocket // nil: not open
	queue   chan echoRequest
	retryAt time.Time // not before
	next    uint16    // sequence number
	slots   map[uint16]*echoSlot
	oldest  []uint16 // sequence numbers of slots, oldest first, answered ones included
	peers   map[any]int
}

// An echoSlot is a request that waits for its answer.
type echoSlot struct {
	peer               any
	source, to         netip.Addr
	identifier, number uint16
	until              time.Time
}

// An echoRequest is a message to send.
type echoRequest struct {
	message []byte
	to      netip.Addr
}

func newEchoRouter(r *SubnetRouter, l Limits) *echoRouter {
	e := &echoRouter{r: r, each: l.PerClient, total: l.Total, open: openEcho}
	if e.each == 0 {
		e.each = echoSlotsPeer
	}
	if e.total <= 0 || e.total > echoSlots {
		e.total = echoSlots
	}
	return e
}

func (e *echoRouter) counters() EchoCounters {
	c := &e.count
	return EchoCounters{
		Requests: c.requests.Load(), Replies: c.replies.Load(),
		NotPermitted: c.notPermitted.Load(), Malformed: c.malformed.Load(), Full: c.full.Load(),
		Send: c.send.Load(), Unexpected: c.unexpected.Load(),
	}
}

// take is called with the echo requests of peers by the goroutine that delivers
// them. It does not wait.
func (e *echoRouter) take(q *netstack.Echo) bool {
	if len(q.Message) < echoHeader || q.Message[0] != echoRequestType(q.Destination.Is6()) || q.Message[1] != 0 {
		e.count.malformed.Add(1)
		return false
	}
	peer, ok := e.r.admit(q.Source, q.Destination)
	if !ok {
		return false
	}
	f := &e.four
	if q.Destination.Is6() {
		f = &e.six
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !e.readyLocked(f, q.Destination.Is6(), now) {
		e.count.notPermitted.Add(1)
		return false
	}
	number, ok := f.reserveLocked(e, peer, now)
	if !ok {
		e.count.full.Add(1)
		return false
	}
	message := slices.Clone(q.Message)
	f.slots[number] = &echoSlot{
		peer: peer, source: q.Source, to: q.Destination,
		identifier: be16(message[4:]), number: be16(message[6:]), until: now.Add(echoTimeout),
	}
	putBE16(message[6:], number)
	select {
	case f.queue <- echoRequest{message, q.Destination}:
		return true
	default:
		f.freeLocked(number)
		e.count.full.Add(1)
		return false
	}
}

// reserveLocked returns a sequence number for a request of peer.
func (f *echoFamily) reserveLocked(e *echoRouter, peer any, now time.Time) (uint16, bool) {
	for len(f.oldest) > 0 {
		s := f.slots[f.oldest[0]]
		if s != nil && now.Before(s.until) {
			break
		}
		if s != nil {
			f.freeLocked(f.oldest[0])
		}
		f.oldest = f.oldest[1:]
	}
	if len(f.oldest) >= echoRemembered || len(f.slots) >= e.total || e.each > 0 && f.peers[peer] >= e.each {
		return 0, false
	}
	f.next++ // free: there are more numbers than slots
	f.oldest = append(f.oldest, f.next)
	f.peers[peer]++
	return f.next, true
}

// freeLocked gives the slot of number back.
func (f *echoFamily) freeLocked(number uint16) {
	s := f.slots[number]
	delete(f.slots, number)
	if f.peers[s.peer]--; f.peers[s.peer] <= 0 {
		delete(f.peers, s.peer)
	}
}

// readyLocked opens the socket if it is not.
func (e *echoRouter) readyLocked(f *echoFamily, is6 bool, now time.Time) bool {
	if f.socket != nil {
		return true
	}
	if f.closed || now.Before(f.retryAt) {
		return false
	}
	if _, ok := e.r.begin(); !ok {
		return false
	}
	s, err := e.open(is6)
	if err != nil {
		e.r.work.Done()
		f.retryAt = now.Add(echoRetry)
		e.loggedOnce.Do(func() { logEcho(e.r.log, err) })
		return false
	}
	f.socket = s
	queue, gone := make(chan echoRequest, echoQueue), make(chan struct{})
	f.queue = queue
	f.slots, f.peers = make(map[uint16]*echoSlot), make(map[any]int)
	e.r.work.Add(1) // after that of begin
	go func() {
		defer e.r.work.Done()
		e.send(gone, s, queue)
	}()
	go func() {
		defer e.r.work.Done()
		defer close(gone)
		e.receive(f, s, is6)
	}()
	return true
}

func logEcho(log *slog.Logger, err error) {
	if errors.Is(err, fs.ErrPermission) {
		log.Warn("echo requests of peers are dropped: no permission to send any; "+
			"allow it with: sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"", "err", err)
		return
	}
	log.Warn("echo requests of peers are dropped", "err", err)
}

// send sends requests until done.
func (e *echoRouter) send(done <-chan struct{}, s echoSocket, queue <-chan echoRequest) {
	for {
		select {
		case <-done:
			return
		case q := <-queue:
			if s.write(q.message, q.to) != nil {
				e.count.send.Add(1) // no way to the target, or no room
				continue
			}
			e.count.requests.Add(1)
		}
	}
}

// receive hands answers back until s is closed.
func (e *echoRouter) receive(f *echoFamily, s echoSocket, is6 bool) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := s.read(b)
		if err != nil {
			f.mu.Lock()
			closed := f.closed
			if !closed { // it is opened anew for the next request
				f.socket = nil
			}
			f.mu.Unlock()
			if !closed {
				_ = s.Close()
			}
			return
		}
		e.answer(f, s, b[:n], from, is6)
	}
}

// answer hands message back to whom it is for.
func (e *echoRouter) answer(f *echoFamily, s echoSocket, message []byte, from netip.Addr, is6 bool) {
	if len(message) < echoHeader || message[0] != echoReplyType(is6) || !s.mine(be16(message[4:])) {
		return // a socket with privileges gets those of others too
	}
	number := be16(message[6:])
	f.mu.Lock()
	slot := f.slots[number]
	if slot == nil || slot.to != from || time.Now().After(slot.until) {
		f.mu.Unlock()
		e.count.unexpected.Add(1)
		return
	}
	f.freeLocked(number)
	f.mu.Unlock()
	putBE16(message[4:], slot.identifier)
	putBE16(message[6:], slot.number)
	if e.r.net.SendEchoReply(slot.to, slot.source, message) != nil {
		e.count.send.Add(1)
		return
	}
	e.count.replies.Add(1)
}

// close closes the sockets.
func (e *echoRouter) close() {
	for _, f := range []*echoFamily{&e.four, &e.six} {
		f.mu.Lock()
		if !f.closed && f.socket != nil {
			_ = f.socket.Close()
		}
		f.closed = true
		f.mu.Unlock()
	}
}

func echoRequestType(is6 bool) byte {
	if is6 {
		return 128
	}
	return 8
}

func echoReplyType(is6 bool) byte {
	if is6 {
		return 129
	}
	return 0
}
