// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
)

// ErrAuth means that a frame is not from the pair's peer, for this side, in this
// domain: drop and count it.
var ErrAuth = errors.New("disco: frame does not authenticate")

// A Pair is what one side knows of a pair of keys in one domain: the keys and
// tags of both directions. Make one with [Identity.Pair]. A Pair does not change
// and is safe for concurrent use.
type Pair struct {
	peer                      Key
	send, receive             cipher.AEAD
	sendTagKey, receiveTagKey Key
	rand                      io.Reader

	// lastSend is the tag that was asked for last, which spares Seal the hash:
	// a sender's epoch changes once an hour.
	lastSend atomic.Pointer[epochTag]
}

type epochTag struct {
	epoch uint64
	tag   Tag
}

// Peer returns the public key of the other side.
func (p *Pair) Peer() Key { return p.peer }

// SendTag returns the tag of frames to the peer in an epoch.
func (p *Pair) SendTag(epoch uint64) Tag {
	if last := p.lastSend.Load(); last != nil && last.epoch == epoch {
		return last.tag
	}
	t := &epochTag{epoch, tagOf(&p.sendTagKey, epoch)}
	p.lastSend.Store(t)
	return t.tag
}

// ReceiveTag returns the tag of frames from the peer in an epoch. It hashes and
// allocates: keep the tags in a map.
func (p *Pair) ReceiveTag(epoch uint64) Tag { return tagOf(&p.receiveTagKey, epoch) }

func tagOf(key *Key, epoch uint64) Tag {
	var e [8]byte
	binary.BigEndian.PutUint64(e[:], epoch)
	sum := keyedHash(key[:], e[:])
	return Tag(sum[:])
}

// Seal appends to dst the frame that carries body to the peer, with the tag of
// epoch and a random nonce, and returns the extended slice. body stays as it is
// and must not overlap dst's free capacity. Bodies come from AppendBody of a
// message; Seal panics when body is shorter than [MinBody] or longer than
// [MaxBody].
func (p *Pair) Seal(dst []byte, epoch uint64, body []byte) []byte {
	if len(body) < MinBody || len(body) > MaxBody {
		panic(fmt.Sprintf("disco: seal a body of %d bytes", len(body)))
	}
	start := len(dst)
	dst = slices.Grow(dst, Overhead+len(body))
	dst = dst[:start+bodyOffset]
	header := dst[start:]
	tag := p.SendTag(epoch)
	binary.BigEndian.PutUint32(header, magic)
	copy(header[tagOffset:], tag[:])
	nonce := header[nonceOffset:]
	if _, err := io.ReadFull(p.rand, nonce); err != nil { // crypto/rand does not fail
		panic("disco: nonce: " + err.Error())
	}
	return p.send.Seal(dst, nonce, body, header[:nonceOffset])
}

// Open appends to dst the body of a frame from the peer and returns the extended
// slice. dst's free capacity must not overlap frame. The error is [ErrAuth], with
// a nil slice, also when [IsFrame] is false; the free capacity of dst is then
// undefined. Open does not look up the tag, which the caller found the pair by,
// but a frame whose tag was changed does not open.
func (p *Pair) Open(dst, frame []byte) ([]byte, error) {
	if !IsFrame(frame) {
		return nil, ErrAuth
	}
	body, err := p.receive.Open(dst, frame[nonceOffset:bodyOffset], frame[bodyOffset:], frame[:nonceOffset])
	if err != nil {
		return nil, ErrAuth
	}
	return body, nil
}
