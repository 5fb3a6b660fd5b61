// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package geneve encodes and decodes the fixed 8-byte Geneve header of
// RFC 8926 section 3.4, the only Geneve form that relayed paths use: version 0,
// no options.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|        Virtual Network Identifier (VNI)       |    Reserved   |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// The header is as long as the headroom that wireguard-go leaves in front of
// every message, so it is written in place, without a copy. batching writes it,
// peers and peers/relay read it.
//
// Everything here is pure and safe for concurrent use; no function retains the
// bytes it is given.
package geneve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// HeaderLen is the length of the header in bytes.
const HeaderLen = 8

// Protocol types of the frames behind the header. They are not registered with
// IANA; Tailscale uses the same two.
const (
	// ProtocolDisco marks a path discovery message.
	ProtocolDisco uint16 = 0x7A11
	// ProtocolWireGuard marks a WireGuard message.
	ProtocolWireGuard uint16 = 0x7A12
)

// MaxVNI is the largest virtual network identifier: 24 bits.
const MaxVNI = 1<<24 - 1

// vniSet marks a VNI that holds a value, so that VNI 0 differs from none.
const vniSet VNI = 1 << 31

// Errors that [Header.Put] and [Header.Decode] return, beside
// [io.ErrShortBuffer] and [io.ErrUnexpectedEOF].
var (
	// ErrUnset means the header to encode has no VNI: the frame would belong
	// to no relayed path.
	ErrUnset = errors.New("geneve: VNI is not set")
	// ErrUnsupported means the bytes are no Geneve frame of the form used here:
	// drop the datagram and count it.
	ErrUnsupported = errors.New("geneve: version, options or reserved bits are not zero")
)

// A VNI is a virtual network identifier or, as the zero value, none.
type VNI uint32

// MakeVNI returns the VNI with value v, at most [MaxVNI].
func MakeVNI(v uint32) (VNI, error) {
	if v > MaxVNI {
		return 0, fmt.Errorf("geneve: VNI %d is more than 24 bits", v)
	}
	return VNI(v) | vniSet, nil
}

// IsSet reports whether v holds an identifier.
func (v VNI) IsSet() bool { return v&vniSet != 0 }

// Value returns the identifier; 0 when none is set.
func (v VNI) Value() uint32 { return uint32(v &^ vniSet) }

// String returns the identifier in decimal, or "none".
func (v VNI) String() string {
	if !v.IsSet() {
		return "none"
	}
	return fmt.Sprint(v.Value())
}

// MarshalJSON returns the identifier as a number, or null when none is set.
func (v VNI) MarshalJSON() ([]byte, error) {
	if !v.IsSet() {
		return []byte("null"), nil
	}
	return strconv.AppendUint(nil, uint64(v.Value()), 10), nil
}

// UnmarshalJSON reads what [VNI.MarshalJSON] returns.
func (v *VNI) UnmarshalJSON(b []byte) error {
	*v = 0
	if string(b) == "null" {
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil {
		return fmt.Errorf("geneve: VNI %s: %w", b, err)
	}
	*v, err = MakeVNI(uint32(n))
	return err
}

// A Header is the fixed Geneve header.
type Header struct {
	// VNI names the relayed path.
	VNI VNI
	// Protocol is [ProtocolDisco] or [ProtocolWireGuard].
	Protocol uint16
	// Control is the O bit: the frame is for the relay itself.
	Control bool
}

// Put writes the header into the first [HeaderLen] bytes of b and returns
// HeaderLen. It writes nothing when it returns an error.
func (h Header) Put(b []byte) (int, error) {
	if len(b) < HeaderLen {
		return 0, io.ErrShortBuffer
	}
	if !h.VNI.IsSet() {
		return 0, ErrUnset
	}
	b[0] = 0
	b[1] = 0
	if h.Control {
		b[1] = 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.Protocol)
	binary.BigEndian.PutUint32(b[4:], h.VNI.Value()<<8)
	return HeaderLen, nil
}

// Decode sets every field of h from the first [HeaderLen] bytes of b. On an
// error h is the zero Header.
func (h *Header) Decode(b []byte) error {
	*h = Header{}
	if len(b) < HeaderLen {
		return io.ErrUnexpectedEOF
	}
	if b[0] != 0 || b[1]&^0x80 != 0 || b[7] != 0 {
		return ErrUnsupported
	}
	h.Control = b[1]&0x80 != 0
	h.Protocol = binary.BigEndian.Uint16(b[2:])
	h.VNI = VNI(binary.BigEndian.Uint32(b[4:])>>8) | vniSet
	return nil
}
