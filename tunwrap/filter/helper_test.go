// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// Who takes part in the tests.
const (
	host  = filter.Host
	alice = filter.Party(1)
	bob   = filter.Party(2)
	carol = filter.Party(70000)
)

// Addresses of host, alice and bob.
const (
	h4, a4, b4 = "10.0.0.1", "10.0.0.2", "10.0.1.3"
	h6, a6, b6 = "fd00::1", "fd00::2", "fd00:1::3"
)

// A clock is moved by hand.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(1700000000, c.ns.Load()) }

func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// A world is a filter with a clock, for packets one by one.
type world struct {
	testing.TB
	*filter.Filter
	clock *clock
	batch filter.Batch
}

func newWorld(tb testing.TB, max int, rules ...filter.Rule) *world {
	tb.Helper()
	w := &world{TB: tb, clock: new(clock)}
	f, err := filter.New(rules, &filter.Options{MaxFlows: max, Now: w.clock.now})
	if err != nil {
		tb.Fatal(err)
	}
	w.Filter = f
	return w
}

// judge is the verdict about a packet in a batch of its own.
func (w *world) judge(pkt []byte, from, to filter.Party) filter.Reason {
	w.Helper()
	w.batch.Reset()
	return w.next(pkt, from, to)
}

// next is the verdict about a packet in the batch of the last one.
func (w *world) next(pkt []byte, from, to filter.Party) filter.Reason {
	w.Helper()
	var p inner.Packet
	if problem := p.Parse(pkt); problem != inner.OK {
		w.Fatalf("Parse = %v", problem)
	}
	return w.Verdict(&w.batch, &p, pkt, from, to)
}

// want judges a packet and compares.
func (w *world) want(want filter.Reason, pkt []byte, from, to filter.Party) {
	w.Helper()
	if got := w.judge(pkt, from, to); got != want {
		w.Errorf("verdict %v, want %v", got, want)
	}
}

// check looks at the tables.
func (w *world) check() {
	w.Helper()
	if err := w.Check(); err != nil {
		w.Error(err)
	}
}

// flows wants so many flows.
func (w *world) flows(want int) {
	w.Helper()
	if got := w.Stats().Flows; got != want {
		w.Errorf("%d flows, want %d", got, want)
	}
	w.check()
}

func at(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

func udp(src string, srcPort uint16, dst string, dstPort uint16) []byte {
	return testutil.UDP(at(src, srcPort), at(dst, dstPort), []byte("payload."))
}

func tcp(flags uint8, src string, srcPort uint16, dst string, dstPort uint16) []byte {
	return (&testutil.TCP{Src: at(src, srcPort), Dst: at(dst, dstPort), Flags: flags}).Packet()
}

func echo(src, dst string, id uint16) []byte {
	return testutil.Echo(netip.MustParseAddr(src), netip.MustParseAddr(dst), id, 1, nil)
}

// reply turns an echo request into its answer; checksums are not looked at.
func reply(src, dst string, id uint16) []byte {
	b := echo(src, dst, id)
	if b[0]>>4 == 4 {
		b[20] = 0
	} else {
		b[40] = 129
	}
	return b
}

// other returns a packet of another protocol with n bytes.
func other(src, dst string, protocol uint8, n int) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	if s.Is4() {
		b := make([]byte, 20+n)
		b[0], b[8], b[9] = 0x45, 64, protocol
		copy(b[12:], s.AsSlice())
		copy(b[16:], d.AsSlice())
		return seal(b)
	}
	b := make([]byte, 40+n)
	b[0], b[6], b[7] = 0x60, protocol, 64
	copy(b[8:], s.AsSlice())
	copy(b[24:], d.AsSlice())
	return seal(b)
}

// seal makes the length and the checksum of the IP header right.
func seal(b []byte) []byte {
	if b[0]>>4 == 6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		return b
	}
	header := int(b[0]&15) * 4
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint16(b[10:], ^inner.Sum(b[:header], 0))
	return b
}

// icmpError returns an error about the beginning of quoted.
func icmpError(src, dst string, kind uint8, quoted []byte) []byte {
	b := other(src, dst, inner.ICMP, 8)
	if b[0]>>4 == 6 {
		b[6] = inner.ICMPv6
	}
	b[len(b)-8] = kind
	return seal(append(b, quoted...))
}

// fragment cuts bytes from offset to end out of the payload of a packet without options.
func fragment(pkt []byte, id uint32, offset, end int) []byte {
	if pkt[0]>>4 == 4 {
		field := uint16(offset / 8)
		if end < len(pkt)-20 {
			field |= 0x2000
		}
		b := append(append([]byte(nil), pkt[:20]...), pkt[20+offset:20+end]...)
		binary.BigEndian.PutUint16(b[4:], uint16(id))
		binary.BigEndian.PutUint16(b[6:], field)
		return seal(b)
	}
	header := [8]byte{pkt[6]}
	field := uint16(offset)
	if end < len(pkt)-40 {
		field |= 1
	}
	binary.BigEndian.PutUint16(header[2:], field)
	binary.BigEndian.PutUint32(header[4:], id)
	b := append(append([]byte(nil), pkt[:40]...), header[:]...)
	b[6] = 44
	return seal(append(b, pkt[40+offset:40+end]...))
}

func prefixes(texts ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, text := range texts {
		ps = append(ps, netip.MustParsePrefix(text))
	}
	return ps
}
