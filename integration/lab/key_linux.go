// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
)

// A Key is a private, public or pre-shared key.
type Key [32]byte

// NewKey returns a random key, good as a private or a pre-shared one.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// Public returns the public key of a private one.
func (k Key) Public() Key {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		panic(err) // only for a wrong length
	}
	return Key(private.PublicKey().Bytes())
}

// String returns the key in base64, as files have it.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Hex returns the key in hexadecimal, as the control socket has it.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }
