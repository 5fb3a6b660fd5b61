// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

// A fakeEcho is a network in which every host answers, after the test has let
// it.
type fakeEcho struct {
	is6    bool
	sent   chan echoRequest // to be answered
	answer chan echoRequest // from whom
	closed chan struct{}
	once   sync.Once
}

func newFakeEcho(is6 bool) *fakeEcho {
	return &fakeEcho{is6: is6, sent: make(chan echoRequest, 1000), answer: make(chan echoRequest), closed: make(chan struct{})}
}

func (e *fakeEcho) write(message []byte, to netip.Addr) error {
	e.sent <- echoRequest{slices.Clone(message), to}
	return nil
}

func (e *fakeEcho) read(b []byte) (int, netip.Addr, error) {
	select {
	case m := <-e.answer:
		return copy(b, m.message), m.to, nil
	case <-e.closed:
		return 0, netip.Addr{}, net.ErrClosed
	}
}

func (e *fakeEcho) mine(uint16) bool { return true }

func (e *fakeEcho) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// reply answers q as its target, or as from.
func (e *fakeEcho) reply(q echoRequest, from netip.Addr) {
	m := slices.Clone(q.message)
	m[0] = echoReplyType(e.is6)
	e.answer <- echoRequest{m, from}
}

// echoRouterWith returns a router whose echo requests go to sockets of the fake
// network.
func echoRouterWith(t *testing.T, n *netstack.Net, o SubnetRouterOptions) (r *SubnetRouter, four, six *fakeEcho) {
	t.Helper()
	four, six = newFakeEcho(false), newFakeEcho(true)
	r = subnetRouter(t, n, o)
	r.echo.open = func(is6 bool) (echoSocket, error) {
		if is6 {
			return six, nil
		}
		return four, nil
	}
	return r, four, six
}

