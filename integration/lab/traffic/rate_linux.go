// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
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
	Reordered      int64
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
	return fmt.Sprintf("%d/s: loss %.2f %%, reordered %d, duplicated %d, sender %v late at most, pace kept: %t",
		t.Rate, 100*t.Loss(), t.Reordered, t.Duplicated, t.Late.Round(time.Microsecond), t.PaceKept)
}

// A RateMeter measures how many packets a path carries. It keeps its sockets
// between trials.
type RateMeter struct {
	sender, receiver int
	size             int
	next             uint64 // sequence number of the next trial's first packet
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
	return &RateMeter{sender: a, receiver: b, size: size}, nil
}

// Close closes the sockets.
func (m *RateMeter) Close() error { return errors.Join(unix.Close(m.sender), unix.Close(m.receiver)) }

// Try sends rate packets a second for d and counts what arrives.
func (m *RateMeter) Try(rate int, d time.Duration) (Trial, error) {
	count := int64(float64(rate) * d.Seconds())
	t := Trial{Rate: rate}
	r := &trialReceiver{first: m.next, count: count, seen: make([]uint64, count/64+1)}
	m.next += uint64(count)

	var sendErr, receiveErr error
	received := onThread(func() { receiveErr = r.run(m.receiver, m.size) })
	sent := onThread(func() { sendErr = m.send(&t, r.first, count) })
	sent()
	r.sent.Store(t.Sent)
	received()
	t.Received, t.Duplicated, t.Reordered = r.received, r.duplicated, r.reordered
	t.PaceKept = t.Late <= late && t.Took.Seconds() <= d.Seconds()*(1+paceSlack)
	return t, errors.Join(sendErr, receiveErr)
}

// send sends the packets in bursts, each as many as are due.
func (m *RateMeter) send(t *Trial, first uint64, count int64) error {
	b := newBatch(maxBurst, m.size)
	start := time.Now()
	perPacket := time.Second / time.Duration(t.Rate)
	for at := start; t.Sent < count; at = at.Add(tick) {
		sleepUntil(at)
		now := time.Now()
		due := min(count, int64(float64(now.Sub(start)+tick)/float64(time.Second)*float64(t.Rate)))
		t.Late = max(t.Late, time.Duration(due-t.Sent)*perPacket-tick)
		for t.Sent < due {
			n := int(min(due-t.Sent, maxBurst))
			for i := range n {
				binary.BigEndian.PutUint64(b.bufs[i], first+uint64(t.Sent)+uint64(i))
			}
			took, err := b.send(m.sender, n)
			switch {
			case err == unix.EINTR:
			case err == unix.ENOBUFS || err == unix.ECONNREFUSED:
				t.Sent += int64(n) // lost before the tunnel, which is loss all the same
			case err != nil:
				return fmt.Errorf("sendmmsg: %w", err)
			}
			t.Sent += int64(took)
		}
		if now.Sub(at) > tick {
			at = now // do not make up for missed ticks with empty bursts
		}
	}
	t.Took = time.Since(start)
	return nil
}

// trialReceiver counts the packets of one trial.
type trialReceiver struct {
	first uint64
	count int64
	sent  atomic.Int64 // 0 until the sender is done

	// Owned by the receiving thread until it has ended.
	seen                            []uint64
	highest                         uint64
	received, duplicated, reordered int64
}

// run drains the socket every tick, rather than waking up for every packet,
// until all packets have arrived or none has for a while after the last was
// sent.
func (r *trialReceiver) run(fd, size int) error {
	const quiet = 200 * time.Millisecond
	b := newBatch(maxBurst, size)
	last := time.Now()
	for {
		n, err := b.receive(fd)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR || err == unix.ECONNREFUSED:
			sent := r.sent.Load()
			if sent != 0 && (r.received >= sent || time.Since(last) > quiet) {
				return nil
			}
			sleepUntil(time.Now().Add(tick))
			continue
		case err != nil:
			return fmt.Errorf("recvmmsg: %w", err)
		}
		last = time.Now()
		for i := range n {
			if int(b.msgs[i].len) == size {
				r.account(binary.BigEndian.Uint64(b.bufs[i]))
			}
		}
	}
}

func (r *trialReceiver) account(seq uint64) {
	n := seq - r.first
	if n >= uint64(r.count) {
		return // late from the trial before
	}
	if r.seen[n/64]&(1<<(n%64)) != 0 {
		r.duplicated++
		return
	}
	r.seen[n/64] |= 1 << (n % 64)
	r.received++
	if n < r.highest {
		r.reordered++
	}
	r.highest = max(r.highest, n)
}

// HighestRate returns the outcome at the highest rate, in packets a second,
// that loses less than maxLoss, to a precision of 3 %. It doubles from start
// until a rate is lost, then bisects. A rate is lost when two trials lose too
// much. Trials in which the sender did not keep its pace are repeated up to
// three times; limited says that the rate above the result was given up for
// that reason. Every trial is passed to note, if not nil.
func (m *RateMeter) HighestRate(start int, d time.Duration, maxLoss float64, note func(Trial)) (best Trial, limited bool, err error) {
	try := func(rate int) (bool, error) {
		lost, slow := 0, 0
		for lost < 2 && slow < 4 {
			t, err := m.Try(rate, d)
			if err != nil {
				return false, err
			}
			if note != nil {
				note(t)
			}
			switch {
			case !t.PaceKept:
				slow++
			case t.Loss() < maxLoss:
				best = t
				return true, nil
			default:
				lost++
			}
		}
		limited = lost < 2
		return false, nil
	}
	low, high := 0, start
	for {
		ok, err := try(high)
		if err != nil {
			return best, false, err
		}
		if !ok {
			break
		}
		low, high = high, 2*high
	}
	for float64(high-low) > 0.03*float64(high) {
		middle := (low + high) / 2
		if middle < 100 {
			return best, false, errors.New("not even 100 packets a second arrive")
		}
		ok, err := try(middle)
		if err != nil {
			return best, false, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return best, limited, nil
}
