// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

// The handshake of the WireGuard protocol from the initiator's side, for test
// traffic only: one attempt, no cookies, no pre-shared key. Section and message
// names are those of https://www.wireguard.com/papers/wireguard.pdf, 5.4.

const (
	initiationSize = 148
	responseSize   = 92
	// Where the authenticator over the message before it begins.
	initiationMAC = 116
	tagSize       = chacha20poly1305.Overhead
)

// An initiation is a handshake that waits for its response.
type initiation struct {
	static, ephemeral *ecdh.PrivateKey
	index             uint32
	hash, chain       [32]byte
}

// newInitiation returns a handshake with the remote and its first message.
func newInitiation(private, remote lab.Key, index uint32, now time.Time) (*initiation, []byte, error) {
	static, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return nil, nil, err
	}
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	h := &initiation{static: static, ephemeral: ephemeral, index: index}
	h.chain = blake2s.Sum256([]byte("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"))
	h.hash = h.chain
	h.mixHash([]byte("WireGuard v1 zx2c4 Jason@zx2c4.com"))
	h.mixHash(remote[:])

	msg := make([]byte, 8, initiationSize)
	msg[0] = 1
	binary.LittleEndian.PutUint32(msg[4:], index)
	msg = append(msg, ephemeral.PublicKey().Bytes()...)
	h.mixHash(msg[8:40])
	h.mixKey(msg[8:40], 1)
	key, err := h.mixDH(ephemeral, remote[:], 2)
	if err != nil {
		return nil, nil, err
	}
	msg = h.seal(msg, key, static.PublicKey().Bytes())
	if key, err = h.mixDH(static, remote[:], 2); err != nil {
		return nil, nil, err
	}
	// TAI64N; only that it grows matters.
	stamp := binary.BigEndian.AppendUint64(nil, 1<<62+10+uint64(now.Unix()))
	msg = h.seal(msg, key, binary.BigEndian.AppendUint32(stamp, uint32(now.Nanosecond())))

	macKey := blake2s.Sum256(append([]byte("mac1----"), remote[:]...))
	mac, err := blake2s.New128(macKey[:])
	if err != nil {
		return nil, nil, err
	}
	mac.Write(msg[:initiationMAC])
	return h, mac.Sum(msg)[:initiationSize], nil // the second authenticator is zero
}

// finish takes the response and returns the session.
func (h *initiation) finish(msg []byte) (*session, error) {
	if len(msg) != responseSize || msg[0] != 2 || binary.LittleEndian.Uint32(msg[8:]) != h.index {
		return nil, fmt.Errorf("no response to this handshake: %x", msg)
	}
	ephemeral, empty := msg[12:44], msg[44:60]
	h.mixHash(ephemeral)
	h.mixKey(ephemeral, 1)
	for _, private := range []*ecdh.PrivateKey{h.ephemeral, h.static} {
		if _, err := h.mixDH(private, ephemeral, 1); err != nil {
			return nil, err
		}
	}
	keys := h.mixKey(make([]byte, 32), 3) // no pre-shared key
	h.mixHash(keys[:32])
	aead, err := newAEAD(keys[32:])
	if err != nil {
		return nil, err
	}
	if _, err := aead.Open(nil, make([]byte, aead.NonceSize()), empty, h.hash[:]); err != nil {
		return nil, errors.New("the response is not authentic")
	}
	keys = kdf(h.chain[:], nil, 2)
	s := &session{local: h.index, remote: binary.LittleEndian.Uint32(msg[4:])}
	if s.sealer, err = newAEAD(keys[:32]); err != nil {
		return nil, err
	}
	s.opener, err = newAEAD(keys[32:])
	return s, err
}

func (h *initiation) mixHash(b []byte) { h.hash = blake2s.Sum256(append(h.hash[:], b...)) }

// mixKey derives n keys of 32 bytes; the first is the new chaining key, the rest
// is returned.
func (h *initiation) mixKey(input []byte, n int) []byte {
	keys := kdf(h.chain[:], input, n)
	copy(h.chain[:], keys)
	return keys[32:]
}

func (h *initiation) mixDH(private *ecdh.PrivateKey, public []byte, n int) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	shared, err := private.ECDH(p)
	if err != nil {
		return nil, err
	}
	return h.mixKey(shared, n), nil
}

func (h *initiation) seal(msg, key, plain []byte) []byte {
	aead, err := newAEAD(key)
	if err != nil {
		panic(err) // only for a wrong length
	}
	at := len(msg)
	msg = aead.Seal(msg, make([]byte, aead.NonceSize()), plain, h.hash[:])
	h.mixHash(msg[at:])
	return msg
}

// kdf is KDFn of the paper, which is HKDF without info.
func kdf(salt, input []byte, n int) []byte {
	newHash := func() hash.Hash {
		h, err := blake2s.New256(nil)
		if err != nil {
			panic(err) // only for a key that is too long
		}
		return h
	}
	b, err := hkdf.Key(newHash, input, salt, "", 32*n)
	if err != nil {
		panic(err) // only for too many keys
	}
	return b
}

func newAEAD(key []byte) (cipher.AEAD, error) { return chacha20poly1305.New(key) }

// A session seals and opens transport messages. Its two directions may be used
// from one goroutine each.
type session struct {
	local, remote  uint32 // indices
	sealer, opener cipher.AEAD
	counter        uint64
	// One for each direction, so that no packet allocates.
	sealNonce, openNonce [chacha20poly1305.NonceSize]byte
}

const transportHeader = 16

// seal appends to dst, which is empty, the transport message with the packet.
func (s *session) seal(dst, packet []byte) []byte {
	dst = append(dst, 4, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, s.remote)
	dst = binary.LittleEndian.AppendUint64(dst, s.counter)
	binary.LittleEndian.PutUint64(s.sealNonce[4:], s.counter)
	s.counter++
	return s.sealer.Seal(dst, s.sealNonce[:], packet, nil)
}

// open decrypts a transport message in place and returns the packet, with its
// padding; ok is false when the message is not one of this session.
func (s *session) open(msg []byte) (packet []byte, ok bool) {
	if len(msg) < transportHeader+tagSize || msg[0] != 4 || binary.LittleEndian.Uint32(msg[4:]) != s.local {
		return nil, false
	}
	copy(s.openNonce[4:], msg[8:16])
	packet, err := s.opener.Open(msg[transportHeader:transportHeader], s.openNonce[:], msg[transportHeader:], nil)
	return packet, err == nil
}
