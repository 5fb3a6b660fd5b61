// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/tunrouter/tunrouter/geneve"
)

// A Status says what became of an Allocate.
type Status uint8

// The values of Status.
const (
	// StatusDone means that there is a session.
	StatusDone Status = iota
	// StatusNotRegistered means that the other client is not registered with
	// this relay; ask again later.
	StatusNotRegistered
	// StatusNotAllowed means that the other client is not on the relay's list.
	StatusNotAllowed
	// StatusLimit means that a limit is reached; ask again later.
	StatusLimit
)

// String returns the name of the status in snake case.
func (s Status) String() string {
	switch s {
	case StatusDone:
		return "done"
	case StatusNotRegistered:
		return "not_registered"
	case StatusNotAllowed:
		return "not_allowed"
	case StatusLimit:
		return "limit"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Offsets of the fields of a RelayMessage, from the beginning of the body.
const (
	relayTxID       = headerSize
	relayCookie     = relayTxID + 12
	relayKey        = relayCookie + 32
	relayAddr       = relayKey + 32
	relayVNI        = relayAddr + addressSize
	relayGeneration = relayVNI + 4
	relayStatus     = relayGeneration + 8
	relaySeconds    = relayStatus + 1
	relayReserved   = relaySeconds + 2

	// RelayBody is the length in bytes of the body of every [RelayMessage]: no
	// answer is longer than the question.
	RelayBody = relayReserved + 1
)

// A RelayMessage is any message between a client and a relay. All have the same
// layout; what a type does not use is zero:
//
//	type 1, flags 1, transaction 12, cookie 32, key 32, address 18, VNI 4,
//	generation 8, status 1, seconds 2, 1 zero
type RelayMessage struct {
	// Type is [TypeRegister] to [TypeUnknown].
	Type MessageType
	// TxID is that of the question; zero in an Allocated nobody asked for.
	TxID TxID
	// Cookie is what the relay wants back to see that the sender is where its
	// frames come from.
	Cookie [32]byte
	// Key is the public key of the other client of a session.
	Key Key
	// Addr is the address that the relay sees the client at, in Registered and
	// Bound.
	Addr netip.AddrPort
	// VNI is that of the session, at most [geneve.MaxVNI].
	VNI uint32
	// Generation is that of the session, and in Registered that of the relay.
	Generation uint64
	// Status says what became of an Allocate.
	Status Status
	// Seconds is how long a registration lives, or how long there is to bind.
	Seconds uint16
}

// AppendBody appends the body of m to b and returns the extended slice.
func (m *RelayMessage) AppendBody(b []byte) []byte {
	b = append(b, byte(m.Type), 0)
	b = append(b, m.TxID[:]...)
	b = append(b, m.Cookie[:]...)
	b = append(b, m.Key[:]...)
	b = appendAddress(b, m.Addr)
	b = binary.BigEndian.AppendUint32(b, m.VNI)
	b = binary.BigEndian.AppendUint64(b, m.Generation)
	b = append(b, byte(m.Status))
	b = binary.BigEndian.AppendUint16(b, m.Seconds)
	return append(b, 0)
}

// Decode sets m to what body says. The errors are [ErrShort], [ErrType], for a
// type that is not between client and relay, and [ErrValue]: an address that is
// neither zero nor that of one host, none in Registered or Bound, a VNI of more
// than 24 bits, or an unknown status.
func (m *RelayMessage) Decode(body []byte) error {
	*m = RelayMessage{}
	t, err := BodyType(body)
	if err != nil {
		return err
	}
	if !t.relay() {
		return ErrType
	}
	if _, err := fieldsOf(body, t, RelayBody-headerSize); err != nil {
		return err
	}
	addr, err := addressOf(body[relayAddr:])
	if err != nil {
		return err
	}
	vni := binary.BigEndian.Uint32(body[relayVNI:])
	status := Status(body[relayStatus])
	if vni > geneve.MaxVNI || status > StatusLimit || !addr.IsValid() && (t == TypeRegistered || t == TypeBound) {
		return ErrValue
	}
	*m = RelayMessage{
		Type:       t,
		TxID:       TxID(body[relayTxID:]),
		Cookie:     [32]byte(body[relayCookie:]),
		Key:        Key(body[relayKey:]),
		Addr:       addr,
		VNI:        vni,
		Generation: binary.BigEndian.Uint64(body[relayGeneration:]),
		Status:     status,
		Seconds:    binary.BigEndian.Uint16(body[relaySeconds:]),
	}
	return nil
}
