// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

// ErrKey means that no pair can be made with a public key: it is of low order,
// so that the shared secret would be known to all, or it is the identity's own,
// so that both directions would have the same key. Treat the peer as one that
// does not speak this protocol.
var ErrKey = errors.New("disco: public key is of low order or one's own")

// A Domain keeps frames for different purposes apart: a frame of one does not
// authenticate in the other, with the same keys on the same host, too.
type Domain uint8

// The domains. The zero Domain is none.
const (
	// DomainPeer is for frames between two routers.
	DomainPeer Domain = iota + 1
	// DomainRelay is for frames between a client and a relay.
	DomainRelay
)

// String returns what goes into the derivation of keys.
func (d Domain) String() string {
	switch d {
	case DomainPeer:
		return "tunrouter disco v1"
	case DomainRelay:
		return "tunrouter relay v1"
	}
	return fmt.Sprintf("domain(%d)", uint8(d))
}

// An Identity is a private key with its public key.
type Identity struct {
	private *ecdh.PrivateKey
	public  Key
	rand    io.Reader // of nonces; tests with fixed vectors replace it
}

// NewIdentity returns the identity that has this private key, which is clamped
// as X25519 does. It panics when crypto/ecdh refuses to work with X25519, as in
// FIPS 140-only mode: there is no WireGuard then either.
func NewIdentity(private Key) *Identity {
	k, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		panic("disco: X25519: " + err.Error())
	}
	return &Identity{private: k, public: Key(k.PublicKey().Bytes()), rand: rand.Reader}
}

// Public returns the public key.
func (id *Identity) Public() Key { return id.public }

// Pair derives what id needs to exchange frames with peer in domain d. It costs
// one X25519 operation, so keep the result. The error is [ErrKey].
func (id *Identity) Pair(d Domain, peer Key) (*Pair, error) {
	if d != DomainPeer && d != DomainRelay {
		return nil, fmt.Errorf("disco: no such %v", d)
	}
	if peer == id.public {
		return nil, ErrKey
	}
	public, err := ecdh.X25519().NewPublicKey(peer[:])
	if err != nil {
		return nil, fmt.Errorf("disco: X25519: %w", err)
	}
	secret, err := id.private.ECDH(public)
	if err != nil { // all zero: crypto/ecdh knows no other reason
		return nil, ErrKey
	}
	sendKey := derive(secret, d, " key", &id.public, &peer)
	receiveKey := derive(secret, d, " key", &peer, &id.public)
	send, err := chacha20poly1305.NewX(sendKey[:])
	if err != nil {
		return nil, fmt.Errorf("disco: seal: %w", err)
	}
	receive, err := chacha20poly1305.NewX(receiveKey[:])
	if err != nil {
		return nil, fmt.Errorf("disco: open: %w", err)
	}
	return &Pair{
		peer:          peer,
		send:          send,
		receive:       receive,
		sendTagKey:    derive(secret, d, " tag", &id.public, &peer),
		receiveTagKey: derive(secret, d, " tag", &peer, &id.public),
		rand:          id.rand,
	}, nil
}

// derive returns BLAKE2s(secret, domain || purpose || from || to). All parts but
// the last two have one length each, so no two inputs join to the same bytes.
func derive(secret []byte, d Domain, purpose string, from, to *Key) Key {
	in := make([]byte, 0, 22+2*len(Key{}))
	in = append(in, d.String()...)
	in = append(in, purpose...)
	in = append(in, from[:]...)
	in = append(in, to[:]...)
	return keyedHash(secret, in)
}

// keyedHash returns BLAKE2s-256 of in, keyed with a secret of 32 bytes.
func keyedHash(secret, in []byte) (sum Key) {
	h, err := blake2s.New256(secret)
	if err != nil { // only for a key longer than 32 bytes
		panic("disco: " + err.Error())
	}
	h.Write(in)
	h.Sum(sum[:0])
	return sum
}
