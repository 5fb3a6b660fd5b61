// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/tailscale/wireguard-go/conn"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/path"
)

// Pauses after a failed read: the device ends a receive function for good on an
// error, so errors stay here and are tried again.
const (
	minReadPause = 10 * time.Millisecond
	maxReadPause = time.Second
)

// A receiver is the receive side of one socket. It belongs to the goroutine
// that the device runs its function in.
type receiver struct {
	bind    *Bind
	sock    socket
	port    uint16
	ended   <-chan struct{} // closed when the functions of its Open are to end
	gone    <-chan struct{} // closed when its underlay was removed; nil for the kernel's sockets
	done    chan struct{}   // closed when it has ended
	over    bool            // likewise
	quiet   bool            // the read before this one brought nothing: see empty
	pkts    []batching.Packet
	remotes *remotes
	seems   places
	carried path.Path // of the pair that a frame was last received of in this batch
}

func newReceiver(b *Bind, s socket, ended <-chan struct{}) *receiver {
	return &receiver{
		bind: b, sock: s, port: s.LocalAddr().Port(), ended: ended, done: make(chan struct{}),
		pkts: make([]batching.Packet, conn.IdealBatchSize), remotes: newRemotes(b),
	}
}

// The device shows the names of its receive functions in its log.

func (rx *receiver) receiveIPv4(slab []byte, packets []conn.ReceivedPacket) (int, error) {
	return rx.receive(slab, packets)
}

func (rx *receiver) receiveIPv6(slab []byte, packets []conn.ReceivedPacket) (int, error) {
	return rx.receive(slab, packets)
}

func (rx *receiver) receiveXDP(slab []byte, packets []conn.ReceivedPacket) (int, error) {
	return rx.receive(slab, packets)
}

// receive fills slab and packets with at least one WireGuard message. Both are
// the caller's; nothing of them is kept. It returns net.ErrClosed after Close, or
// when the socket has left its group or its underlay was removed, and it is empty;
// and no other error.
func (rx *receiver) receive(slab []byte, packets []conn.ReceivedPacket) (int, error) {
	for !rx.over {
		n, err := rx.sock.ReadBatch(slab, rx.pkts[:min(len(packets), len(rx.pkts))])
		if err != nil {
			if rx.last(err) {
				rx.over = true
				close(rx.done)
			}
			continue
		}
		rx.quiet = false
		rx.bind.tap.Load().received(rx, slab, rx.pkts[:n])
		if out := rx.sort(slab, rx.pkts[:n], packets); out > 0 {
			return out, nil
		}
	}
	return 0, net.ErrClosed
}

// sort describes the WireGuard messages among pkts in packets, in the same
// order, counts the rest, and returns how many there are.
func (rx *receiver) sort(slab []byte, pkts []batching.Packet, packets []conn.ReceivedPacket) int {
	var dropped [numDropReasons]uint64
	var kinds [numMessages]uint64
	out, taken := 0, 0
	var last *remote // of a run of packets that are counted together
	var packetsOf, bytesOf uint64
	rx.carried = path.Path{}
	for i := range pkts {
		p := &pkts[i]
		data := slab[p.Offset : p.Offset+p.Size]
		msg, reason := classify(data)
		vni := geneve.VNI(0)
		if msg == messageInvalid && reason != dropTooShort {
			if data, vni, reason = rx.unwrap(p, data, reason); data == nil {
				if reason != dropNone {
					dropped[reason]++
				} else {
					taken++
				}
				continue
			}
			p.Offset, p.Size = p.Offset+geneve.HeaderLen, len(data)
			msg, reason = classify(data)
		}
		if reason != dropNone {
			dropped[reason]++
			continue
		}
		var ep conn.Endpoint
		r := rx.remotes.find(p, vni)
		if r != last {
			if last != nil {
				last.received(packetsOf, bytesOf)
			}
			last, packetsOf, bytesOf = r, 0, 0
		}
		packetsOf++
		bytesOf += uint64(p.Size)
		kinds[msg]++
		switch msg {
		case messageInitiation:
			ep = initiation{r, binary.LittleEndian.Uint32(data[offsetSender:])}
		case messageResponse:
			rx.bind.answered(binary.LittleEndian.Uint32(data[offsetResponseReceiver:]))
			ep = r
		default:
			ep = r
		}
		packets[out] = conn.ReceivedPacket{Offset: p.Offset, Size: p.Size, Endpoint: ep}
		out++
	}
	if last != nil {
		last.received(packetsOf, bytesOf)
	}
	for msg, n := range kinds {
		if n > 0 {
			rx.bind.rx.messages[msg].Add(n)
		}
	}
	if out+taken < len(pkts) {
		for reason, n := range dropped {
			if n > 0 {
				rx.bind.rx.dropped[reason].Add(n)
			}
		}
	}
	return out
}

// last reports whether a failed read was the last one. If it was not, it waits
// before the next one, longer the more of them there were in a row.
func (rx *receiver) last(err error) bool {
	switch {
	case errors.Is(err, net.ErrClosed):
		return true
	case errors.Is(err, io.EOF) && rx.gone == nil:
		rx.bind.leave(rx.sock)
		return true
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Close wakes the receive functions of sockets that stay open. What they
		// did not read stays in the socket for those that come next. Nobody comes
		// after those of an underlay that was removed.
		select {
		case <-rx.gone:
			return rx.empty()
		default:
		}
		select {
		case <-rx.ended:
			return true
		default:
		}
	}
	n := rx.bind.rx.errors.Add(1)
	if n == 1 || n%100 == 0 {
		rx.bind.log.Warn("receiving fails, trying again", "addr", rx.sock.LocalAddr(), "errors", n, "err", err)
	}
	t := time.NewTimer(min(maxReadPause, minReadPause<<min(n, 8)))
	defer t.Stop()
	select {
	case <-rx.gone:
		return true
	case <-rx.ended:
		return true
	case <-t.C:
		return false
	}
}

// empty reports whether nothing came for as long as lingering. If it cannot tell
// yet, the next reads last no longer.
func (rx *receiver) empty() bool {
	if rx.quiet {
		return true
	}
	rx.quiet = true
	return rx.sock.SetReadDeadline(time.Now().Add(lingering)) != nil // it is closed
}
