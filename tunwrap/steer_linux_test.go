// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// readQueues reads all queues until each of the payloads 0 to total-1 was read, and
// calls seen with every packet, one at a time. Then it closes the device.
func readQueues(t *testing.T, l *lab, total int, seen func(queue int, pkt []byte)) {
	t.Helper()
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		left = total
	)
	for i, q := range l.dev.Queues() {
		wg.Go(func() {
			for {
				got, err := read(q)
				if errors.Is(err, os.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("queue %d: %v", i, err)
					return
				}
				mu.Lock()
				for _, p := range got {
					seen(i, p)
				}
				left -= len(got)
				done := left == 0
				mu.Unlock()
				if done {
					l.dev.Close()
				}
			}
		})
	}
	wg.Wait()
}

// TestSteering sends several flows to each of many addresses: those of an address come
// from one queue, in order, and all queues have their part.
func TestSteering(t *testing.T) {
	const queues, addresses, flows, each = 4, 64, 4, 6
	for _, v6 := range []bool{false, true} {
		testutil.LeakCheck(t)
		l := newLab(t, &tunwrap.Options{Queues: queues, TxQueueLen: addresses * flows * each})
		if s := l.dev.Stats(); s.Steering != tunwrap.SteeringDestination || s.SteeringReason != "" {
			t.Fatalf("steering %q, %q, want by destination", s.Steering, s.SteeringReason)
		}
		host, first := hostV4, remoteV4
		if v6 {
			host, first = hostV6, remoteV6
		}
		for range flows {
			c := l.listen(t, host)
			for seq := range each {
				dst := first
				for range addresses {
					payload := binary.BigEndian.AppendUint32(nil, uint32(seq))
					if _, err := c.WriteToUDPAddrPort(payload, netip.AddrPortFrom(dst, 9)); err != nil {
						t.Fatal(err)
					}
					dst = dst.Next()
				}
			}
		}
		where := make(map[string]int) // by destination
		next := make(map[string]uint32)
		var used [queues]int
		readQueues(t, l, addresses*flows*each, func(queue int, p []byte) {
			dst := string(p[len(p)-12-4 : len(p)-12]) // behind it UDP header and payload
			if q, known := where[dst]; known && q != queue {
				t.Errorf("packets to %x come from queues %d and %d", dst, q, queue)
			} else if !known {
				used[queue]++
			}
			where[dst] = queue
			flow := flowName(p)
			if seq := binary.BigEndian.Uint32(p[len(p)-4:]); seq != next[flow] {
				t.Errorf("read datagram %d of a flow, want %d", seq, next[flow])
			}
			next[flow]++
		})
		if len(where) != addresses {
			t.Errorf("%d destinations, want %d", len(where), addresses)
		}
		for q, n := range used {
			if n < addresses/queues/4 {
				t.Errorf("queue %d has %d of %d destinations", q, n, addresses)
			}
		}
	}
}

// TestSteering_kernel checks what is said when the kernel has to choose.
func TestSteering_kernel(t *testing.T) {
	l := newLab(t, &tunwrap.Options{Queues: 2, KernelSteering: true})
	if s := l.dev.Stats(); s.Steering != tunwrap.SteeringKernel || s.SteeringReason != "switched off" {
		t.Errorf("steering %q, %q, want the kernel's", s.Steering, s.SteeringReason)
	}
	o := &tunwrap.Options{}
	tunwrap.Steer(l.dev, o, func() (int, error) { return -1, os.NewSyscallError("bpf", unix.EPERM) })
	if s := l.dev.Stats(); s.Steering != tunwrap.SteeringKernel || s.SteeringReason != "bpf: operation not permitted" {
		t.Errorf("steering %q, %q without the permission, want the kernel's and why", s.Steering, s.SteeringReason)
	}
	// A descriptor that is no program.
	tunwrap.Steer(l.dev, o, func() (int, error) { return unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if s := l.dev.Stats(); s.Steering != tunwrap.SteeringKernel || s.SteeringReason == "" {
		t.Errorf("steering %q, %q with what is no program, want the kernel's and why", s.Steering, s.SteeringReason)
	}
	// Packets pass all the same.
	burst(t, l, hostV4, remoteV4, 20, 100)
	readQueues(t, l, 20, func(int, []byte) {})

	one := newLab(t, nil)
	if s := one.dev.Stats(); s.Steering != tunwrap.SteeringNone || s.SteeringReason != "" {
		t.Errorf("steering %q, %q of one queue, want none", s.Steering, s.SteeringReason)
	}
}
