// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/tunrouter/tunrouter/netstack/resolver"
)

func text(addrs []netip.Addr) string { return strings.Trim(fmt.Sprint(addrs), "[]") }

// TestOrder checks which families are asked for and which address comes first.
func TestOrder(t *testing.T) {
	z := zone{
		"both.test.":   records("10.1.0.1 10.1.0.2 10.1.0.3 fd01::1 fd01::2"),
		"four.test.":   records("10.1.0.1"),
		"six.test.":    records("fd01::1"),
		"mapped.test.": records("::ffff:10.1.0.1"),
		"alias.test.":  {alias("Other.TEST.")},
		"other.test.":  {alias("both.test.")},
	}
	for _, tt := range []struct {
		host   string
		v4, v6 bool
		prefer resolver.Preference
		want   string // empty: not found
		asked  int
	}{
		{"both.test", true, true, resolver.PreferAuto, "fd01::1 10.1.0.1 fd01::2 10.1.0.2 10.1.0.3", 2},
		{"both.test", true, true, resolver.PreferIPv6, "fd01::1 10.1.0.1 fd01::2 10.1.0.2 10.1.0.3", 2},
		{"both.test", true, true, resolver.PreferIPv4, "10.1.0.1 fd01::1 10.1.0.2 fd01::2 10.1.0.3", 2},
		{"both.test", true, false, resolver.PreferAuto, "10.1.0.1 10.1.0.2 10.1.0.3", 1},
		{"both.test", true, false, resolver.PreferIPv6, "10.1.0.1 10.1.0.2 10.1.0.3", 1},
		{"both.test", false, true, resolver.PreferIPv4, "fd01::1 fd01::2", 1},
		{"BOTH.Test.", false, true, resolver.PreferAuto, "fd01::1 fd01::2", 1},
		{"alias.test", true, false, resolver.PreferAuto, "10.1.0.1 10.1.0.2 10.1.0.3", 1},
		{"four.test", true, true, resolver.PreferAuto, "10.1.0.1", 2},
		{"six.test", true, true, resolver.PreferIPv4, "fd01::1", 2},
		{"six.test", true, false, resolver.PreferAuto, "", 1},
		{"mapped.test", true, true, resolver.PreferAuto, "", 2},
		{"none.test", true, true, resolver.PreferAuto, "", 2},
	} {
		t.Run(fmt.Sprintf("%s %v %v %v", tt.host, tt.v4, tt.v6, tt.prefer), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t, knows(z), nil, resolver.Options{
					Prefer: tt.prefer, Families: func() (bool, bool) { return tt.v4, tt.v6 },
				})
				got, err := r.LookupNetIP(t.Context(), tt.host)
				if tt.want == "" {
					wantDNSError(t, err, &net.DNSError{Err: "no such host", Name: tt.host, Server: one, IsNotFound: true})
				} else if err != nil || text(got) != tt.want {
					t.Errorf("got %v, %v; want %s", text(got), err, tt.want)
				}
				if asked := w.take(); len(asked) != tt.asked {
					t.Errorf("asked %q, want %d queries", asked, tt.asked)
				}
			})
		})
	}
}

