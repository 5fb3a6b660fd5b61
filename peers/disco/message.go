// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import (
	"errors"
	"fmt"
	"slices"
)

// Errors of [BodyType] and of decoding: drop the body and count it by the error.
var (
	// ErrShort means that a body ends before its fields do.
	ErrShort = errors.New("disco: body is too short")
	// ErrType means that the type of a body is unknown or not the one asked for.
	ErrType = errors.New("disco: unknown type of body")
	// ErrValue means that a field has a value that nobody can mean.
	ErrValue = errors.New("disco: impossible value in body")
)

// A MessageType is the first byte of a body.
type MessageType uint8

// The types of messages. Those up to TypeCandidates are between peers, the
// others between a client and a relay.
const (
	TypePing       MessageType = 1
	TypePong       MessageType = 2
	TypeCandidates MessageType = 3

	TypeRegister      MessageType = 16 // client to relay
	TypeChallenge     MessageType = 17 // relay to client
	TypeRegistered    MessageType = 18 // relay to client
	TypeAllocate      MessageType = 19 // client to relay
	TypeAllocated     MessageType = 20 // relay to client
	TypeBind          MessageType = 21 // client to relay, control
	TypeBindChallenge MessageType = 22 // relay to client, control
	TypeBindAnswer    MessageType = 23 // client to relay, control
	TypeBound         MessageType = 24 // relay to client, control
	TypeUnknown       MessageType = 25 // relay to client, control: no such session
)

// typeNames are the types that exist.
var typeNames = [...]string{
	TypePing:          "ping",
	TypePong:          "pong",
	TypeCandidates:    "candidates",
	TypeRegister:      "register",
	TypeChallenge:     "challenge",
	TypeRegistered:    "registered",
	TypeAllocate:      "allocate",
	TypeAllocated:     "allocated",
	TypeBind:          "bind",
	TypeBindChallenge: "bind_challenge",
	TypeBindAnswer:    "bind_answer",
	TypeBound:         "bound",
	TypeUnknown:       "unknown",
}

// known reports whether t is a type of this protocol.
func (t MessageType) known() bool { return int(t) < len(typeNames) && typeNames[t] != "" }

// relay reports whether t is a type of [RelayMessage].
func (t MessageType) relay() bool { return t >= TypeRegister && t <= TypeUnknown }

// String returns the name of the type in snake case, as metrics have it, or
// "type(n)" for one that is not known.
func (t MessageType) String() string {
	if !t.known() {
		return fmt.Sprintf("type(%d)", uint8(t))
	}
	return typeNames[t]
}

// BodyType returns the type of a body, to choose the message to decode it with.
// The errors are [ErrShort], for less than [MinBody] bytes, and [ErrType].
func BodyType(body []byte) (MessageType, error) {
	if len(body) < MinBody {
		return 0, ErrShort
	}
	t := MessageType(body[0])
	if !t.known() {
		return 0, ErrType
	}
	return t, nil
}

// headerSize is type and flags, with which every body begins.
const headerSize = 2

// fieldsOf returns what follows type and flags of a body of type t that has at
// least size bytes of fields. All bodies have at least [MinBody] bytes.
func fieldsOf(body []byte, t MessageType, size int) ([]byte, error) {
	got, err := BodyType(body)
	if err != nil {
		return nil, err
	}
	if got != t {
		return nil, ErrType
	}
	if len(body) > MaxBody {
		return nil, ErrValue
	}
	if len(body) < headerSize+size {
		return nil, ErrShort
	}
	return body[headerSize:], nil
}

// padFrom appends zeros until what b has from start on is size bytes long.
func padFrom(b []byte, start, size int) []byte {
	end := len(b)
	if start+size > end {
		b = slices.Grow(b, start+size-end)[:start+size]
		clear(b[end:])
	}
	return b
}
