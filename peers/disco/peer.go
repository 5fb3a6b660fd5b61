// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// MaxCandidates is how many addresses one [Candidates] can hold.
const MaxCandidates = 16

// flagReply in Candidates asks for those of the receiver.
const flagReply = 1

// A Ping asks whether a path leads to the peer, and how wide it is:
//
//	type 1, flags 1, transaction 12, padding
type Ping struct {
	// TxID is what the Pong must bring back.
	TxID TxID
	// Pad is the length in bytes of the whole frame that is wanted; it counts
	// as what is possible, [MinFrame] (also for 0) to [MaxFrame]. Decode sets it
	// to the length of the frame that came, which is the Pong's Size.
	Pad int
}

// AppendBody appends the body of m to b and returns the extended slice.
func (m *Ping) AppendBody(b []byte) []byte {
	start := len(b)
	b = append(b, byte(TypePing), 0)
	b = append(b, m.TxID[:]...)
	return padFrom(b, start, min(max(m.Pad, MinFrame), MaxFrame)-Overhead)
}

// Decode sets m to what body says. The errors are [ErrShort], [ErrType] and
// [ErrValue].
func (m *Ping) Decode(body []byte) error {
	*m = Ping{}
	f, err := fieldsOf(body, TypePing, 12)
	if err != nil {
		return err
	}
	*m = Ping{TxID: TxID(f), Pad: Overhead + len(body)}
	return nil
}

// A Pong answers a [Ping]:
//
//	type 1, flags 1, transaction 12, address 18, size 2, padding to 36
type Pong struct {
	// TxID is that of the Ping.
	TxID TxID
	// Observed is where the Ping came from.
	Observed netip.AddrPort
	// Size is the length in bytes of the frame that the Ping came in, [MinFrame]
	// to [MaxFrame], without a Geneve header.
	Size int
}

// AppendBody appends the body of m to b and returns the extended slice.
func (m *Pong) AppendBody(b []byte) []byte {
	start := len(b)
	b = append(b, byte(TypePong), 0)
	b = append(b, m.TxID[:]...)
	b = appendAddress(b, m.Observed)
	b = binary.BigEndian.AppendUint16(b, uint16(min(max(m.Size, 0), math.MaxUint16)))
	return padFrom(b, start, MinBody)
}

// Decode sets m to what body says. The errors are [ErrShort], [ErrType] and
// [ErrValue]: no address, none that a Ping can come from, or a Size that no
// frame has.
func (m *Pong) Decode(body []byte) error {
	*m = Pong{}
	f, err := fieldsOf(body, TypePong, 12+addressSize+2)
	if err != nil {
		return err
	}
	addr, err := addressOf(f[12:])
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(f[12+addressSize:]))
	if !addr.IsValid() || size < MinFrame || size > MaxFrame {
		return ErrValue
	}
	*m = Pong{TxID: TxID(f), Observed: addr, Size: size}
	return nil
}

// Candidates says where the sender may be reached directly:
//
//	type 1, flags 1, sequence 8, count 1, count × address 18, padding to 36
type Candidates struct {
	// Sequence grows with every message of a sender; see docs/PROTOCOL.md.
	Sequence uint64
	// Reply asks for the receiver's Candidates in return.
	Reply bool
	// Addrs are the candidates, best first. AppendBody takes the first
	// [MaxCandidates] and leaves out what is no address of one host.
	Addrs []netip.AddrPort
}

// AppendBody appends the body of m to b and returns the extended slice.
func (m *Candidates) AppendBody(b []byte) []byte {
	start := len(b)
	var flags byte
	if m.Reply {
		flags = flagReply
	}
	b = append(b, byte(TypeCandidates), flags)
	b = binary.BigEndian.AppendUint64(b, m.Sequence)
	count := len(b)
	b = append(b, 0)
	for _, a := range m.Addrs {
		if b[count] == MaxCandidates {
			break
		}
		if isAddress(a) {
			b = appendAddress(b, a)
			b[count]++
		}
	}
	return padFrom(b, start, MinBody)
}

// Decode sets m to what body says, with m.Addrs in the memory that m.Addrs had if
// that is enough. The errors are [ErrShort], [ErrType] and [ErrValue]: more than
// [MaxCandidates], or one that is no address.
func (m *Candidates) Decode(body []byte) error {
	addrs := m.Addrs[:0]
	*m = Candidates{Addrs: addrs}
	f, err := fieldsOf(body, TypeCandidates, 8+1)
	if err != nil {
		return err
	}
	count, list := int(f[8]), f[8+1:]
	if count > MaxCandidates {
		return ErrValue
	}
	if len(list) < count*addressSize {
		return ErrShort
	}
	for ; count > 0; count-- {
		a, err := addressOf(list)
		if err != nil {
			return err
		}
		if !a.IsValid() {
			return ErrValue
		}
		addrs = append(addrs, a)
		list = list[addressSize:]
	}
	*m = Candidates{Sequence: binary.BigEndian.Uint64(f), Reply: body[1]&flagReply != 0, Addrs: addrs}
	return nil
}
