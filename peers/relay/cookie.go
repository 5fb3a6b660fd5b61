// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"crypto/subtle"
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/blake2s"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// cookieRotation is how long a secret makes cookies. It accepts them for as long
// again, so a cookie is good for 2 to 4 minutes.
const cookieRotation = 2 * time.Minute

// A purpose keeps the cookies of registrations and of bindings apart.
type purpose byte

const (
	forRegister purpose = 1
	forBind     purpose = 2
)

// A claim is what a cookie proves: that the client with this key received a frame
// of this relay at this address a short time ago.
//
//	purpose 1, client key 32, address 16, port 2, VNI 4, generation 8, moves 4
type claim struct {
	purpose    purpose
	key        disco.Key
	addr       netip.AddrPort
	vni        uint32
	generation uint64
	// moves is how often the registration or the leg has changed its place. A
	// move makes all cookies from before worthless: who recorded a frame of the
	// client from its former address cannot move it back there.
	moves uint32
}

const claimSize = 1 + 32 + 16 + 2 + 4 + 8 + 4

// cookies makes and checks cookies without remembering any. The mutex of the
// table guards it.
type cookies struct {
	rand    io.Reader
	secrets [2][32]byte // the one in use, and the one before
	rotate  int64       // when the next one comes; 0: there is none yet
}

// update changes the secret if it is time to.
func (c *cookies) update(now int64) error {
	if c.rotate != 0 && now < c.rotate {
		return nil
	}
	var fresh [2][32]byte
	for i := range fresh {
		if _, err := io.ReadFull(c.rand, fresh[i][:]); err != nil {
			return err
		}
	}
	next := now + int64(cookieRotation)
	if c.rotate != 0 && now < c.rotate+int64(cookieRotation) { // only one is over
		fresh[1] = c.secrets[0]
		next = c.rotate + int64(cookieRotation)
	}
	c.secrets, c.rotate = fresh, next
	return nil
}

// bake returns the cookie for what is claimed.
func (c *cookies) bake(of *claim) [32]byte { return bake(&c.secrets[0], of) }

// good reports whether cookie is one for what is claimed. It takes the same time
// whatever is wrong.
func (c *cookies) good(cookie *[32]byte, of *claim) bool {
	ok := 0
	for i := range c.secrets {
		want := bake(&c.secrets[i], of)
		ok |= subtle.ConstantTimeCompare(cookie[:], want[:])
	}
	return ok == 1
}

func bake(secret *[32]byte, of *claim) (cookie [32]byte) {
	var in [claimSize]byte
	b := append(in[:0], byte(of.purpose))
	b = append(b, of.key[:]...)
	ip := of.addr.Addr().As16()
	b = append(b, ip[:]...)
	b = binary.BigEndian.AppendUint16(b, of.addr.Port())
	b = binary.BigEndian.AppendUint32(b, of.vni)
	b = binary.BigEndian.AppendUint64(b, of.generation)
	b = binary.BigEndian.AppendUint32(b, of.moves)
	h, err := blake2s.New256(secret[:])
	if err != nil { // only for a key longer than 32 bytes
		panic("relay: " + err.Error())
	}
	h.Write(b)
	h.Sum(cookie[:0])
	return cookie
}
