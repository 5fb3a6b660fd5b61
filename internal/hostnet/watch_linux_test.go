// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// watching runs a watch in the namespace; each change is one value on the
// channel. stop ends it and returns its error.
func watching(h *host, f *os.File) (changes <-chan struct{}, stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		result <- hostnet.Watch(ctx, f, time.Millisecond, func() {
			select {
			case seen <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	return seen, func() error { cancel(); return <-result }
}

func subscribe(t *testing.T, h *host) (f *os.File) {
	t.Helper()
	h.Run(func() {
		var err error
		if f, err = hostnet.Subscribe(); err != nil {
			t.Fatal(err)
		}
	})
	return f
}

// quieten takes changes until none has come for a while: the kernel announces
// some things late.
func quieten(changes <-chan struct{}) {
	for {
		select {
		case <-changes:
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

func TestWatchRoutes(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	changes, stop := watching(h, subscribe(t, h))
	for _, script := range []string{
		"ip address add 10.77.0.1/32 dev eth0", "ip address add fd77::1/128 dev eth0 nodad",
		"ip route add 10.78.0.0/16 dev eth0", "ip -6 route add fd78::/64 dev eth0",
		"ip rule add from 10.77.0.1 table 77", "ip -6 rule add from fd77::1 table 77",
		"ip link set eth0 mtu 1400", "ip link set eth0 down",
	} {
		quieten(changes)
		h.sh(script)
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: not noticed", script)
		}
	}
	quieten(changes)
	if err := stop(); err != nil {
		t.Errorf("got %v, want nil at the end of the context", err)
	}
	h.closeTUN()
}

// Messages that the kernel had to drop are a change like any other, and the
// watch goes on after them.
func TestWatchRoutesOverrun(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	f := subscribe(t, h)
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // the least there is
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	h.sh("for i in $(seq 100); do echo route add 10.77.$i.0/24 dev eth0; done | ip -batch -")
	overrun := false
	for buffer := make([]byte, 64); !overrun; { // up to the place where messages are missing
		_, err := f.Read(buffer)
		overrun = errors.Is(err, unix.ENOBUFS)
		if err != nil && !overrun {
			t.Fatal(err)
		}
	}
	h.sh("for i in $(seq 100); do echo route del 10.77.$i.0/24 dev eth0; done | ip -batch -")
	changes, stop := watching(h, f) // the next read fails with ENOBUFS, too
	<-changes
	quieten(changes)
	h.sh("ip route add 10.78.0.0/16 dev eth0")
	<-changes
	if err := stop(); err != nil {
		t.Error(err)
	}
	h.closeTUN()
}

// Nothing is called after the end, and an error of the socket ends the watch.
func TestWatchRoutesEnds(t *testing.T) {
	testutil.LeakCheck(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := hostnet.WatchRoutes(ctx, func() { t.Error("called") }); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := hostnet.Watch(context.Background(), r, time.Millisecond, func() {}); err == nil || !strings.Contains(err.Error(), "watch routes") {
		t.Errorf("got %v, want the error of the file", err)
	}
}

// Many watches and changes at once end cleanly.
func TestWatchRoutesMany(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 20 {
		f := subscribe(t, h)
		wg.Go(func() {
			if err := hostnet.Watch(ctx, f, time.Microsecond, func() {}); err != nil {
				t.Error(err)
			}
		})
	}
	h.sh("for i in $(seq 100); do echo route add 10.77.$i.0/24 dev eth0; done | ip -batch -")
	cancel()
	wg.Wait()
	h.closeTUN()
}

func TestRouteInterface(t *testing.T) {
	h := newHost(t)
	h.sh(`ip address add 10.9.0.2/24 dev wg0; ip link set wg0 up
		ip route add 203.0.113.0/24 dev wg0 table 77; ip rule add fwmark 7 table 77
		ip -6 route add 2001:db8:7::/48 dev wg0 table 77; ip -6 rule add fwmark 7 table 77
		ip route add blackhole 10.66.0.0/16; ip route add unreachable 10.67.0.0/16; ip route add prohibit 10.68.0.0/16
		ip -6 route add blackhole fd66::/48; ip -6 route add unreachable fd67::/48; ip -6 route add prohibit fd68::/48
		ip address add fe80::5/64 dev eth0 nodad`)
	h.state() // waits for the routes of the addresses
	gone, none := hostnet.ErrSourceGone, hostnet.ErrNoRoute
	tests := []struct {
		name, dst, src string
		mark           uint32
		want           string
		err            error
	}{
		{name: "IPv4", dst: "203.0.113.1", want: "eth0"},
		{name: "IPv6", dst: "2001:db8:7::1", want: "eth0"},
		{name: "IPv4 by mark", dst: "203.0.113.1", mark: 7, want: "wg0"},
		{name: "IPv6 by mark", dst: "2001:db8:7::1", mark: 7, want: "wg0"},
		{name: "IPv4 source", dst: "203.0.113.1", src: "192.0.2.2", want: "eth0"},
		{name: "IPv6 source", dst: "2001:db8:7::1", src: "2001:db8::2", want: "eth0"},
		{name: "4in6", dst: "::ffff:203.0.113.1", src: "::ffff:192.0.2.2", want: "eth0"},
		{name: "unspecified source", dst: "203.0.113.1", src: "0.0.0.0", want: "eth0"},
		{name: "source of another interface", dst: "203.0.113.1", src: "10.9.0.2", want: "eth0"},
		{name: "IPv4 source gone", dst: "203.0.113.1", src: "192.0.2.3", err: gone},
		{name: "IPv6 source gone", dst: "2001:db8:7::1", src: "2001:db8::3", err: gone},
		{name: "source in a blackhole", dst: "203.0.113.1", src: "10.66.0.1", err: gone},
		{name: "IPv6 source in a blackhole", dst: "2001:db8:7::1", src: "fd66::1", err: gone},
		{name: "unreachable source", dst: "203.0.113.1", src: "10.67.0.1", err: gone},
		{name: "unreachable IPv6 source", dst: "2001:db8:7::1", src: "fd67::1", err: gone},
		{name: "prohibited source", dst: "203.0.113.1", src: "10.68.0.1", err: gone},
		{name: "prohibited IPv6 source", dst: "2001:db8:7::1", src: "fd68::1", err: gone},
		{name: "loopback", dst: "127.0.0.1", src: "127.0.0.1", want: "lo"},
		{name: "link-local", dst: "fe80::9%eth0", src: "fe80::5", want: "eth0"},
		{name: "link-local source gone", dst: "fe80::9%eth0", src: "fe80::6", err: gone},
		{name: "zone gone", dst: "fe80::9%eth7", err: none},
		{name: "blackhole", dst: "10.66.0.1", err: none}, {name: "IPv6 blackhole", dst: "fd66::1", err: none},
		{name: "unreachable", dst: "10.67.0.1", err: none}, {name: "IPv6 unreachable", dst: "fd67::1", err: none},
		{name: "prohibit", dst: "10.68.0.1", err: none}, {name: "IPv6 prohibit", dst: "fd68::1", err: none},
		{name: "blackhole with source", dst: "10.66.0.1", src: "192.0.2.2", err: none},
		{name: "families mixed", dst: "10.66.0.1", src: "2001:db8::2", err: unix.EAFNOSUPPORT},
		{name: "nothing", err: unix.EAFNOSUPPORT},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var dst, src netip.Addr
			if tt.dst != "" {
				dst = netip.MustParseAddr(tt.dst)
			}
			if tt.src != "" {
				src = netip.MustParseAddr(tt.src)
			}
			h.Run(func() {
				index, err := hostnet.RouteInterface(dst, src, tt.mark)
				if tt.err != nil {
					if !errors.Is(err, tt.err) || errors.Is(err, gone) != (tt.err == gone) {
						t.Errorf("got %d, %v, want %v", index, err, tt.err)
					}
					return
				}
				if got := h.interfaceName(index); err != nil || got != tt.want {
					t.Errorf("got %s, %v, want %s", got, err, tt.want)
				}
			})
		})
	}
	h.sh("ip -4 route del default; ip -6 route del default")
	for _, dst := range addrs("203.0.113.1", "2001:db8:7::1") {
		h.Run(func() {
			if _, err := hostnet.RouteInterface(dst, netip.Addr{}, 0); !errors.Is(err, none) {
				t.Errorf("to %s without default route: got %v, want %v", dst, err, none)
			}
		})
	}
}
