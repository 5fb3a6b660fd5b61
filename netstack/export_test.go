// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/tailscale/wireguard-go/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// What the tests need to see of the inside.
const (
	BatchSize   = batchSize
	SlabSize    = slabSize
	Spacing     = spacing
	RingPackets = ringPackets
	RingReserve = ringReserve
	RingBytes   = ringBytes
)

var GSOMaxSize = gsoMaxSize

// Outgoing returns packet as the stack hands it out: headers apart from the
// payload, which is in two views, and with the TCP checksum left to be
// completed if mss is not 0.
func Outgoing(packet []byte, mss int, hash uint32) *stack.PacketBuffer {
	ip, tcp := 20, 8
	proto := header.IPv4ProtocolNumber
	if packet[0]>>4 == 6 {
		ip, proto = 40, header.IPv6ProtocolNumber
	}
	isTCP := ip == 20 && packet[9] == protoTCP || ip == 40 && packet[6] == protoTCP
	if isTCP {
		tcp = int(packet[ip+tcpOffsetAt]>>4) * 4
	}
	if isTCP && mss != 0 { // leave the sum over segment and data to the link
		packet = bytes.Clone(packet)
		src, dst := packet[12:16], packet[16:20]
		if ip == 40 {
			src, dst = packet[8:24], packet[24:40]
		}
		binary.BigEndian.PutUint16(packet[ip+tcpChecksumAt:], tun.PseudoHeaderChecksum(protoTCP, src, dst, uint16(len(packet)-ip)))
	}
	data := packet[ip+tcp:]
	payload := buffer.MakeWithData(data[:len(data)/2])
	if rest := data[len(data)/2:]; len(rest) > 0 {
		payload.Append(buffer.NewViewWithData(rest))
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{ReserveHeaderBytes: ip + tcp, Payload: payload})
	copy(pkt.TransportHeader().Push(tcp), packet[ip:])
	copy(pkt.NetworkHeader().Push(ip), packet)
	pkt.NetworkProtocolNumber = proto
	pkt.Hash = hash
	if isTCP && mss != 0 {
		pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, CsumOffset: tcpChecksumAt, MSS: uint16(mss), L3HdrLen: uint16(ip)}
		if ip == 40 {
			pkt.GSOOptions.Type = stack.GSOTCPv6
		}
	}
	return pkt
}

// Send gives the device a packet as the stack does, and keeps the caller's
// reference.
func (d *Device) Send(pkt *stack.PacketBuffer) bool {
	var list stack.PacketBufferList
	list.PushBack(pkt)
	_, err := d.link.WritePackets(list)
	return err == nil
}

// QueueOf returns which queue takes pkt.
func (d *Device) QueueOf(pkt *stack.PacketBuffer) int {
	hash, _ := d.link.classify(pkt)
	return int(hash % uint32(len(d.queues)))
}

// Joiner runs the checks and joins of Write without a stack behind them.
type Joiner struct {
	j     joiner
	drops [numDropReasons]int
}

func NewJoiner() *Joiner { return &Joiner{j: joiner{seed: maphash.MakeSeed()}} }

// Run returns how many runs bufs, at most BatchSize, become.
func (j *Joiner) Run(bufs [][]byte, offset int) int {
	j.j.join(bufs, offset, &j.drops)
	return j.j.n
}

// Runs returns the packets that the stack would be given, and whether each is
// declared verified.
func (j *Joiner) Runs() (packets [][]byte, verified []bool) {
	for i := range j.j.runs[:j.j.n] {
		r := &j.j.runs[i]
		v := j.j.build(r)
		packets = append(packets, v.Flatten())
		verified = append(verified, j.j.pkts[r.first].verified)
		v.Release()
	}
	return packets, verified
}

func (j *Joiner) Reset() { j.j.reset() }

// Dropped returns how many packets were dropped so far.
func (j *Joiner) Dropped() (n int) {
	for _, k := range j.drops {
		n += k
	}
	return n
}

// MinTimer is the shortest timer of the stack, NewClock its clock.
const MinTimer = minTimer

func NewClock() tcpip.Clock { return clock{tcpip.NewStdClock()} }

// Race is how DialContext tries several addresses.
var Race = race

// Ring is the ring of a queue.
type Ring struct{ r ring }

func NewRing() *Ring {
	r := new(Ring)
	r.r.init()
	return r
}

func (r *Ring) Put(pkt *stack.PacketBuffer, wait bool) (ok, closed bool) {
	pkt.IncRef()
	res := r.r.put(entry{pkt: pkt, size: pkt.Size()}, wait)
	if res != putDone {
		pkt.DecRef()
	}
	return res == putDone, res == putClosed
}

func (r *Ring) Take(n int) []*stack.PacketBuffer {
	dst := make([]entry, n)
	var mtu atomic.Uint32
	mtu.Store(maxMTU)
	k := r.r.take(dst, &room{live: &mtu, slots: n, bytes: 1 << 30})
	var out []*stack.PacketBuffer
	for _, e := range dst[:k] {
		out = append(out, e.pkt)
	}
	return out
}

func (r *Ring) Close()                    { r.r.close() }
func (r *Ring) Depth() (int, int, uint64) { return r.r.depth() }

// Deadline is the deadline of a connection.
type Deadline struct{ d deadline }

func (d *Deadline) Set(t time.Time)         { d.d.set(t) }
func (d *Deadline) Over() bool              { return d.d.over() }
func (d *Deadline) Passed() <-chan struct{} { return d.d.passed() }

// RawOut returns how many raw packets of d are not in their pool.
func (d *Device) RawOut() int64 { return d.raws.out.Load() }

// RawPool is the pool of raw packets.
type (
	RawPool   struct{ p rawPool }
	RawPacket = rawPacket
)

func (p *RawPool) Get(n int) *RawPacket { return p.p.get(n) }
func (p *RawPool) Out() int64           { return p.p.out.Load() }
func PutRaw(r *RawPacket)               { r.put() }

// SpoilRaw gives r another buffer than its own.
func SpoilRaw(r *RawPacket) { r.b = make([]byte, 10) }

// RawLen returns length and capacity of r.
func RawLen(r *RawPacket) (int, int) { return len(r.b), cap(r.b) }
