// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
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

// udpHeader is a packet's sequence number; the rest of the packet depends on
// it.
const udpHeader = 8

// A Flow is numbered UDP packets of one size at a steady rate.
type Flow struct {
	sender, receiver *net.UDPConn
	size             int
	interval         time.Duration

	stop     atomic.Bool
	sent     atomic.Int64
	wg       sync.WaitGroup
	refused  int64 // packets that the socket did not take; the sender's until wg is done
	sendErr  error // of the last of them; likewise
	received receiver
}

// FlowResult accounts for every packet of a flow.
type FlowResult struct {
	Sent, Received int64 // Received counts no duplicates
	Lost           int64 // Sent - Received
	Duplicated     int64
	Reordered      int64 // arrived after a packet with a higher number
	Corrupt        int64 // other size or content than was sent
	// Refused are the packets among the lost that the sending socket did not
	// take, and Err says why it did not take the last of them.
	Refused int64
	Err     error
	// LongestGap is the longest run of consecutive packets that were lost.
	LongestGap int64
}

// String returns the result in one line.
func (r FlowResult) String() string {
	return fmt.Sprintf("sent %d received %d lost %d (longest gap %d, not taken by the socket %d: %v) duplicated %d reordered %d corrupt %d",
		r.Sent, r.Received, r.Lost, r.LongestGap, r.Refused, r.Err, r.Duplicated, r.Reordered, r.Corrupt)
}

// receiver is owned by the receiving goroutine; arrived may be read by others.
type receiver struct {
	arrived atomic.Int64
	seen    []uint64 // bit per number
	highest int64
	result  FlowResult
	err     error
	done    chan struct{}
}

// StartFlow sends packets of size bytes, at least 8, from one host to an
// address of another, rate per second, less on a machine that has no time for it.
func StartFlow(from, to *lab.Host, dst netip.Addr, size, rate int) (*Flow, error) {
	f := &Flow{size: size, interval: time.Second / time.Duration(rate)}
	f.received.highest = -1
	if size < udpHeader || rate < 1 {
		return nil, fmt.Errorf("flow of %d bytes at %d packets a second", size, rate)
	}
	if err := to.Do(func() (err error) {
		f.receiver, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, 0)))
		return err
	}); err != nil {
		return nil, err
	}
	err := force(f.receiver, unix.SO_RCVBUFFORCE, 4<<20)
	if err == nil {
		err = from.Do(func() (err error) {
			f.sender, err = net.DialUDP("udp", nil, f.receiver.LocalAddr().(*net.UDPAddr))
			return err
		})
	}
	if err != nil {
		f.receiver.Close()
		return nil, err
	}
	f.wg.Go(f.send)
	f.received.done = make(chan struct{})
	go f.receive()
	return f, nil
}

func force(c *net.UDPConn, option, value int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value)
	}); err != nil {
		return err
	}
	return serr
}

// maxLate is how many packets a flow that has not had its turn makes up for at once:
// more would overrun the queues of programs that are no worse than others.
const maxLate = 64

func (f *Flow) send() {
	b := make([]byte, f.size)
	start := time.Now()
	for n := int64(0); !f.stop.Load(); n++ {
		// Against the start and not the last packet, so that lateness does not
		// add up.
		ahead := time.Until(start.Add(time.Duration(n) * f.interval))
		if late := -ahead - maxLate*f.interval; late > 0 {
			start = start.Add(late)
		}
		if ahead > 0 {
			time.Sleep(ahead)
		}
		fillPacket(b, uint64(n))
		if _, err := f.sender.Write(b); err != nil {
			// A full queue, or what became of an earlier packet (refused, no
			// route): this packet is lost, and the flow goes on.
			f.refused, f.sendErr = f.refused+1, err
		}
		f.sent.Add(1)
	}
}

// fillPacket writes packet n.
func fillPacket(b []byte, n uint64) {
	binary.BigEndian.PutUint64(b, n)
	for i := udpHeader; i < len(b); i++ {
		b[i] = byte(n) ^ byte(i)
	}
}

func (f *Flow) receive() {
	defer close(f.received.done)
	r := &f.received
	got, want := make([]byte, 1<<16), make([]byte, f.size)
	for {
		n, err := f.receiver.Read(got)
		if err != nil {
			r.err = err
			return
		}
		if n != f.size {
			r.result.Corrupt++
			continue
		}
		seq := binary.BigEndian.Uint64(got)
		fillPacket(want, seq)
		if string(got[:n]) != string(want) {
			r.result.Corrupt++
			continue
		}
		r.account(seq)
	}
}

func (r *receiver) account(seq uint64) {
	word, bit := int(seq/64), uint64(1)<<(seq%64)
	for word >= len(r.seen) {
		r.seen = append(r.seen, 0)
	}
	if r.seen[word]&bit != 0 {
		r.result.Duplicated++
		return
	}
	r.seen[word] |= bit
	if int64(seq) < r.highest {
		r.result.Reordered++
	}
	r.highest = max(r.highest, int64(seq))
	r.arrived.Add(1)
}

// final returns the account of so many packets.
func (r *receiver) final(sent int64) FlowResult {
	f := r.result
	f.Sent, f.Received = sent, r.arrived.Load()
	f.Lost = f.Sent - f.Received
	f.LongestGap = longestGap(r.seen, sent)
	return f
}

// Sent and Received return how many packets there were so far.
func (f *Flow) Sent() int64     { return f.sent.Load() }
func (f *Flow) Received() int64 { return f.received.arrived.Load() }

// Stop ends the flow, waits for packets that are still on their way and returns
// the account.
func (f *Flow) Stop() (FlowResult, error) {
	f.stop.Store(true)
	f.wg.Wait()
	f.sender.Close()
	sent := f.sent.Load()
	// Whatever has not arrived half a second after the last that did is lost.
	const quiet = 500 * time.Millisecond
	for last, since := f.Received(), time.Now(); last < sent && time.Since(since) < quiet; {
		time.Sleep(5 * time.Millisecond)
		if now := f.Received(); now != last {
			last, since = now, time.Now()
		}
	}
	f.receiver.Close()
	<-f.received.done
	r := f.received.final(sent)
	r.Refused, r.Err = f.refused, f.sendErr
	err := f.received.err
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return r, err
}

// longestGap returns the longest run of clear bits among the first n.
func longestGap(seen []uint64, n int64) int64 {
	var longest, run int64
	for i := range n {
		if w := int(i / 64); w < len(seen) && seen[w]&(1<<(i%64)) != 0 {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

// UDP sends n packets of size bytes at rate a second and returns the account.
func UDP(from, to *lab.Host, dst netip.Addr, n int64, size, rate int) (FlowResult, error) {
	f, err := StartFlow(from, to, dst, size, rate)
	if err != nil {
		return FlowResult{}, err
	}
	for f.Sent() < n {
		time.Sleep(time.Millisecond)
	}
	return f.Stop()
}
