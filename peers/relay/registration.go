// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// registerLocked answers Register. Nothing is kept until the client has shown, by
// a cookie, that it receives what is sent to the address that it sends from.
func (t *Table) registerLocked(tn *turn) Drop {
	if !t.provenLocked(tn) {
		return t.challengeLocked(tn)
	}
	if drop := t.admitLocked(tn, true); drop != DropNone {
		return drop
	}
	c, p := tn.client, tn.src.place()
	c.register(tn.now, p, tn.epoch)
	tn.answer(p, disco.RelayMessage{
		Type:       disco.TypeRegistered,
		Cookie:     t.cookies.bake(c.claim(p.addr, c.moves)), // after register: it may have moved
		Addr:       p.addr,
		Generation: t.generation,
		Seconds:    uint16(registrationLife / time.Second),
	})
	return DropNone
}

// challengeLocked answers with a cookie and keeps nothing.
func (t *Table) challengeLocked(tn *turn) Drop {
	if drop := t.admitLocked(tn, false); drop != DropNone {
		return drop
	}
	tn.answer(tn.src.place(), disco.RelayMessage{
		Type:   disco.TypeChallenge,
		Cookie: t.cookies.bake(tn.client.claim(tn.src.remote, tn.client.moves)),
	})
	return DropNone
}

// provenLocked reports whether the question has a cookie made for its client and
// the address that it came from.
func (t *Table) provenLocked(tn *turn) bool {
	c, from := tn.client, tn.src.remote
	if t.cookies.good(&tn.msg.Cookie, c.claim(from, c.moves)) {
		return true
	}
	// The cookie that moved the registration to this address is good as long as it
	// is there: the answer to it may have been lost.
	return c.at != nil && c.at.addr == from && t.cookies.good(&tn.msg.Cookie, c.claim(from, c.moves-1))
}
