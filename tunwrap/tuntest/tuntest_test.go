// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tuntest_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"
	chantun "github.com/tailscale/wireguard-go/tun/tuntest"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/tunwrap/tuntest"
)

// A faulty device is a good one with one fault.
type faulty struct {
	*tunwrap.Device
	fault    string
	once     sync.Once
	closed   chan struct{}
	mu       sync.Mutex
	reads    int
	lastSlab []byte
}

func (f *faulty) Close() error {
	first := false
	f.once.Do(func() { close(f.closed); first = true })
	err := f.Device.Close()
	if f.fault == "second Close fails" && !first {
		return errors.New("closed twice")
	}
	return err
}

func (f *faulty) Queues() []tun.Queue {
	if f.fault == "queues are lost" {
		return []tun.Queue{f}
	}
	out := f.Device.Queues()
	for i, q := range out {
		out[i] = faultyQueue{q, f}
	}
	return out
}

func (f *faulty) BatchSize() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == "batch size changes" && f.reads > 0 {
		return f.Device.BatchSize() + 1
	}
	return f.Device.BatchSize()
}

func (f *faulty) Write(bufs [][]byte, offset int) (int, error) { return f.WriteTo(0, bufs, offset) }

func (f *faulty) WriteTo(flow int, bufs [][]byte, offset int) (int, error) {
	switch f.fault {
	case "Write counts bytes":
		n := 0
		for _, b := range bufs {
			n += len(b) - offset
		}
		_, err := f.Device.WriteTo(flow, bufs, offset)
		return n, err
	case "Write fails for empty slots":
		for _, b := range bufs {
			if len(b) <= offset {
				return 0, errors.New("invalid offset")
			}
		}
	case "Write spoils what is behind":
		for _, b := range bufs {
			if cap(b) > len(b) {
				b[:len(b)+1][len(b)] = 0
			}
		}
	case "Write assumes an offset":
		if offset != 16 {
			return f.Device.WriteTo(flow, bufs, 16)
		}
	case "Write returns early":
		go f.Device.WriteTo(flow, bufs, offset)
		return len(bufs), nil
	}
	return f.Device.WriteTo(flow, bufs, offset)
}

type faultyQueue struct {
	tun.Queue
	f *faulty
}

func (q faultyQueue) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	return q.f.read(q.Queue, slab, packets)
}

func (f *faulty) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	return f.read(f.Device, slab, packets)
}

func (f *faulty) read(q tun.Reader, slab []byte, packets []tun.ReadPacket) (int, error) {
	n, err := q.Read(slab, packets)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if err != nil {
		if f.fault == "Read says EOF" {
			err = io.EOF
		}
		return n, err
	}
	p := &packets[0]
	switch f.fault {
	case "no spacing":
		p.Offset = copy(slab, slab[p.Offset:p.Offset+p.Size]) - p.Size
	case "packets are cut":
		p.Size--
	case "order changes":
		if f.reads%2 == 0 {
			slab[p.Offset+28+11] ^= 2 // the number in the payload
		}
	case "slab is kept":
		if f.lastSlab != nil {
			f.lastSlab[len(f.lastSlab)-1]++
		}
		f.lastSlab = slab
	}
	return n, err
}

func fixture(fault string) *tuntest.Fixture {
	const queues = 2
	c := chantun.NewMultiQueueChannelTUN(queues)
	dev, err := tunwrap.Wrap(c.TUN(), nil)
	if err != nil {
		panic(err)
	}
	f := &faulty{Device: dev, fault: fault, closed: make(chan struct{})}
	host, remote := netip.MustParseAddrPort("10.9.0.1:1"), netip.MustParseAddrPort("10.9.0.2:2")
	return &tuntest.Fixture{
		Device: f,
		Outbound: func(payload []byte) error {
			select {
			case c.Outbound <- testutil.UDP(host, remote, payload):
				return nil
			case <-f.closed:
				return os.ErrClosed
			}
		},
		Inbound: func(payload []byte) []byte { return testutil.UDP(remote, host, payload) },
		Received: func() ([]byte, error) {
			select {
			case pkt := <-c.Inbound:
				return pkt[28:], nil
			case <-f.closed:
				return nil, os.ErrClosed
			}
		},
		Unbuffered: true,
		Queues:     queues,
	}
}

const faultVariable = "TUNTEST_FAULT"

// TestFault is the child of TestFaults; alone it runs a device without fault.
func TestFault(t *testing.T) {
	tuntest.TestDevice(t, func(t *testing.T) *tuntest.Fixture { return fixture(os.Getenv(faultVariable)) })
}

// TestFaults checks that each fault of a device is found, by the test for it.
func TestFaults(t *testing.T) {
	for fault, test := range map[string]string{
		"second Close fails":          "CloseUnblocks",
		"queues are lost":             "Queues",
		"batch size changes":          "BatchSize",
		"Write counts bytes":          "WriteCount",
		"Write fails for empty slots": "WriteZeroLength",
		"Write spoils what is behind": "WriteCount",
		"Write assumes an offset":     "WriteOffset",
		"Write returns early":         "WriteKeepsNothing",
		"Read says EOF":               "CloseUnblocks",
		"no spacing":                  "ReadLayout",
		"packets are cut":             "ReadLayout",
		"order changes":               "ReadLayout",
		"slab is kept":                "ReadLayout",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestFault$/^"+test+"$", "-test.v")
			cmd.Env = append(os.Environ(), faultVariable+"="+fault)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestFault/"+test) {
				t.Errorf("not found by %s: %v\n%s", test, err, out)
			}
		})
	}
}
