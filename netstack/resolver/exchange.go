// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// maxDatagram is the longest answer over UDP that we take; some servers send
// more than ednsSize.
const maxDatagram = 4096

// overUDP asks all questions over one socket and takes the answers until none
// is pending, the try's time is up, or the resolution delay has passed. The
// error says why questions are still pending.
func (s *setup) overUDP(ctx context.Context, server netip.AddrPort, qs []*question) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	conn, err := s.dial(ctx, "udp", server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer interrupt(ctx, conn)()

	buf := make([]byte, 0, maxDatagram)
	send := func(q *question) error {
		msg, err := q.appendQuery(buf[:0])
		if err != nil {
			return err
		}
		_, err = conn.Write(msg)
		return err
	}
	for _, q := range qs {
		if err := send(q); err != nil {
			return err
		}
	}
	var late *time.Timer
	for pending(qs) {
		n, err := conn.Read(buf[:cap(buf)])
		if err != nil {
			return err
		}
		for _, q := range qs {
			if q.state != statePending || !q.take(buf[:n]) {
				continue // not for this one; forged or late answers are for none
			}
			if q.state == statePending { // again, in another form
				if err := send(q); err != nil {
					return err
				}
			}
			if late == nil && q.settles() {
				late = time.AfterFunc(resolutionDelay, cancel)
				defer late.Stop()
			}
			break
		}
	}
	return nil
}

// overTCP asks the questions whose answers were truncated.
func (s *setup) overTCP(ctx context.Context, server netip.AddrPort, qs []*question) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	conn, err := s.dial(ctx, "tcp", server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer interrupt(ctx, conn)()
	for _, q := range qs {
		if q.state != stateTruncated {
			continue
		}
		if err := q.overStream(conn); err != nil {
			return err
		}
	}
	return nil
}

// overStream asks q over a stream, where each message follows its length (RFC
// 1035, section 4.2.2).
func (q *question) overStream(rw io.ReadWriter) error {
	const head = 2
	q.id = newID()
	q.state = statePending
	for q.state == statePending { // twice at most: see judge
		msg, err := q.appendQuery(make([]byte, head))
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint16(msg, uint16(len(msg)-head))
		if _, err := rw.Write(msg); err != nil {
			return err
		}
		var length [head]byte
		if _, err := io.ReadFull(rw, length[:]); err != nil {
			return err
		}
		answer := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(rw, answer); err != nil {
			return err
		}
		if !q.take(answer) {
			return errors.New("answer to another question")
		}
		if q.state == stateTruncated {
			return errors.New("truncated answer over TCP")
		}
	}
	return nil
}

// pending reports whether any question still waits for its answer.
func pending(qs []*question) bool {
	for _, q := range qs {
		if q.state == statePending {
			return true
		}
	}
	return false
}

// settles reports whether the lookup could do with the answer to q alone.
func (q *question) settles() bool {
	return q.state == stateTruncated || q.state == stateMissing || len(q.addrs) > 0
}

// interrupt makes pending and future calls of conn end when ctx does, until the
// function that it returns is called.
func interrupt(ctx context.Context, conn net.Conn) (stop func()) {
	done := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		defer close(done)
		conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stopped() {
			<-done
		}
	}
}
