// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// TestRace checks when the addresses of a name are tried and who wins.
func TestRace(t *testing.T) {
	const delay = 250 * time.Millisecond
	refused := errors.New("refused")
	never := time.Duration(-1)
	type try struct {
		after time.Duration // never: when the context ends
		err   error
	}
	for _, tt := range []struct {
		name    string
		tries   []try
		want    int // who wins, -1 for the error
		took    time.Duration
		started []time.Duration
	}{
		{"only", []try{{time.Second, nil}}, 0, time.Second, []time.Duration{0}},
		{"first", []try{{100 * time.Millisecond, nil}, {0, nil}}, 0, 100 * time.Millisecond, []time.Duration{0}},
		{"second, first refused", []try{{10 * time.Millisecond, refused}, {10 * time.Millisecond, nil}}, 1, 20 * time.Millisecond, []time.Duration{0, 10 * time.Millisecond}},
		{"second, first silent", []try{{never, nil}, {0, nil}}, 1, delay, []time.Duration{0, delay}},
		{"first, though late", []try{{delay + 10*time.Millisecond, nil}, {time.Second, nil}}, 0, delay + 10*time.Millisecond, []time.Duration{0, delay}},
		{"none", []try{{time.Second, refused}, {time.Second, errors.New("other")}}, -1, time.Second + delay, []time.Duration{0, delay}},
		{"two silent", []try{{never, nil}, {never, nil}, {0, nil}}, 2, 2 * delay, []time.Duration{0, delay, 2 * delay}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				addrs := make([]netip.Addr, len(tt.tries))
				conns := make([]*fakeConn, len(tt.tries))
				for i := range addrs {
					addrs[i] = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
				}
				started := make(chan time.Duration, len(addrs))
				c, err := netstack.Race(t.Context(), addrs, delay, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
					started <- time.Since(begin)
					i := slices.Index(addrs, a)
					if tt.tries[i].after == never {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					time.Sleep(tt.tries[i].after)
					if err := tt.tries[i].err; err != nil {
						return nil, err
					}
					conns[i] = &fakeConn{}
					return conns[i], nil
				})
				took := time.Since(begin)
				close(started)
				var got []time.Duration
				for d := range started {
					got = append(got, d)
				}
				if diff := cmp.Diff(tt.started, got); diff != "" {
					t.Errorf("started (-want +got):\n%s", diff)
				}
				if tt.want < 0 {
					if !errors.Is(err, refused) {
						t.Errorf("error %v, want the first one", err)
					}
				} else if err != nil || c != conns[tt.want] {
					t.Errorf("%v, %v; want connection %d", c, err, tt.want)
				}
				for i, c := range conns {
					if c != nil && c.closed != (i != tt.want) {
						t.Errorf("connection %d closed %v", i, c.closed)
					}
				}
				// Whoever has started must have ended, which may take longer.
				if tt.name != "first, though late" && took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

type fakeConn struct {
	net.Conn
	closed bool
}

func (c *fakeConn) Close() error { c.closed = true; return nil }

// TestLookupHost dials names.
func TestLookupHost(t *testing.T) {
	testutil.LeakCheck(t)
	noHost := errors.New("no such host")
	o := &netstack.Options{LookupHost: func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "both":
			return []netip.Addr{netip.MustParseAddr("10.99.0.77"), netstacktest.B6, netstacktest.B4}, nil
		case "four":
			return []netip.Addr{netip.AddrFrom16(netstacktest.B4.As16())}, nil
		}
		return nil, noHost
	}}
	a, b := netstacktest.Pair(t, o, nil)
	l, err := b.Net().Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct{ network, address, want string }{
		{"tcp", "both:80", "[fd99::2]:80"}, // the first does not answer
		{"tcp4", "four:http", "10.99.0.2:80"},
		{"tcp6", "both:80", "[fd99::2]:80"},
		{"udp6", "both:80", "[fd99::2]:80"},
	} {
		c, err := a.Net().DialContext(t.Context(), tt.network, tt.address)
		if err != nil {
			t.Errorf("%s %s: %v", tt.network, tt.address, err)
			continue
		}
		if got := c.RemoteAddr().String(); got != tt.want {
			t.Errorf("%s %s: connected to %s, want %s", tt.network, tt.address, got, tt.want)
		}
		c.Close()
	}
	if _, err := a.Net().DialContext(t.Context(), "tcp6", "four:80"); err == nil {
		t.Error("IPv6 connection to a name that has only IPv4")
	}
	_, err = a.Net().DialContext(t.Context(), "tcp", "none:80")
	wantOpError(t, err, "dial", noHost)
}

// TestDialTimeout checks that a dial without a deadline ends by itself when
// nobody answers.
func TestDialTimeout(t *testing.T) {
	testutil.LeakCheck(t)
	d := newDevice(t, nil) // nobody reads what it sends
	d.Net().SetConnectTimeout(20 * time.Millisecond)
	for _, to := range []netip.Addr{farV4, farV6} {
		_, err := d.Net().DialContext(context.Background(), "tcp", netip.AddrPortFrom(to, 80).String())
		wantOpError(t, err, "dial", syscall.ETIMEDOUT)
		var call *os.SyscallError
		var ne net.Error
		if !errors.As(err, &call) || call.Syscall != "connect" || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("got %v, want a timeout of connect", err)
		}
	}
	if got := d.Stats().TCP.Established; got != 0 {
		t.Errorf("%d connections are left", got)
	}
}
