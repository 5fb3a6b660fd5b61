// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

const (
	steadyWindow = 32   // datagrams under way: few enough for every buffer on their way
	steadySize   = 1000 // bytes of each
)

// A steady is a flow of numbered datagrams to an echo, as fast as they come back.
// None of them is sent twice: one that is lost or doubled anywhere fails the test.
type steady struct {
	t      testing.TB
	conn   net.Conn
	window chan struct{} // a token for each datagram under way
	stop   chan struct{}
	ended  sync.WaitGroup

	sent     uint64 // of the sender; read after ended
	answered atomic.Uint64
	all      chan struct{} // closed when everything was answered after stop
	total    atomic.Uint64 // what was sent in all, 0 while sending
}

// echoPackets listens for datagrams on s and sends them back; it ends with the
// test.
func (s *site) echoPackets(addr netip.AddrPort) {
	s.t.Helper()
	c, err := s.Net().ListenPacket("udp", addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.t.Cleanup(func() {
		c.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 2*steadySize)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if _, err := c.WriteTo(buf[:n], from); err != nil {
				return
			}
		}
	}()
}

// steady starts a flow from s to an echo.
func (s *site) steady(to netip.AddrPort) *steady {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := s.Net().DialContext(ctx, "udp", to.String())
	if err != nil {
		s.t.Fatal(err)
	}
	f := &steady{t: s.t, conn: c, window: make(chan struct{}, steadyWindow), stop: make(chan struct{}), all: make(chan struct{})}
	f.ended.Go(f.send)
	received := make(chan struct{})
	go func() {
		defer close(received)
		f.receive()
	}()
	s.t.Cleanup(func() {
		c.Close()
		<-received
	})
	return f
}

func (f *steady) send() {
	buf := make([]byte, steadySize)
	for {
		select {
		case <-f.stop:
			return
		case f.window <- struct{}{}:
		}
		binary.BigEndian.PutUint64(buf, f.sent)
		if _, err := f.conn.Write(buf); err != nil {
			f.t.Errorf("datagram %d: %v", f.sent, err)
			return
		}
		f.sent++
	}
}

func (f *steady) receive() {
	seen := make(map[uint64]bool)
	buf := make([]byte, 2*steadySize)
	for {
		n, err := f.conn.Read(buf)
		if err != nil {
			return
		}
		i := binary.BigEndian.Uint64(buf)
		if n != steadySize || seen[i] {
			f.t.Errorf("datagram %d came back with %d bytes, before: %t", i, n, seen[i])
			continue
		}
		seen[i] = true
		<-f.window
		if f.answered.Add(1) == f.total.Load() {
			close(f.all)
		}
	}
}

// more waits until another n datagrams have come back.
func (f *steady) more(n uint64) {
	f.t.Helper()
	want := f.answered.Load() + n
	testutil.Eventually(f.t, patience, "traffic goes on", func() error {
		if got := f.answered.Load(); got < want {
			return fmt.Errorf("%d datagrams came back, want %d", got, want)
		}
		return nil
	})
}

// end stops the flow and wants every datagram back.
func (f *steady) end() {
	f.t.Helper()
	close(f.stop)
	f.ended.Wait()
	f.total.Store(f.sent)
	if f.answered.Load() < f.sent {
		select {
		case <-f.all:
		case <-time.After(patience):
		}
	}
	if got := f.answered.Load(); got != f.sent {
		f.t.Errorf("%d of %d datagrams were lost", f.sent-got, f.sent)
	}
}