// TestSubnetEcho: pings of peers with the same identifiers get their answers.
func TestSubnetEcho(t *testing.T) {
	near, far := udpNets(t)
	r, four, six := echoRouterWith(t, near, SubnetRouterOptions{})
	var wg sync.WaitGroup
	for _, e := range []*fakeEcho{four, six} {
		wg.Go(func() {
			for {
				select {
				case q := <-e.sent:
					e.reply(q, q.to)
				case <-e.closed:
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer r.Close()
	const pings = 10
	var clients sync.WaitGroup
	for _, to := range []netip.Addr{behind4, behind6} {
		for range pings {
			clients.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
				defer cancel()
				if _, err := far.Ping(ctx, to); err != nil {
					t.Errorf("%v: %v", to, err)
				}
			})
		}
	}
	clients.Wait()
	if got, want := r.Details().Echo, (EchoCounters{Requests: 2 * pings, Replies: 2 * pings}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// request returns an echo request of a peer.
func request(identifier, number uint16) *netstack.Echo {
	m := append(make([]byte, echoHeader), "payload"...)
	m[0] = echoRequestType(false)
	putBE16(m[4:], identifier)
	putBE16(m[6:], number)
	return &netstack.Echo{Source: netip.MustParseAddr("10.99.0.2"), Destination: behind4, Message: m}
}

// TestSubnetEchoAnswers: only an answer from the target, to a request under way, is
// one; it has the identifier and number of the request.
func TestSubnetEchoAnswers(t *testing.T) {
	near, _ := udpNets(t)
	r, four, _ := echoRouterWith(t, near, SubnetRouterOptions{})
	if !r.echo.take(request(7, 8)) || !r.echo.take(request(7, 8)) {
		t.Fatal("not taken")
	}
	first, second := <-four.sent, <-four.sent
	if slices.Equal(first.message, second.message) {
		t.Error("two requests with one number")
	}
	if got := string(first.message[echoHeader:]); got != "payload" || first.to != behind4 {
		t.Errorf("sent %q to %v", got, first.to)
	}
	four.reply(first, netip.MustParseAddr("192.0.2.9")) // not who was asked
	four.reply(first, behind4)
	four.reply(first, behind4) // again
	four.answer <- echoRequest{[]byte{0, 0}, behind4}
	four.answer <- echoRequest{first.message, behind4} // a request of its own
	want := EchoCounters{Requests: 2, Replies: 1, Unexpected: 2}
	eventually(t, "answers are counted", func() error {
		if got := r.Details().Echo; got != want {
			return fmt.Errorf("got %+v, want %+v", got, want)
		}
		return nil
	})
	bad := request(7, 8)
	bad.Message[1] = 1
	short := request(7, 8)
	short.Message = short.Message[:4]
	if r.echo.take(bad) || r.echo.take(short) {
		t.Error("no echo requests, but taken")
	}
	denied := request(7, 8)
	denied.Destination = netip.MustParseAddr("198.51.100.1")
	if r.echo.take(denied) {
		t.Error("not listed, but taken")
	}
	if d := r.Details(); d.Echo.Malformed != 2 || d.Denied["unlisted"] != 1 {
		t.Errorf("%+v", d)
	}
}

// TestSubnetEchoLimits: requests without an answer are limited, for each peer and
// in total, until their time runs out.
func TestSubnetEchoLimits(t *testing.T) {
	near, _ := udpNets(t)
	r, four, _ := echoRouterWith(t, near, SubnetRouterOptions{Echoes: Limits{Total: 5, PerClient: 3}})
	go func() {
		for {
			select {
			case <-four.sent:
			case <-four.closed:
				return
			}
		}
	}()
	ask := func(source string, want bool) {
		t.Helper()
		q := request(1, 1)
		q.Source = netip.MustParseAddr(source)
		if got := r.echo.take(q); got != want {
			t.Errorf("request of %s: %t, want %t", source, got, want)
		}
	}
	for i := range 4 {
		ask("10.99.0.2", i < 3)
	}
	for i := range 3 {
		ask("10.99.0.3", i < 2)
	}
	if got := r.Details().Echo.Full; got != 2 {
		t.Errorf("%d counted, want 2", got)
	}
	f := &r.echo.four
	f.mu.Lock()
	for _, s := range f.slots {
		s.until = s.until.Add(-echoTimeout)
	}
	f.mu.Unlock()
	for i := range 4 {
		ask("10.99.0.2", i < 3)
	}
	ask("10.99.0.3", true)
}

// TestSubnetEchoNotPermitted: without a socket requests are dropped and counted,
// and it is tried again later.
func TestSubnetEchoNotPermitted(t *testing.T) {
	near, _ := udpNets(t)
	r := subnetRouter(t, near, SubnetRouterOptions{})
	tried := 0
	r.echo.open = func(bool) (echoSocket, error) {
		tried++
		if tried > 1 {
			return newFakeEcho(false), nil
		}
		return nil, os.NewSyscallError("socket", syscall.EACCES)
	}
	for range 2 {
		if r.echo.take(request(1, 1)) {
			t.Error("taken")
		}
	}
	if got := r.Details().Echo.NotPermitted; got != 2 || tried != 1 {
		t.Errorf("%d counted and %d tries, want 2 and 1", got, tried)
	}
	r.echo.four.mu.Lock()
	r.echo.four.retryAt = time.Time{}
	r.echo.four.mu.Unlock()
	if !r.echo.take(request(1, 1)) {
		t.Error("not taken, with a socket")
	}
}

// TestEchoSocket pings this host through a real socket, unprivileged or raw.
func TestEchoSocket(t *testing.T) {
	for _, to := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
		s, err := openEcho(to.Is6())
		if errors.Is(err, os.ErrPermission) {
			continue // an unprivileged test on a host that forbids it
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		m := request(3, 99).Message
		m[0] = echoRequestType(to.Is6())
		if err := s.write(m, to); err != nil {
			t.Fatalf("%v: %v", to, err)
		}
		b := make([]byte, 1500)
		for {
			n, from, err := s.read(b)
			if err != nil {
				t.Fatal(err)
			}
			if n < echoHeader || b[0] != echoReplyType(to.Is6()) || !s.mine(be16(b[4:])) {
				continue // a raw socket gets those of others, and the request
			}
			if from != to || be16(b[6:]) != 99 || string(b[echoHeader:n]) != "payload" {
				t.Errorf("from %v: %x", from, b[:n])
			}
			break
		}
	}
}

func TestInternetChecksum(t *testing.T) {
	// The example of RFC 1071, section 3: the sum is 0xddf2.
	if got := internetChecksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != 0xffff-0xddf2 {
		t.Errorf("got %#x", got)
	}
	if got := internetChecksum([]byte{0xff}); got != 0x00ff {
		t.Errorf("one byte: got %#x", got)
	}
}
