// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// A Stream is one TCP connection that carries content both ways at once until
// it is told to end.
type Stream struct {
	client, server *net.TCPConn
	stop           atomic.Bool
	sent, received [2]atomic.Int64 // by the client's and the server's side
	wg             sync.WaitGroup
	errs           [4]error // owned by one goroutine each until wg is done
	failed         atomic.Bool
}

// StreamResult is what a stream has carried.
type StreamResult struct {
	Sent, Received int64 // bytes, both directions together
	Resent
}

// Resent are the segments that either end of a stream sent again, from
// TCP_INFO.
type Resent struct {
	All int64
	// Needless are those among them that the other end had already: it was late
	// to say so, as happens on a busy machine. The rest were lost.
	Needless int64
}

// Lost returns how many segments were lost on the way. What was needless the kernel
// counts in segments of the size that it sends when it hears of them (tcp_dsack_seen in
// Linux net/ipv4/tcp_input.c): one from before the MTU became smaller counts as two, and
// there may be more of them than were sent.
func (r Resent) Lost() int64 { return max(0, r.All-r.Needless) }

// StartStream connects from one host to an address of another. Every read and
// write must make progress within idle.
func StartStream(from, to *lab.Host, dst netip.Addr, idle time.Duration) (*Stream, error) {
	s := new(Stream)
	if err := s.connect(from, to, dst); err != nil {
		return nil, err
	}
	for side, c := range []*net.TCPConn{s.client, s.server} {
		out, in := uint64(side), uint64(1-side) // seeds
		s.wg.Go(func() { s.ended(2*side, s.write(c, side, out, idle)) })
		s.wg.Go(func() { s.ended(2*side+1, s.read(c, side, in, idle)) })
	}
	return s, nil
}

func (s *Stream) connect(from, to *lab.Host, dst netip.Addr) error {
	var l *net.TCPListener
	if err := to.Do(func() (err error) {
		l, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(dst, 0)))
		return err
	}); err != nil {
		return err
	}
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(lab.Patience)); err != nil {
		return err
	}
	type accepted struct {
		conn *net.TCPConn
		err  error
	}
	server := make(chan accepted, 1)
	go func() {
		c, err := l.AcceptTCP()
		server <- accepted{c, err}
	}()
	err := from.Do(func() error {
		d := net.Dialer{Timeout: lab.Patience}
		c, err := d.Dial("tcp", l.Addr().String())
		if err == nil {
			s.client = c.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		l.Close()
	}
	a := <-server
	s.server = a.conn
	if err := errors.Join(err, a.err); err != nil {
		s.close()
		return err
	}
	return nil
}

// ended notes how one of the four goroutines ended. After the first error there
// is nothing to wait for.
func (s *Stream) ended(i int, err error) {
	if err == nil {
		return
	}
	s.errs[i] = err
	s.failed.Store(true)
	s.stop.Store(true)
}

func (s *Stream) write(c *net.TCPConn, side int, seed uint64, idle time.Duration) error {
	p, buf := newPattern(seed), make([]byte, chunk)
	for !s.stop.Load() {
		p.fill(buf)
		if err := c.SetWriteDeadline(time.Now().Add(idle)); err != nil {
			return err
		}
		n, err := c.Write(buf)
		s.sent[side].Add(int64(n))
		if err != nil {
			return err
		}
	}
	return c.CloseWrite()
}

func (s *Stream) read(c *net.TCPConn, side int, seed uint64, idle time.Duration) error {
	_, err := newChecker(seed).ReadFrom(&countingReader{c, idle, &s.received[side]})
	return err
}

// countingReader reads with a deadline and counts.
type countingReader struct {
	conn *net.TCPConn
	idle time.Duration
	n    *atomic.Int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(r.idle)); err != nil {
		return 0, err
	}
	n, err := r.conn.Read(b)
	r.n.Add(int64(n))
	return n, err
}

// Received returns how many bytes have arrived so far, both directions
// together.
func (s *Stream) Received() int64 { return s.received[0].Load() + s.received[1].Load() }

// Resent returns the segments that either end has sent again so far.
func (s *Stream) Resent() (Resent, error) {
	var total Resent
	for _, c := range []*net.TCPConn{s.client, s.server} {
		raw, err := c.SyscallConn()
		if err != nil {
			return total, err
		}
		var info *unix.TCPInfo
		var ierr error
		if err := raw.Control(func(fd uintptr) {
			info, ierr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		}); err != nil {
			return total, err
		}
		if ierr != nil {
			return total, ierr
		}
		total.All += int64(info.Total_retrans)
		total.Needless += int64(info.Dsack_dups)
	}
	return total, nil
}

// Stop ends the stream from both sides, waits until everything has arrived and
// returns what it carried. The error says what was wrong with the content or
// the connection.
func (s *Stream) Stop() (StreamResult, error) {
	s.stop.Store(true)
	s.wg.Wait()
	defer s.close()
	r := StreamResult{Sent: s.sent[0].Load() + s.sent[1].Load(), Received: s.Received()}
	if err := errors.Join(s.errs[:]...); err != nil {
		return r, err
	}
	for side := range 2 {
		if sent, received := s.sent[side].Load(), s.received[1-side].Load(); sent != received {
			return r, fmt.Errorf("%d bytes sent, %d received", sent, received)
		}
	}
	var err error
	r.Resent, err = s.Resent()
	return r, err
}

func (s *Stream) close() {
	for _, c := range []*net.TCPConn{s.client, s.server} {
		if c != nil {
			c.Close()
		}
	}
}

// TCP carries at least n bytes in each direction over one connection and
// returns once all have arrived and been compared.
func TCP(from, to *lab.Host, dst netip.Addr, n int64) (StreamResult, error) {
	s, err := StartStream(from, to, dst, lab.Patience)
	if err != nil {
		return StreamResult{}, err
	}
	// When nothing moves, the goroutines fail by themselves.
	for !s.failed.Load() && (s.received[0].Load() < n || s.received[1].Load() < n) {
		time.Sleep(time.Millisecond)
	}
	return s.Stop()
}