// wantDNSError compares all but what is wrapped.
func wantDNSError(t *testing.T, err error, want *net.DNSError) {
	t.Helper()
	var got *net.DNSError
	if !errors.As(err, &got) {
		t.Fatalf("error %v, want %v", err, want)
	}
	g := *got
	g.UnwrapErr = nil
	if diff := cmp.Diff(*want, g); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// TestNotAsked looks up what no server is asked for.
func TestNotAsked(t *testing.T) {
	long := strings.Repeat("a.", 126) + "ab" // 254 bytes
	for _, tt := range []struct{ host, want string }{
		{"10.1.2.3", "10.1.2.3"},
		{"fe80::1%eth0", "fe80::1%eth0"},
		{"::ffff:10.1.2.3", "::ffff:10.1.2.3"},
		{"localhost", "::1 127.0.0.1"},
		{"LOCALHOST.", "::1 127.0.0.1"},
		{"db.localhost", "::1 127.0.0.1"},
		{"x.invalid", "no such host"},
		{"x.onion.", "no such host"},
		{"", "empty name"},
		{".", "empty name"},
		{"a..b", "part of 0 bytes"},
		{".a", "part of 0 bytes"},
		{strings.Repeat("a", 64), "part of 64 bytes"},
		{long, "longer than 253"},
		{"a b", "byte 0x20"},
		{"a\x00b", "byte 0x00"},
		{"a\x7fb", "byte 0x7f"},
		{"bücher.test", "xn--"},
	} {
		w, r := newWorld(t, silent(), nil, resolver.Options{Search: []string{"test"}})
		got, err := r.LookupNetIP(t.Context(), tt.host)
		var e *net.DNSError
		switch {
		case err == nil:
			if text(got) != tt.want {
				t.Errorf("%q: got %s, want %s", tt.host, text(got), tt.want)
			}
		case !errors.As(err, &e) || !strings.Contains(e.Err, tt.want) || !e.IsNotFound || e.Name != tt.host:
			t.Errorf("%q: error %v, want %s", tt.host, err, tt.want)
		}
		if w.dialed != 0 {
			t.Errorf("%q: %d connections to servers", tt.host, w.dialed)
		}
	}
	if _, err := resolver.New(nil, nil).LookupNetIP(t.Context(), "a.test"); err == nil || !strings.Contains(err.Error(), "set DNS in [Interface]") {
		t.Errorf("without servers: %v", err)
	}
	none := resolver.New(nil, &resolver.Options{
		Servers:  []netip.AddrPort{netip.MustParseAddrPort(one)},
		Families: func() (bool, bool) { return false, false },
	})
	if _, err := none.LookupNetIP(t.Context(), "a.test"); err == nil || !strings.Contains(err.Error(), "has no address") {
		t.Errorf("without addresses: %v", err)
	}
	local := resolver.New(nil, &resolver.Options{Families: func() (bool, bool) { return true, false }})
	if got, err := local.LookupHost(t.Context(), "localhost"); err != nil || !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("localhost of an IPv4 host: %v, %v", got, err)
	}
}

// TestSearch checks what is asked for a name, in which order.
func TestSearch(t *testing.T) {
	longest := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 61)
	for _, tt := range []struct {
		host   string
		search string
		zone   string // names that exist
		want   string // names asked for
	}{
		{"a", "x.test y.test", "", "a.x.test. a.y.test. a."},
		{"a", "x.test y.test", "a.y.test.", "a.x.test. a.y.test."},
		{"a", "X.test. x.TEST", "a.", "a.x.test. a."},
		{"a", "", "a.", "a."},
		{"a.b", "x.test y.test", "", "a.b. a.b.x.test. a.b.y.test."},
		{"a.b", "x.test", "a.b.", "a.b."},
		{"a.", "x.test", "", "a."},
		{"a.b.", "x.test", "", "a.b."},
		{"a", ". bad..domain invalid x.test", "", "a.x.test. a."},
		{longest, "x.test", "", longest + "."},
	} {
		t.Run(tt.host+" in "+tt.search, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := make(zone)
				for _, name := range strings.Fields(tt.zone) {
					z[name] = records("10.1.0.1")
				}
				w, r := newWorld(t, knows(z), nil, resolver.Options{
					Search:   strings.Fields(tt.search),
					Families: func() (bool, bool) { return true, false },
				})
				_, err := r.LookupNetIP(t.Context(), tt.host)
				if (err == nil) != (tt.zone != "") {
					t.Errorf("error %v", err)
				}
				var want []string
				for _, name := range strings.Fields(tt.want) {
					want = append(want, "udp "+one+" A "+name)
				}
				if diff := cmp.Diff(want, w.take()); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestSearchFailure checks that a name that could not be asked for is not said
// to be missing.
func TestSearchFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
			m := zone{}.message(q)
			if strings.HasPrefix(q.Questions[0].Name.String(), "a.x.") {
				m.RCode = dnsmessage.RCodeServerFailure
			}
			return []reply{{0, pack(m)}}
		}}, nil, resolver.Options{Search: []string{"x.test", "y.test"}})
		_, err := r.LookupNetIP(t.Context(), "a")
		wantDNSError(t, err, &net.DNSError{Err: "server failure", Name: "a", Server: one, IsTemporary: true})
	})
}

// TestServers checks which server is asked when, and what comes of it.
func TestServers(t *testing.T) {
	good := zone{"a.test.": records("10.1.0.1 fd01::1")}
	garbled := &server{func(_ string, q *dnsmessage.Message) []reply {
		msg := pack(good.message(q))
		return []reply{{0, msg[:len(msg)-3]}}
	}}
	lame := &server{func(_ string, q *dnsmessage.Message) []reply {
		return []reply{{0, pack(&dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true}, Questions: q.Questions})}}
	}}
	version := &server{func(_ string, q *dnsmessage.Message) []reply {
		m := good.message(q)
		opt := dnsmessage.Resource{Body: &dnsmessage.OPTResource{}}
		if err := opt.Header.SetEDNS0(1232, 16, false); err != nil { // BADVERS, whose lower bits are 0
			t.Error(err)
		}
		m.Answers, m.Additionals = nil, []dnsmessage.Resource{opt}
		return []reply{{0, pack(m)}}
	}}
	timeout := &net.DNSError{Err: "i/o timeout", Name: "a.test", Server: two, IsTimeout: true, IsTemporary: true}
	temporary := func(text string) *net.DNSError {
		return &net.DNSError{Err: text, Name: "a.test", Server: two, IsTemporary: true}
	}
	for _, tt := range []struct {
		name          string
		first, second *server
		took          time.Duration
		want          *net.DNSError // nil: the address
		asked         int
	}{
		{"first", knows(good), silent(), 0, nil, 2},
		{"first silent", silent(), knows(good), 5 * time.Second, nil, 4},
		{"first unreachable", nil, knows(good), 0, nil, 2},
		{"first fails", says(dnsmessage.RCodeServerFailure), knows(good), 0, nil, 4},
		{"first refuses", says(dnsmessage.RCodeRefused), knows(good), 0, nil, 4},
		{"first cannot", says(dnsmessage.RCodeNotImplemented), knows(good), 0, nil, 4},
		{"first garbled", garbled, knows(good), 0, nil, 4},
		{"first lame", lame, knows(good), 0, nil, 4},
		{"first without EDNS0 at all", says(dnsmessage.RCodeFormatError), knows(good), 0, nil, 6},
		{"first knows another EDNS", version, knows(good), 0, nil, 4},
		{"first knows that there is none", knows(zone{}), knows(good), 0, &net.DNSError{Err: "no such host", Name: "a.test", Server: one, IsNotFound: true}, 2},
		{"first knows that it has no address", knows(zone{"a.test.": {nothing{}}}), knows(good), 0, &net.DNSError{Err: "no such host", Name: "a.test", Server: one, IsNotFound: true}, 2},
		{"both silent", silent(), silent(), 20 * time.Second, timeout, 8},
		{"both fail", says(dnsmessage.RCodeServerFailure), says(dnsmessage.RCodeServerFailure), 0, temporary("server failure"), 8},
		{"both refuse", says(dnsmessage.RCodeRefused), says(dnsmessage.RCodeRefused), 0, temporary("query refused"), 8},
		{"both lame", lame, lame, 0, temporary("server does no recursion"), 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t, tt.first, tt.second, resolver.Options{})
				start := time.Now()
				got, err := r.LookupNetIP(t.Context(), "a.test")
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if asked := w.take(); len(asked) != tt.asked {
					t.Errorf("asked %q, want %d queries", asked, tt.asked)
				}
				if tt.want != nil {
					wantDNSError(t, err, tt.want)
					if tt.want.IsTimeout != errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("error %#v", err)
					}
					return
				}
				if err != nil || text(got) != "fd01::1 10.1.0.1" {
					t.Errorf("got %s, %v", text(got), err)
				}
				// Whoever answered is asked first.
				if _, err := r.LookupNetIP(t.Context(), "b.test"); err == nil {
					t.Error("found a name that is not there")
				}
				last := two
				if tt.name == "first" {
					last = one
				}
				for _, q := range w.take() {
					if !strings.Contains(q, last) {
						t.Errorf("asked %q instead of %s", q, last)
					}
				}
			})
		})
	}
}

// TestLateFamily checks how long the second family has.
func TestLateFamily(t *testing.T) {
	const never = -1
	z := zone{"a.test.": records("10.1.0.1 fd01::1"), "four.test.": records("10.1.0.1")}
	for _, tt := range []struct {
		name   string
		host   string
		v4, v6 time.Duration
		code   dnsmessage.RCode // of the answer for IPv6
		took   time.Duration
		want   string
	}{
		{"in time", "a.test", 10 * time.Millisecond, 59 * time.Millisecond, 0, 59 * time.Millisecond, "fd01::1 10.1.0.1"},
		{"late v6", "a.test", 10 * time.Millisecond, 100 * time.Millisecond, 0, 60 * time.Millisecond, "10.1.0.1"},
		{"late v4", "a.test", time.Second, 100 * time.Millisecond, 0, 150 * time.Millisecond, "fd01::1"},
		{"no v6", "a.test", 10 * time.Millisecond, never, 0, 60 * time.Millisecond, "10.1.0.1"},
		{"v6 fails first", "a.test", 100 * time.Millisecond, 0, dnsmessage.RCodeServerFailure, 100 * time.Millisecond, "10.1.0.1"},
		{"v6 fails later", "a.test", 0, 10 * time.Millisecond, dnsmessage.RCodeServerFailure, 10 * time.Millisecond, "10.1.0.1"},
		{"v6 has none", "four.test", 900 * time.Millisecond, 0, 0, 900 * time.Millisecond, "10.1.0.1"},
		{"v6 wrongly has no name", "a.test", 40 * time.Millisecond, 0, dnsmessage.RCodeNameError, 40 * time.Millisecond, "10.1.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
					m, after := z.message(q), tt.v4
					if q.Questions[0].Type == dnsmessage.TypeAAAA {
						if after = tt.v6; tt.code != 0 {
							m.Answers, m.RCode = nil, tt.code
						}
					}
					if after == never {
						return nil
					}
					return []reply{{after, pack(m)}}
				}}, nil, resolver.Options{})
				start := time.Now()
				got, err := r.LookupNetIP(t.Context(), tt.host)
				if took := time.Since(start); err != nil || text(got) != tt.want || took != tt.took {
					t.Errorf("got %s, %v after %v; want %s after %v", text(got), err, took, tt.want, tt.took)
				}
			})
		})
	}
}

// TestContext checks that the caller's context wins, and that others that wait
// for the same name do not suffer from it.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := newWorld(t, silent(), silent(), resolver.Options{})
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		_, err := r.LookupNetIP(ctx, "a.test")
		if took := time.Since(start); took != 7*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
		wantDNSError(t, err, &net.DNSError{Err: "context deadline exceeded", Name: "a.test", Server: two, IsTimeout: true})

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = r.LookupNetIP(gone, "a.test")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("with a cancelled context: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		slow := &server{func(_ string, q *dnsmessage.Message) []reply {
			return []reply{{time.Second, pack(zone{"a.test.": records("10.1.0.1")}.message(q))}}
		}}
		w, r := newWorld(t, slow, nil, resolver.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if i == 0 {
					_, err := r.LookupNetIP(ctx, "a.test")
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("with a short context: %v", err)
					}
					return
				}
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				if got, err := r.LookupNetIP(t.Context(), "A.test"); err != nil || text(got) != "10.1.0.1" {
					t.Errorf("got %s, %v", text(got), err)
				}
			})
		}
		wg.Wait()
		if asked := w.take(); len(asked) != 2 {
			t.Errorf("asked %q, want 2 queries", asked)
		}
	})
}

// TestClosed checks that a host that has ended ends its lookups.
func TestClosed(t *testing.T) {
	dials := 0
	r := resolver.New(func(_ context.Context, network, _ string) (net.Conn, error) {
		dials++
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}, &resolver.Options{Servers: []netip.AddrPort{netip.MustParseAddrPort(one), netip.MustParseAddrPort(two)}})
	if _, err := r.LookupNetIP(t.Context(), "a.test"); !errors.Is(err, net.ErrClosed) || dials != 1 {
		t.Errorf("%v after %d dials", err, dials)
	}
}
