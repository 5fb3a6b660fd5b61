// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package tuntest tests implementations of [tun.Device], in the spirit of
// golang.org/x/net/nettest: [TestDevice] runs everything that wireguard-go and
// this router rely on, whatever is behind the device: a kernel TUN, a user-space
// stack, a channel.
//
// Tests of other packages call it with a function that makes a [Fixture]: a
// fresh device, and the functions to act as the host behind it. Every subtest
// makes its own and runs alone. The device may carry other packets as well
// (router solicitations and the like); they are ignored.
package tuntest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"
)

// A Fixture is a device under test and the host behind it. The functions are
// called from several goroutines, each from one at a time.
type Fixture struct {
	// Device is closed by the test; making and closing it again must be possible
	// without further help.
	Device tun.Device

	// Outbound makes the host send one UDP datagram with this payload out through
	// the device. It returns when the datagram is queued, or only when it was
	// read, and with an error when the device is closed. It keeps the order.
	Outbound func(payload []byte) error

	// Inbound returns an IP packet that, once written to the device, the host
	// receives as a UDP datagram with this payload.
	Inbound func(payload []byte) []byte

	// Received waits for the next UDP datagram that the host receives and returns
	// its payload, which stays valid.
	Received func() ([]byte, error)

	// Unbuffered says that the host takes a packet only while Received waits for
	// it; else it must hold at least 32 of 1,280 bytes.
	Unbuffered bool

	// Queues is how many queues the device must have; 0 for any number.
	Queues int

	// Offset is the smallest offset that Write must support; 0 means 16, which is
	// wireguard-go's.
	Offset int
}

// patience bounds how long a subtest waits for what must happen, so that a
// device that hangs fails the test that found it.
const patience = 30 * time.Second

// TestDevice runs the conformance tests on devices made by newDevice.
func TestDevice(t *testing.T, newDevice func(t *testing.T) *Fixture) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"BatchSize", testBatchSize},
		{"Identity", testIdentity},
		{"EventUp", testEventUp},
		{"Queues", testQueues},
		{"ReadLayout", testReadLayout},
		{"ReadInPieces", testReadInPieces},
		{"WriteCount", testWriteCount},
		{"WriteOffset", testWriteOffset},
		{"WriteZeroLength", testWriteZeroLength},
		{"WriteKeepsNothing", testWriteKeepsNothing},
		{"WriteTo", testWriteTo},
		{"CloseUnblocks", testCloseUnblocks},
		{"CloseWhileBusy", testCloseWhileBusy},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newDevice(t)
			if f.Offset == 0 {
				f.Offset = 16
			}
			s := &suite{Fixture: f}
			t.Cleanup(func() { f.Device.Close() })
			watchdog := time.AfterFunc(patience, func() {
				panic(fmt.Sprintf("%s: the device hangs", t.Name()))
			})
			defer watchdog.Stop()
			test.run(t, s)
		})
	}
}

type suite struct{ *Fixture }

// magic marks the payloads of the suite among other traffic.
const magic = "tuntest:"

// headerLen is the length of magic and number.
const headerLen = len(magic) + 4

// payload returns payload number i of n bytes, at least headerLen.
func payload(i, n int) []byte {
	b := append(make([]byte, 0, max(n, headerLen)), magic...)
	b = binary.BigEndian.AppendUint32(b, uint32(i))
	for len(b) < n {
		b = append(b, byte(i+len(b)))
	}
	return b
}

// number returns which payload b is, if it is one and whole.
func number(b []byte) (i int, err error) {
	if len(b) < headerLen || string(b[:len(magic)]) != magic {
		return 0, fmt.Errorf("not of this test: %x", b)
	}
	i = int(binary.BigEndian.Uint32(b[len(magic):]))
	if want := payload(i, len(b)); !bytes.Equal(b, want) {
		return i, fmt.Errorf("payload %d was changed:\n got %x\nwant %x", i, b, want)
	}
	return i, nil
}

// udpPayload returns the payload of a UDP datagram without IP options or
// extension headers, nil for other packets.
func udpPayload(pkt []byte) []byte {
	const udp = 17
	header := 0
	switch {
	case len(pkt) >= 28 && pkt[0]>>4 == 4 && pkt[9] == udp:
		header = int(pkt[0]&15) * 4
	case len(pkt) >= 48 && pkt[0]>>4 == 6 && pkt[6] == udp:
		header = 40
	default:
		return nil
	}
	if len(pkt) < header+8 {
		return nil
	}
	return pkt[header+8:]
}

// ours reports whether pkt carries a payload of the suite.
func ours(pkt []byte) bool { return bytes.HasPrefix(udpPayload(pkt), []byte(magic)) }

// send has the host send payloads of these sizes, numbered from 0, in the
// background. The result is the first error.
func (s *suite) send(sizes ...int) <-chan error {
	done := make(chan error, 1)
	go func() {
		for i, n := range sizes {
			if err := s.Outbound(payload(i, n)); err != nil {
				done <- fmt.Errorf("host sends payload %d: %w", i, err)
				return
			}
		}
		done <- nil
	}()
	return done
}

// packet returns a buffer with packet number i behind offset bytes.
func (s *suite) packet(i, size, offset int) []byte {
	return append(bytes.Repeat([]byte{0xee}, offset), s.Inbound(payload(i, size))...)
}

// expect receives in the background; the result is an error unless the host
// receives the payloads first to first+n-1, in this order.
func (s *suite) expect(first, n int) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.receive(first, n) }()
	return done
}

func (s *suite) receive(first, n int) error {
	for want := first; want < first+n; want++ {
		b, err := s.Received()
		if err != nil {
			return fmt.Errorf("host waits for payload %d: %w", want, err)
		}
		if got, err := number(b); err != nil || got != want {
			return fmt.Errorf("host received payload %d (%v), want %d", got, err, want)
		}
	}
	return nil
}

// check fails the test unless the work in the background ended well.
func check(t *testing.T, done <-chan error) {
	t.Helper()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
