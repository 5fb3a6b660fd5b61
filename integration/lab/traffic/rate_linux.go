// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// A RateMeter measures how many packets a path carries. It keeps its sockets
// between trials.
type RateMeter struct {
	sender    int // connected when there is one flow
	receivers []int
	names     []unix.RawSockaddrInet4 // of the receivers; nil with one flow
	size      int
	next      uint64 // sequence number of the next trial's first packet
}

// NewRateMeter prepares UDP packets with size bytes of payload, at least 8,
// from src to dst.
func NewRateMeter(from, to *lab.Host, src, dst netip.Addr, size int) (*RateMeter, error) {
	if size < udpHeader {
		return nil, fmt.Errorf("packets of %d bytes have no room for a number", size)
	}
	a, b, err := socketPair(from, to, src, dst)
	if err != nil {
		return nil, err
	}
	return &RateMeter{sender: a, receivers: []int{b}, size: size}, nil
}

// NewFlowsMeter is [NewRateMeter] for packets of so many flows in turn: one
// source port, another destination port with each packet. The addresses are
// IPv4.
func NewFlowsMeter(from, to *lab.Host, src, dst netip.Addr, size, flows int) (*RateMeter, error) {
	if flows == 1 {
		return NewRateMeter(from, to, src, dst, size)
	}
	if size < udpHeader || flows < 1 || !src.Is4() || !dst.Is4() {
		return nil, fmt.Errorf("%d flows of packets of %d bytes from %s to %s", flows, size, src, dst)
	}
	sender, err := socket(from, src)
	if err != nil {
		return nil, err
	}
	m := &RateMeter{sender: sender, size: size}
	for range flows {
		fd, err := socket(to, dst)
		if err != nil {
			m.Close()
			return nil, err
		}
		m.receivers = append(m.receivers, fd)
		at, err := unix.Getsockname(fd)
		if err != nil {
			m.Close()
			return nil, err
		}
		m.names = append(m.names, rawSockaddr(at.(*unix.SockaddrInet4)))
	}
	return m, nil
}

// Close closes the sockets.
func (m *RateMeter) Close() error {
	var errs []error
	for _, fd := range append(slices.Clone(m.receivers), m.sender) {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}

// Try sends rate packets a second for d and counts what arrives.
func (m *RateMeter) Try(rate int, d time.Duration) (Trial, error) {
	t := newTrial(rate, d)
	c := newCounter(len(m.receivers), m.next, t.count)
	b := newBatch(maxBurst, m.size)
	b.address(m.names)
	err := t.run(
		func(first, n int64) (int64, error) {
			for i := range n {
				binary.BigEndian.PutUint64(b.bufs[i], m.next+uint64(first+i))
				if m.names != nil {
					b.msgs[i].hdr.Name = b.name(int((first + i) % int64(len(m.names))))
				}
			}
			took, err := b.send(m.sender, int(n))
			return int64(took), err
		},
		newDrain(m.receivers, m.size, tick, func(_ int, packet []byte) { c.packet(packet, m.size) }),
		c)
	m.next += uint64(t.count)
	return t.Trial, err
}

// HighestRate returns the outcome at the highest rate, in packets a second,
// that loses less than maxLoss; see [Search].
func (m *RateMeter) HighestRate(start int, d time.Duration, maxLoss float64, note func(Trial)) (best Trial, limited bool, err error) {
	return Search(m.Try, start, d, maxLoss, note)
}
