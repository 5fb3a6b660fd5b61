// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// slabSize holds two merged messages of 64 KiB, as wireguard-go's does.
const slabSize = 2 * 65535

// Pauses after a failed read, longer the more of them there were.
const (
	minReadPause = 10 * time.Millisecond
	maxReadPause = time.Second
)

// A worker reads one socket. But for the counters of its outbox it belongs to the
// goroutine that runs it.
type worker struct {
	server *Server
	sock   socket
	group  int // of the socket
	index  int // of the socket in its group

	slab       []byte
	pkts       []batching.Packet
	out        outbox
	dropped    [numDrops]uint64 // of the current batch
	src        source           // of the question under way
	answer     []byte           // to it, with its header
	reply      func(to *place, vni geneve.VNI, frame []byte)
	readErrors uint64 // in a row
}

func newWorker(s *Server, sock socket, group, index int) *worker {
	w := &worker{
		server: s, sock: sock, group: group, index: index,
		slab: make([]byte, slabSize),
		pkts: make([]batching.Packet, batching.MaxBatch),
	}
	w.out.prepare(s.table, w)
	w.reply = w.sendAnswer
	return w
}

// to returns the socket to send to a group's clients through.
func (w *worker) to(group int) writer {
	if group == w.group {
		return w.sock
	}
	conns := w.server.conns[group]
	return conns[w.index%len(conns)]
}

// run reads until the socket is closed.
func (w *worker) run() {
	for {
		n, err := w.sock.ReadBatch(w.slab, w.pkts)
		if err != nil {
			if w.over(err) {
				return
			}
			continue
		}
		w.readErrors = 0
		w.batch(time.Now(), w.pkts[:n])
	}
}

// batch deals with what one read brought.
func (w *worker) batch(now time.Time, pkts []batching.Packet) {
	for i := range pkts {
		p := &pkts[i]
		f := parse(w.slab[p.Offset : p.Offset+p.Size])
		switch f.kind {
		case frameData:
			w.dropped[w.out.add(now, f.vni, p.Remote, f.whole)]++
		case frameControl:
			w.src = source{remote: p.Remote, local: p.Local, ifIndex: p.IfIndex, group: w.group}
			w.server.table.handle(now, &w.src, f.vni, f.disco, w.reply)
		default:
			w.dropped[f.drop]++
		}
	}
	w.out.flush(now)
	w.countDrops()
}

// countDrops hands the drops of a batch over.
func (w *worker) countDrops() {
	for d := DropNone; d < numDrops; d++ {
		w.server.table.drops.add(d, w.dropped[d])
		w.dropped[d] = 0
	}
}

// sendAnswer sends a frame of the relay's own. What does not leave is counted by
// the socket, and asked for again by the client.
func (w *worker) sendAnswer(to *place, vni geneve.VNI, frame []byte) {
	b := w.answer[:0]
	if vni.IsSet() {
		b = append(b, make([]byte, geneve.HeaderLen)...)
		h := geneve.Header{VNI: vni, Protocol: geneve.ProtocolDisco, Control: true}
		_, _ = h.Put(b) // there is room and a VNI
	}
	w.answer = append(b, frame...)
	if n, _ := w.to(to.group).WriteBatch([][]byte{w.answer}, 0, to.dst, 0); n == 0 {
		w.server.table.drops.add(DropSend, 1)
	}
}

// over reports whether a failed read was the last one. If it was not, it waits
// before the next one.
func (w *worker) over(err error) bool {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return true
	}
	w.readErrors++
	n := w.readErrors
	if n == 1 || n%100 == 0 {
		w.server.log.Warn("receiving fails, trying again", "addr", w.sock.LocalAddr(), "errors", n, "err", err)
	}
	pause := time.NewTimer(min(maxReadPause, minReadPause<<min(n, 8)))
	defer pause.Stop()
	select {
	case <-w.server.closing:
		return true
	case <-pause.C:
		return false
	}
}
