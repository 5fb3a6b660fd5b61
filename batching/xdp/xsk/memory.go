// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

import "sync/atomic"

// A memory is a UMEM: the mapping and how many need it, which are the socket and
// every borrowed frame. The last one to let go of it unmaps it.
type memory struct {
	data      []byte
	frameSize int
	holders   atomic.Int64
	unmap     func([]byte) error
}

// newMemory returns a memory with one holder.
func newMemory(data []byte, frameSize int, unmap func([]byte) error) *memory {
	m := &memory{data: data, frameSize: frameSize, unmap: unmap}
	m.holders.Store(1)
	return m
}

// frame returns the bytes of a frame.
func (m *memory) frame(index uint32) []byte {
	at := int(index) * m.frameSize
	return m.data[at : at+m.frameSize : at+m.frameSize]
}

func (m *memory) hold(n int64) { m.holders.Add(n) }

// letGo is hold's opposite.
func (m *memory) letGo(n int64) error {
	if n == 0 || m.holders.Add(-n) != 0 {
		return nil
	}
	return m.unmap(m.data)
}
