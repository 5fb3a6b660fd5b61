// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// KeyLen is the length of a [Key] in bytes.
const KeyLen = 32

// keyTextLen is the length of a key in base64: 32 bytes are 43 digits and one =.
const keyTextLen = 44

// A Key is a WireGuard key: a Curve25519 private or public key, or a preshared
// symmetric key. The zero Key means that there is none.
//
// [Key.String] and the fmt verbs print the key in clear, as public keys need;
// log/slog never does.
type Key [KeyLen]byte

// ParseKey reads a key in the base64 form that wg prints: 44 characters, the
// unused bits zero, no white space. The error does not repeat the text.
func ParseKey(text string) (Key, error) {
	if len(text) != keyTextLen {
		return Key{}, fmt.Errorf("parse key: %d characters instead of %d", len(text), keyTextLen)
	}
	k, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(k) != KeyLen {
		return Key{}, errors.New("parse key: not the base64 form of 32 bytes")
	}
	return Key(k), nil
}

// GenerateKey returns a new private key, clamped like that of wg genkey.
func GenerateKey() (Key, error) {
	k, err := GeneratePresharedKey()
	if err != nil {
		return Key{}, err
	}
	return k.clamp(), nil
}

// GeneratePresharedKey returns 32 random bytes, like wg genpsk.
func GeneratePresharedKey() (Key, error) {
	var k Key
	if _, err := rand.Read(k[:]); err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	return k, nil
}

// clamp returns k as Curve25519 uses it as a scalar (RFC 7748 section 5).
func (k Key) clamp() Key {
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// Public returns the public key of the private key k. It is zero when the Go
// cryptography library refuses Curve25519, as in its FIPS 140-only mode.
func (k Key) Public() Key {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		return Key{}
	}
	return Key(private.PublicKey().Bytes())
}

// IsZero reports whether k is the zero Key.
func (k Key) IsZero() bool { return k == Key{} }

// String returns k in base64, the form of configuration files.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// Hex returns k in lower-case hexadecimal, the form of the control socket.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

// LogValue hides k, because a log must not hold private keys and a Key does not
// know what it is. Log a public key with [Key.String].
func (k Key) LogValue() slog.Value { return slog.StringValue(hidden) }
