// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"os"
	"sync"

	"github.com/tailscale/wireguard-go/tun"
)

// A fakeTUN is a device with scripted results.
type fakeTUN struct {
	queues   int
	batch    int
	read     func(slab []byte, packets []tun.ReadPacket) (int, error)
	write    func(flow int, bufs [][]byte, offset int) (int, error)
	mtu      func() (int, error)
	name     func() (string, error)
	events   chan tun.Event
	closed   chan struct{}
	close    sync.Once
	closes   int // calls of Close
	closeErr error
	tcp, udp int // calls that disabled GRO
}

func newFakeTUN() *fakeTUN {
	return &fakeTUN{queues: 1, batch: 128, events: make(chan tun.Event, 5), closed: make(chan struct{})}
}

func (f *fakeTUN) File() *os.File { return nil }

func (f *fakeTUN) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	if f.read != nil {
		return f.read(slab, packets)
	}
	<-f.closed
	return 0, os.ErrClosed
}

func (f *fakeTUN) Write(bufs [][]byte, offset int) (int, error) { return f.WriteTo(0, bufs, offset) }

func (f *fakeTUN) WriteTo(flow int, bufs [][]byte, offset int) (int, error) {
	if f.write != nil {
		return f.write(flow, bufs, offset)
	}
	return len(bufs), nil
}

func (f *fakeTUN) Queues() []tun.Queue {
	out := make([]tun.Queue, f.queues)
	for i := range out {
		out[i] = f
	}
	return out
}

func (f *fakeTUN) MTU() (int, error) {
	if f.mtu != nil {
		return f.mtu()
	}
	return 1400, nil
}

func (f *fakeTUN) Name() (string, error) {
	if f.name != nil {
		return f.name()
	}
	return "fake0", nil
}

func (f *fakeTUN) Events() <-chan tun.Event { return f.events }
func (f *fakeTUN) BatchSize() int           { return f.batch }
func (f *fakeTUN) DisableUDPGRO()           { f.udp++ }
func (f *fakeTUN) DisableTCPGRO()           { f.tcp++ }

func (f *fakeTUN) Close() error {
	f.closes++
	f.close.Do(func() { close(f.closed); close(f.events) })
	return f.closeErr
}
