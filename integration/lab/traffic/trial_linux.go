// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Constants of a trial.
const (
	// tick is the time between two bursts: at 200,000 packets a second a burst
	// has 100 packets, well below the 500 that a TUN device queues.
	tick = 500 * time.Microsecond
	// maxBurst is the most packets that one burst may have after the sender was
	// kept from running.
	maxBurst = 512
	// paceSlack is how much longer than asked for a sender may take, and late
	// the longest that it may be behind at any burst, to have kept its pace.
	// What it makes up for at 200,000 packets a second then fits the queue.
	paceSlack = 0.01
	late      = 2 * time.Millisecond
)

// A Trial is the outcome of sending packets at one rate for some time.
type Trial struct {
	Rate           int // packets a second, as asked for
	Sent, Received int64
	Duplicated     int64
	Reordered      int64         // arrived after a packet of the same flow with a higher number
	Corrupt        int64         // content other than what was sent
	Took           time.Duration // of sending
	Late           time.Duration // the most that the sender was behind
	// PaceKept is false when the sender did not send at the rate that was asked
	// for, so that the trial says nothing about the tunnel.
	PaceKept bool
}

// Loss returns the share of packets that did not arrive.
func (t Trial) Loss() float64 { return 1 - float64(t.Received)/float64(t.Sent) }

// String returns the outcome in one line.
func (t Trial) String() string {
	return fmt.Sprintf("%d/s: loss %.2f %%, reordered %d, duplicated %d, corrupt %d, sender %v late at most, pace kept: %t",
		t.Rate, 100*t.Loss(), t.Reordered, t.Duplicated, t.Corrupt, t.Late.Round(time.Microsecond), t.PaceKept)
}

// A trial is a Trial that runs.
type trial struct {
	Trial
	count int64 // packets to send
	d     time.Duration
}

func newTrial(rate int, d time.Duration) *trial {
	return &trial{Trial: Trial{Rate: rate}, count: int64(float64(rate) * d.Seconds()), d: d}
}

// A burst sends the n packets from number first on, at most maxBurst, and
// returns how many it sent; ENOBUFS and ECONNREFUSED lose the one after those.
type burst func(first, n int64) (sent int64, err error)

// run sends on one thread and receives on another.
func (t *trial) run(send burst, receive *drain, c *counter) error {
	var sent atomic.Int64
	var sendErr, receiveErr error
	received := onThread(func() { receiveErr = receive.run(&sent, c) })
	wait := onThread(func() { sendErr = t.pace(send) })
	wait()
	sent.Store(max(t.Sent, 1)) // not 0, which means that sending goes on
	received()
	t.Received, t.Duplicated, t.Reordered, t.Corrupt = c.received, c.duplicated, c.reordered, c.corrupt
	t.PaceKept = t.Late <= late && t.Took.Seconds() <= t.d.Seconds()*(1+paceSlack)
	return errors.Join(sendErr, receiveErr)
}

// pace sends the packets in bursts, each as many as are due.
func (t *trial) pace(send burst) error {
	start := time.Now()
	perPacket := time.Second / time.Duration(t.Rate)
	for at := start; t.Sent < t.count; at = at.Add(tick) {
		sleepUntil(at)
		now := time.Now()
		due := min(t.count, int64(float64(now.Sub(start)+tick)/float64(time.Second)*float64(t.Rate)))
		t.Late = max(t.Late, time.Duration(due-t.Sent)*perPacket-tick)
		for t.Sent < due {
			took, err := send(t.Sent, min(due-t.Sent, maxBurst))
			t.Sent += took
			switch {
			case err == unix.ENOBUFS || err == unix.ECONNREFUSED:
				t.Sent++ // lost before the tunnel, which is loss all the same
			case err != nil && err != unix.EINTR:
				return fmt.Errorf("send: %w", err)
			}
		}
		if now.Sub(at) > tick {
			at = now // do not make up for missed ticks with empty bursts
		}
	}
	t.Took = time.Since(start)
	return nil
}

// A drain empties sockets.
type drain struct {
	fds   []int
	b     *batch
	every time.Duration
	each  func(i int, packet []byte) // packet of socket i
}

func newDrain(fds []int, size int, every time.Duration, each func(int, []byte)) *drain {
	return &drain{fds: fds, b: newBatch(maxBurst, size), every: every, each: each}
}

// run drains the sockets at intervals, rather than waking up for every packet,
// until all packets have arrived or none has for a while after the last was
// sent; sent is 0 until then.
func (r *drain) run(sent *atomic.Int64, c *counter) error {
	const quiet = 200 * time.Millisecond
	last := time.Now()
	for {
		some, more, err := r.once()
		if err != nil {
			return err
		}
		if some {
			last = time.Now()
		}
		if more {
			continue
		}
		if s := sent.Load(); s != 0 && (c.received >= s || time.Since(last) > quiet) {
			return nil
		}
		sleepUntil(time.Now().Add(r.every))
	}
}

// once reads one batch of each socket; some says that there were packets, more
// that a batch was full, so that there may be more.
func (r *drain) once() (some, more bool, err error) {
	for i, fd := range r.fds {
		n, err := r.b.receive(fd)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR || err == unix.ECONNREFUSED:
			continue
		case err != nil:
			return false, false, fmt.Errorf("recvmmsg: %w", err)
		}
		some, more = true, more || n == maxBurst
		for j := range n {
			r.each(i, r.b.bufs[j][:r.b.msgs[j].len])
		}
	}
	return some, more, nil
}

// A counter counts the packets of one trial. Packet n belongs to flow n modulo
// the number of flows. It is owned by the receiving thread until that has ended.
type counter struct {
	first   uint64
	count   int64
	seen    []uint64 // bit per packet
	highest []int64  // of each flow

	received, duplicated, reordered, corrupt int64
}

func newCounter(flows int, first uint64, count int64) *counter {
	c := &counter{first: first, count: count, seen: make([]uint64, count/64+1), highest: make([]int64, flows)}
	for i := range c.highest {
		c.highest[i] = -1
	}
	return c
}

// packet counts a packet that begins with its number and has that size.
func (c *counter) packet(b []byte, size int) {
	if len(b) != size {
		c.corrupt++
		return
	}
	c.account(binary.BigEndian.Uint64(b))
}

func (c *counter) account(seq uint64) {
	u := seq - c.first
	if u >= uint64(c.count) {
		return // late from the trial before
	}
	n := int64(u)
	if c.seen[n/64]&(1<<(n%64)) != 0 {
		c.duplicated++
		return
	}
	c.seen[n/64] |= 1 << (n % 64)
	c.received++
	flow := n % int64(len(c.highest))
	if n < c.highest[flow] {
		c.reordered++
	}
	c.highest[flow] = max(c.highest[flow], n)
}
