// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tuntest

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
)

func testBatchSize(t *testing.T, s *suite) {
	size := s.Device.BatchSize()
	if size < 1 {
		t.Fatalf("BatchSize %d, want at least 1", size)
	}
	s.readAll(t, 1, slabLen)
	if got := s.Device.BatchSize(); got != size {
		t.Errorf("BatchSize %d after a Read and Close, was %d", got, size)
	}
}

func testIdentity(t *testing.T, s *suite) {
	for range 2 {
		if mtu, err := s.Device.MTU(); err != nil || mtu < 68 || mtu > 65535 {
			t.Errorf("MTU %d, %v, want 68 to 65535", mtu, err)
		}
		if name, err := s.Device.Name(); err != nil || name == "" {
			t.Errorf("Name %q, %v, want one", name, err)
		}
	}
}

func testEventUp(t *testing.T, s *suite) {
	for e := range s.Device.Events() {
		if e&tun.EventUp != 0 {
			return
		}
	}
	t.Error("event channel is closed without EventUp")
}

func testQueues(t *testing.T, s *suite) {
	queues := tun.QueuesOf(s.Device)
	if len(queues) == 0 || s.Queues != 0 && len(queues) != s.Queues {
		t.Fatalf("%d queues, want %d", len(queues), s.Queues)
	}
	for i, q := range queues {
		if q == nil {
			t.Errorf("queue %d is nil", i)
		}
	}
	if queues[0].File() != s.Device.File() {
		t.Error("File of the first queue is not that of the device")
	}
	queues[0] = nil
	if again := tun.QueuesOf(s.Device); len(again) != len(queues) || again[0] == nil {
		t.Error("changing the result of Queues changed the device")
	}
}

func testCloseUnblocks(t *testing.T, s *suite) {
	var wg sync.WaitGroup
	for _, q := range tun.QueuesOf(s.Device) {
		reading := make(chan struct{})
		wg.Go(func() {
			slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, s.Device.BatchSize())
			close(reading)
			for {
				if _, err := q.Read(slab, packets); errors.Is(err, os.ErrClosed) {
					return
				} else if err != nil {
					t.Errorf("Read: %v, want os.ErrClosed", err)
					return
				}
			}
		})
		<-reading
	}
	if err := s.Device.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	if err := s.Device.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	for _, q := range tun.QueuesOf(s.Device) {
		if n, err := q.Read(make([]byte, slabLen), make([]tun.ReadPacket, s.Device.BatchSize())); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after Close returned %d, %v, want os.ErrClosed", n, err)
		}
	}
	if n, err := s.Device.Write([][]byte{s.packet(0, 100, s.Offset)}, s.Offset); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close returned %d, %v, want os.ErrClosed", n, err)
	}
	for range s.Device.Events() { // ends when the channel is closed
	}
}

// testCloseWhileBusy closes under traffic both ways. The race detector and the
// leak checks of the caller see what is wrong.
func testCloseWhileBusy(t *testing.T, s *suite) {
	var wg sync.WaitGroup
	busy := make(chan struct{}, 2)
	for _, q := range tun.QueuesOf(s.Device) { // any of them may get the host's packets
		wg.Go(func() {
			slab, packets := make([]byte, slabLen), make([]tun.ReadPacket, s.Device.BatchSize())
			for {
				n, err := q.Read(slab, packets)
				if err != nil {
					return
				}
				if n > 0 {
					select {
					case busy <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	wg.Go(func() {
		for i := 0; ; i++ {
			if _, err := s.Device.Write(s.batch(i, 4, s.Offset), s.Offset); err != nil {
				return
			}
		}
	})
	stop := make(chan struct{})
	var host sync.WaitGroup
	host.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if s.Outbound(payload(i, 100)) != nil {
				return
			}
		}
	})
	go func() { // until the host is closed by the fixture's cleanup
		for {
			if _, err := s.Received(); err != nil {
				return
			}
		}
	}()
	<-busy
	if err := s.Device.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	close(stop)
	host.Wait()
}
