// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// expect runs the frame dry.
func expect(t *testing.T, p *Program, frame []byte, want Verdict) {
	t.Helper()
	if v := dryRun(t, p, frame); v != want {
		t.Errorf("%v, want %v", v, want)
	}
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestChangedLive(t *testing.T) {
	testutil.LeakCheck(t)
	p := load(t, nil)
	v4, v6 := datagram(our4(), 32), datagram(our6(), 32)
	expect(t, p, v4, PassPort)
	expect(t, p, put(v4, 36, 0, 0), PassPort) // port 0 is none
	must(t, p.SetPort(testPort))
	expect(t, p, v4, PassAddress)
	must(t, p.SetAddresses([]netip.Addr{our4()}))
	expect(t, p, v4, PassNoSocket)
	expect(t, p, v6, PassAddress)
	must(t, p.Register(0, xskSocket(t)))
	expect(t, p, v4, Redirected)

	must(t, p.SetAddresses([]netip.Addr{our6(), their4(), netip.MustParseAddr("::ffff:10.9.0.3")}))
	expect(t, p, v4, PassAddress)
	expect(t, p, v6, Redirected)
	expect(t, p, datagram(their4(), 32), Redirected)
	expect(t, p, datagram(netip.MustParseAddr("10.9.0.3"), 32), Redirected)
	// What is refused changes nothing.
	if err := p.SetAddresses([]netip.Addr{our4(), {}}); !errors.Is(err, ErrAddress) {
		t.Errorf("an invalid address: %v", err)
	}
	expect(t, p, v6, Redirected)
	expect(t, p, v4, PassAddress)
	must(t, p.SetPort(testPort+1))
	expect(t, p, v6, PassPort)
	expect(t, p, put(v6, 56, 0xca, 0x6d), Redirected)
	must(t, p.SetAddresses(nil))
	expect(t, p, put(v6, 56, 0xca, 0x6d), PassAddress)
}

// TestAddressesFill replaces all addresses of a full map.
func TestAddressesFill(t *testing.T) {
	p := load(t, &Options{Port: testPort, MaxAddresses: 2, Addresses: []netip.Addr{our4(), our6()}})
	other := netip.MustParseAddr("fd00:9::3")
	must(t, p.SetAddresses([]netip.Addr{their4(), other}))
	expect(t, p, datagram(their4(), 8), PassNoSocket)
	expect(t, p, datagram(other, 8), PassNoSocket)
	expect(t, p, datagram(our4(), 8), PassAddress)
	if err := p.SetAddresses([]netip.Addr{our4(), our6(), other}); !errors.Is(err, ErrTooManyAddresses) {
		t.Errorf("three addresses: %v", err)
	}
	expect(t, p, datagram(their4(), 8), PassNoSocket)
}

func TestSockets(t *testing.T) {
	testutil.LeakCheck(t)
	p := load(t, &Options{Port: testPort, Addresses: []netip.Addr{our4()}, Queues: 2})
	frame := datagram(our4(), 32)
	fd := xskSocket(t)
	must(t, p.Register(1, fd))
	expect(t, p, frame, PassNoSocket) // comes on queue 0
	must(t, p.Register(0, fd))
	expect(t, p, frame, Redirected)
	must(t, p.Register(0, xskSocket(t)))
	expect(t, p, frame, Redirected)
	must(t, p.Unregister(0))
	must(t, p.Unregister(0))
	expect(t, p, frame, PassNoSocket)

	// The kernel takes a closed socket out.
	gone, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, p.Register(0, gone))
	expect(t, p, frame, Redirected)
	must(t, unix.Close(gone))
	expect(t, p, frame, PassNoSocket)

	for _, queue := range []int{-1, 2, 1<<31 - 1} {
		if err := p.Register(queue, fd); !errors.Is(err, ErrQueue) {
			t.Errorf("register queue %d: %v", queue, err)
		}
		if err := p.Unregister(queue); !errors.Is(err, ErrQueue) {
			t.Errorf("unregister queue %d: %v", queue, err)
		}
	}
	if err := p.Register(0, -1); err == nil {
		t.Error("descriptor -1 was registered")
	}
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(udp)
	if err := p.Register(0, udp); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("register a UDP socket: %v, want EOPNOTSUPP", err)
	}
}

func TestClosed(t *testing.T) {
	testutil.LeakCheck(t)
	p := load(t, nil)
	fd := xskSocket(t)
	must(t, p.Close())
	must(t, p.Close())
	must(t, p.Detach())
	if p.Attached() {
		t.Error("attached after Close")
	}
	_, countErr := p.Counts()
	_, _, attachErr := p.Attach(1, ModeAuto)
	for name, err := range map[string]error{
		"SetPort":      p.SetPort(1),
		"SetAddresses": p.SetAddresses(nil),
		"Register":     p.Register(0, fd),
		"Unregister":   p.Unregister(0),
		"Counts":       countErr,
		"Attach":       attachErr,
	} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// TestConcurrent is for the race detector: everything at once, and Close into it.
func TestConcurrent(t *testing.T) {
	testutil.LeakCheck(t)
	p := load(t, nil)
	fd := xskSocket(t)
	var wg sync.WaitGroup
	for _, f := range []func() error{
		func() error { return p.SetPort(testPort) },
		func() error { return p.SetAddresses([]netip.Addr{our4()}) },
		func() error { return p.SetAddresses([]netip.Addr{our6(), their4()}) },
		func() error { return p.Register(0, fd) },
		func() error { return p.Unregister(0) },
		func() error { _, err := p.Counts(); return err },
		func() error { p.Attached(); return p.Detach() },
	} {
		wg.Go(func() {
			for range 100 {
				if err := f(); err != nil && !errors.Is(err, os.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	must(t, p.SetPort(testPort))
	must(t, p.Close())
	wg.Wait()
}
