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
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// pingerID is the identifier of a pinger's echo requests: ping(8) has others, as it
// takes that of its process or socket.
const pingerID = 0xfffe

// A Pinger sends echo requests at a steady rate and knows of each when it was sent and
// when it was answered. The kernel of the other end answers, so that a gap is one of
// the path.
type Pinger struct {
	conn     *net.IPConn
	dst      netip.Addr
	size     int
	interval time.Duration

	stop     chan struct{}
	sending  sync.WaitGroup
	received chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	packets []EchoPacket
	err     error
}

// A EchoPacket is one echo request.
type EchoPacket struct {
	Sent     time.Time
	Answered time.Time // zero = never
	Answers  int
}

// maxEcho is how many sequence numbers there are.
const maxEcho = 1 << 16

// StartPinger sends echo requests with size bytes of content from the host to an
// address. There is one pinger in a host at a time, for at most 65,536 packets.
func StartPinger(from *lab.Host, dst netip.Addr, size int, interval time.Duration) (*Pinger, error) {
	p := &Pinger{dst: dst, size: size, interval: interval, stop: make(chan struct{}), received: make(chan struct{})}
	network := "ip4:icmp"
	if dst.Is6() {
		network = "ip6:ipv6-icmp"
	}
	if err := from.Do(func() (err error) {
		p.conn, err = net.ListenIP(network, nil)
		return err
	}); err != nil {
		return nil, err
	}
	p.sending.Go(p.send)
	go p.receive()
	return p, nil
}

func (p *Pinger) send() {
	payload := make([]byte, p.size)
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	for n := 0; n < maxEcho; n++ {
		timer.Reset(time.Until(start.Add(time.Duration(n) * p.interval)))
		select {
		case <-p.stop:
			return
		case <-timer.C:
		}
		// The kernel fills in the checksum of IPv6, and that of IPv4 has no addresses.
		b := EchoBytes(p.dst, p.dst, false, pingerID, uint16(n), payload)
		p.mu.Lock()
		p.packets = append(p.packets, EchoPacket{Sent: time.Now()})
		p.mu.Unlock()
		// A packet that the socket does not take is one that is not answered.
		p.conn.WriteToIP(b, &net.IPAddr{IP: p.dst.AsSlice()})
	}
}

func (p *Pinger) receive() {
	defer close(p.received)
	reply := byte(0)
	if p.dst.Is6() {
		reply = 129
	}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := p.conn.ReadFromIP(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				p.err = err
			}
			return
		}
		at := time.Now()
		a, _ := netip.AddrFromSlice(from.IP)
		if n < 8 || buf[0] != reply || a.Unmap() != p.dst || binary.BigEndian.Uint16(buf[4:]) != pingerID {
			continue
		}
		p.answered(int(binary.BigEndian.Uint16(buf[6:])), at)
	}
}

func (p *Pinger) answered(n int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n >= len(p.packets) {
		return
	}
	if p.packets[n].Answers++; p.packets[n].Answers == 1 {
		p.packets[n].Answered = at
	}
}

// Packets returns what is known so far.
func (p *Pinger) Packets() EchoPackets {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(EchoPackets(nil), p.packets...)
}

// Stop ends the pinger, waits a second for answers that are on their way and returns
// what became of each packet.
func (p *Pinger) Stop() (EchoPackets, error) {
	close(p.stop)
	p.sending.Wait()
	all := p.Packets()
	for deadline := time.Now().Add(time.Second); all.Lost(time.Time{}, time.Now()) > 0 && time.Now().Before(deadline); all = p.Packets() {
		time.Sleep(5 * time.Millisecond)
	}
	p.conn.Close()
	<-p.received
	return p.Packets(), p.err
}

// EchoPackets are the packets of a pinger in the order in which they were sent.
type EchoPackets []EchoPacket

// FirstAnswer returns when the first answer came to a packet sent at that time or
// later; zero when none did.
func (p EchoPackets) FirstAnswer(from time.Time) (first time.Time) {
	for _, packet := range p {
		at := packet.Answered
		if !packet.Sent.Before(from) && !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// Lost returns how many of the packets that were sent from one time and before
// another were not answered.
func (p EchoPackets) Lost(from, before time.Time) (n int) {
	for _, packet := range p {
		if !packet.Sent.Before(from) && packet.Sent.Before(before) && packet.Answers == 0 {
			n++
		}
	}
	return n
}

// Duplicated returns how many answers came more than once.
func (p EchoPackets) Duplicated() (n int) {
	for _, packet := range p {
		n += max(0, packet.Answers-1)
	}
	return n
}

// LongestGap returns the longest time in which every packet sent from one time and
// before another was lost.
func (p EchoPackets) LongestGap(from, before time.Time) (longest time.Duration) {
	var start time.Time
	for _, packet := range p {
		if packet.Sent.Before(from) || !packet.Sent.Before(before) {
			continue
		}
		if packet.Answers > 0 {
			start = time.Time{}
			continue
		}
		if start.IsZero() {
			start = packet.Sent
		}
		longest = max(longest, packet.Sent.Sub(start))
	}
	return longest
}

// String returns the account in one line.
func (p EchoPackets) String() string {
	all := time.Now()
	return fmt.Sprintf("%d echo requests, %d lost, longest gap %v, %d answered twice", len(p), p.Lost(time.Time{}, all), p.LongestGap(time.Time{}, all).Round(time.Millisecond), p.Duplicated())
}
