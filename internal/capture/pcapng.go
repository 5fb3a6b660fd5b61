// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

import (
	"encoding/binary"
	"time"
)

// The blocks of pcapng that are written, in little endian, as of
// draft-ietf-opsawg-pcapng. Each is
//
//	type(4) length(4) body options length(4)
//
// and an option is code(2) length(2) value, padded to 4 bytes. Rejected: pcapgo of
// gopacket, which reads it in the tests. It has no isb_filteraccept and isb_usrdeliv,
// allocates for each packet, and adds 2.6 MB to the program with its dissectors.
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockStatistics = 5
	blockPacket     = 6

	byteOrderMagic = 0x1a2b3c4d
	linkTypeRaw    = 101 // IPv4 or IPv6, as its first four bits say

	optEnd         = 0
	optComment     = 1
	optOS          = 3 // of a section
	optApplication = 4
	optName        = 2 // of an interface
	optDescription = 3
	optResolution  = 9
	optFilter      = 11
	optFlags       = 2 // of a packet
	optStart       = 2 // of statistics
	optStop        = 3
	optReceived    = 4
	optDropped     = 5
	optAccepted    = 6
	optDelivered   = 8

	flagInbound  = 1
	flagOutbound = 2

	nanoseconds = 9 // as a power of ten
)

// A block is one block that is being appended to b.
type block struct {
	b     []byte
	begin int
}

func beginBlock(b []byte, kind uint32) block {
	x := block{begin: len(b)}
	x.b = binary.LittleEndian.AppendUint32(b, kind)
	x.b = binary.LittleEndian.AppendUint32(x.b, 0)
	return x
}

func (x *block) u16(v uint16) { x.b = binary.LittleEndian.AppendUint16(x.b, v) }
func (x *block) u32(v uint32) { x.b = binary.LittleEndian.AppendUint32(x.b, v) }
func (x *block) u64(v uint64) { x.b = binary.LittleEndian.AppendUint64(x.b, v) }

// time is a timestamp: two halves, the high one first.
func (x *block) time(ns int64) {
	x.u32(uint32(uint64(ns) >> 32))
	x.u32(uint32(ns))
}

// pad fills up to 4 bytes what began at begin.
func (x *block) pad(begin int) {
	for (len(x.b)-begin)%4 != 0 {
		x.b = append(x.b, 0)
	}
}

// text is an option, left out when empty. More than an option holds is cut.
func (x *block) text(code uint16, s string) {
	if s == "" {
		return
	}
	s = s[:min(len(s), 1<<16-4)]
	x.u16(code)
	x.u16(uint16(len(s)))
	begin := len(x.b)
	x.b = append(x.b, s...)
	x.pad(begin)
}

func (x *block) option32(code uint16, v uint32) {
	x.u16(code)
	x.u16(4)
	x.u32(v)
}

func (x *block) option64(code uint16, v uint64) {
	x.u16(code)
	x.u16(8)
	x.u64(v)
}

func (x *block) optionTime(code uint16, t time.Time) {
	x.u16(code)
	x.u16(8)
	x.time(t.UnixNano())
}

// end ends the options and the block, and returns all that was appended to.
func (x *block) end() []byte {
	x.u32(optEnd)
	length := uint32(len(x.b) - x.begin + 4)
	binary.LittleEndian.PutUint32(x.b[x.begin+4:], length)
	return binary.LittleEndian.AppendUint32(x.b, length)
}

func appendSection(b []byte, system, application string) []byte {
	x := beginBlock(b, blockSection)
	x.u32(byteOrderMagic)
	x.u16(1) // version 1.0
	x.u16(0)
	x.u64(1<<64 - 1) // of unknown length
	x.text(optOS, system)
	x.text(optApplication, application)
	return x.end()
}

func appendInterface(b []byte, name, description, filter string, snapLen int) []byte {
	x := beginBlock(b, blockInterface)
	x.u16(linkTypeRaw)
	x.u16(0)
	x.u32(uint32(snapLen))
	x.text(optName, name)
	x.text(optDescription, description)
	x.u16(optResolution)
	x.u16(1)
	x.u32(nanoseconds) // and its padding
	if filter != "" {
		x.text(optFilter, "\x00"+filter) // as text, not as a program
	}
	return x.end()
}

// beginPacket begins a packet of which captured bytes are to be appended, then padded.
func beginPacket(b []byte, iface int, ns int64, captured, length int) block {
	x := beginBlock(b, blockPacket)
	x.u32(uint32(iface))
	x.time(ns)
	x.u32(uint32(captured))
	x.u32(uint32(length))
	return x
}

func appendStatistics(b []byte, iface int, start, stop time.Time, c *counters) []byte {
	x := beginBlock(b, blockStatistics)
	x.u32(uint32(iface))
	x.time(stop.UnixNano())
	x.optionTime(optStart, start)
	x.optionTime(optStop, stop)
	x.option64(optReceived, c.seen.Load())
	x.option64(optDropped, c.dropped.Load())
	x.option64(optAccepted, c.accepted.Load())
	x.option64(optDelivered, c.written.Load())
	return x.end()
}
