// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"golang.org/x/sys/unix"
)

// A RelayMeter measures how many frames a relay forwards from one client to
// another: nothing is encrypted, the frames only look like messages of WireGuard.
// It keeps the sockets of the clients.
type RelayMeter struct {
	from, to *RelayClient
	header   [geneve.HeaderLen + wireGuardHeader]byte
	size     int // of a frame
	segments int
	next     uint64 // number of the next trial's first frame
}

const (
	// wireGuardHeader is the length of the header of a transport data message:
	// type 4, index 4, counter 8.
	wireGuardHeader = 16
	frameCounter    = geneve.HeaderLen + 8
	// maxDatagram is the payload of the largest UDP packet over IPv4.
	maxDatagram = 65507
)

// RelayFrame returns the bytes of UDP payload that a packet of size bytes inside of
// a tunnel is over a relay: padded to 16, with the headers of WireGuard and Geneve
// and the authenticator.
func RelayFrame(size int) int {
	return (size+15)/16*16 + wireGuardHeader + tagSize + geneve.HeaderLen
}

// NewRelayMeter registers both clients, binds their session and prepares frames of
// that many bytes of UDP payload. The kernel gets and gives up to so many of
// them at once, as superpackets; 1 is each by itself.
func NewRelayMeter(from, to *RelayClient, size, segments int) (*RelayMeter, error) {
	m := &RelayMeter{from: from, to: to, size: size, segments: min(segments, maxDatagram/size)}
	if size < len(m.header) || segments < 1 || m.segments < 1 {
		return nil, fmt.Errorf("frames of %d bytes, %d at once", size, segments)
	}
	s, err := Meet(from, to)
	if err != nil {
		return nil, err
	}
	if _, err := (geneve.Header{VNI: s.vni, Protocol: geneve.ProtocolWireGuard}).Put(m.header[:]); err != nil {
		return nil, err
	}
	m.header[geneve.HeaderLen] = 4
	segment, join := 0, 0 // off: the clients may have been another meter's
	if m.segments > 1 {
		segment, join = size, 1
	}
	if err := unix.SetsockoptInt(from.fd, unix.SOL_UDP, unix.UDP_SEGMENT, segment); err != nil {
		return nil, fmt.Errorf("UDP_SEGMENT: %w", err)
	}
	if err := unix.SetsockoptInt(to.fd, unix.SOL_UDP, unix.UDP_GRO, join); err != nil {
		return nil, fmt.Errorf("UDP_GRO: %w", err)
	}
	return m, nil
}

// Meet registers two clients, allocates their session and binds both legs.
func Meet(a, b *RelayClient) (RelaySession, error) {
	for _, c := range []*RelayClient{a, b} {
		if err := c.Register(); err != nil {
			return RelaySession{}, err
		}
	}
	s, err := a.Allocate(b)
	if err != nil {
		return s, err
	}
	for _, c := range []*RelayClient{a, b} {
		if err := c.Bind(s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Try sends rate frames a second for d and counts what arrives.
func (m *RelayMeter) Try(rate int, d time.Duration) (Trial, error) {
	t := newTrial(rate, d)
	c := newCounter(1, m.next, t.count)
	b := newBatch((maxBurst+m.segments-1)/m.segments, m.segments*m.size)
	for i := range b.bufs {
		for at := 0; at < len(b.bufs[i]); at += m.size {
			copy(b.bufs[i][at:], m.header[:])
		}
	}
	err := t.run(
		func(first, n int64) (int64, error) { return m.send(b, first, n) },
		m.drain(c), c)
	m.next += uint64(t.count)
	return t.Trial, err
}

// send sends frames in as few superpackets as possible.
func (m *RelayMeter) send(b *batch, first, n int64) (int64, error) {
	per := int64(m.segments)
	for i := range n {
		frame := b.bufs[i/per][int(i%per)*m.size:]
		binary.LittleEndian.PutUint64(frame[frameCounter:], m.next+uint64(first+i))
	}
	packets := (n + per - 1) / per
	last := n - (packets-1)*per
	b.iovs[packets-1].SetLen(int(last) * m.size)
	took, err := b.send(m.from.fd, int(packets))
	b.iovs[packets-1].SetLen(len(b.bufs[packets-1]))
	return min(int64(took)*per, n), err
}

// drain reads frames, or superpackets of them.
func (m *RelayMeter) drain(c *counter) *drain {
	packet := func(_ int, p []byte) {
		for ; len(p) >= m.size; p = p[m.size:] {
			c.account(binary.LittleEndian.Uint64(p[frameCounter:]))
		}
		if len(p) > 0 {
			c.corrupt++
		}
	}
	if m.segments == 1 {
		return newDrain([]int{m.to.fd}, m.size, tick, packet)
	}
	return &drain{fds: []int{m.to.fd}, b: newBatch(superpackets, 1<<16), every: tick, each: packet}
}

// superpackets is how many are read at once: more frames than ever come within a
// tick.
const superpackets = 64
