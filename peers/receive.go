// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
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
	closed  <-chan struct{}
	pkts    []batching.Packet
	remotes *remotes
}

func newReceiver(b *Bind, s socket, closed <-chan struct{}) *receiver {
	return &receiver{bind: b, sock: s, closed: closed, pkts: make([]batching.Packet, conn.IdealBatchSize), remotes: newRemotes(b)}
}

// The device shows the names of its receive functions in its log.

func (rx *receiver) receiveIPv4(slab []byte, packets []conn.ReceivedPacket) (int, error) {
	return rx.receive(slab, packets)
}

func (rx *receiver) receiveIPv6(slab []byte, packets []conn.ReceivedPacket) (int, error) {
	return rx.receive(slab, packets)
}

// receive fills slab and packets with at least one WireGuard message. Both are
// the caller's; nothing of them is kept. It returns net.ErrClosed after Close
// and no other error.
func (rx *receiver) receive(slab []byte, packets []conn.ReceivedPacket) (int, error) {
	for {
		n, err := rx.sock.ReadBatch(slab, rx.pkts[:min(len(packets), len(rx.pkts))])
		if err != nil {
			if err := rx.pause(err); err != nil {
				return 0, err
			}
			continue
		}
		if out := rx.sort(slab, rx.pkts[:n], packets); out > 0 {
			return out, nil
		}
	}
}

// sort describes the WireGuard messages among pkts in packets, in the same
// order, counts the rest, and returns how many there are.
func (rx *receiver) sort(slab []byte, pkts []batching.Packet, packets []conn.ReceivedPacket) int {
	var dropped [numDropReasons]uint64
	out := 0
	for i := range pkts {
		p := &pkts[i]
		data := slab[p.Offset : p.Offset+p.Size]
		msg, reason := classify(data)
		if reason != dropNone {
			dropped[reason]++
			continue
		}
		var ep conn.Endpoint
		r := rx.remotes.find(p)
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
	if out > 0 {
		rx.bind.rx.packets.Add(uint64(out))
	}
	if out < len(pkts) {
		for reason, n := range dropped {
			if n > 0 {
				rx.bind.rx.dropped[reason].Add(n)
			}
		}
	}
	return out
}

// pause waits after a failed read, longer the more of them there were in a row,
// or returns net.ErrClosed.
func (rx *receiver) pause(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	n := rx.bind.rx.errors.Add(1)
	if n == 1 || n%100 == 0 {
		rx.bind.log.Warn("receiving fails, trying again", "addr", rx.sock.LocalAddr(), "errors", n, "err", err)
	}
	t := time.NewTimer(min(maxReadPause, minReadPause<<min(n, 8)))
	defer t.Stop()
	select {
	case <-rx.closed:
		return net.ErrClosed
	case <-t.C:
		return nil
	}
}
