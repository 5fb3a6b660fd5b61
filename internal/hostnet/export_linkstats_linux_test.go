// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"encoding/binary"
	"time"
)

const (
	LinkPollEvery  = linkPollEvery
	LinkPollAtMost = linkPollAtMost
)

// DecodeStats is decodeStats for little-endian messages.
func DecodeStats(b []byte, sequence uint32, index int) (*LinkStatistics, bool, error) {
	return decodeStats(b, binary.LittleEndian, sequence, index)
}

func StatsRequest(sequence uint32, index int) []byte {
	return appendStatsRequest(nil, binary.LittleEndian, sequence, index)
}

// A FakeQuery answers a LinkWatch with Ask.
type FakeQuery struct {
	Ask   func() (*LinkStatistics, error)
	Close func()
}

func (q FakeQuery) ask() (*LinkStatistics, error) { return q.Ask() }
func (q FakeQuery) close()                        { q.Close() }

// NewFakeLinkWatch watches what q says.
func NewFakeLinkWatch(q FakeQuery) (*LinkWatch, error) { return newLinkWatch(q) }

// Expire makes the last answer of w too old to be used again.
func Expire(w *LinkWatch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.when = time.Now().Add(-linkPollAtMost)
}
