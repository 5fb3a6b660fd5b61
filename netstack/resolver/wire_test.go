// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver_test

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/tunrouter/tunrouter/netstack/resolver"
)

// TestQuery checks what is on the wire.
func TestQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := make(chan uint16, 2)
		_, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
			ids <- q.ID
			want := dnsmessage.Header{ID: q.ID, RecursionDesired: true}
			if diff := cmp.Diff(want, q.Header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if len(q.Additionals) != 1 || q.Additionals[0].Header.Type != dnsmessage.TypeOPT || q.Additionals[0].Header.Class != 1232 {
				t.Errorf("additionals %v, want EDNS0 with 1232 bytes", q.Additionals)
			}
			return []reply{{0, pack(zone{"a.test.": records("10.1.0.1")}.message(q))}}
		}}, nil, resolver.Options{})
		if _, err := r.LookupNetIP(t.Context(), "a.test"); err != nil {
			t.Error(err)
		}
		if a, b := <-ids, <-ids; a == b {
			t.Errorf("identifier %d twice", a)
		}
	})
}

// TestTruncated checks that what does not fit a datagram is fetched over TCP.
func TestTruncated(t *testing.T) {
	var many []any
	for i := range 200 {
		many = append(many, netip.AddrFrom4([4]byte{10, 1, 1, byte(i)}))
	}
	z := zone{"a.test.": append(many, netip.MustParseAddr("fd01::1"))}
	truncates := func(tcp func(*dnsmessage.Message) []byte) *server {
		return &server{func(network string, q *dnsmessage.Message) []reply {
			m := z.message(q)
			if q.Questions[0].Type == dnsmessage.TypeA {
				if network == "tcp" {
					return []reply{{0, tcp(m)}}
				}
				m.Truncated, m.Answers = true, m.Answers[:50]
			}
			return []reply{{0, pack(m)}}
		}}
	}
	for _, tt := range []struct {
		name  string
		tcp   func(*dnsmessage.Message) []byte
		addrs int // at most 64 of a family are taken
		asked []string
	}{
		{"whole", func(m *dnsmessage.Message) []byte { return pack(m) }, 65, []string{
			"udp 10.0.0.1:53 AAAA a.test.", "udp 10.0.0.1:53 A a.test.", "tcp 10.0.0.1:53 A a.test.",
		}},
		{"truncated again", func(m *dnsmessage.Message) []byte { m.Truncated = true; return pack(m) }, 1, []string{
			"udp 10.0.0.1:53 AAAA a.test.", "udp 10.0.0.1:53 A a.test.", "tcp 10.0.0.1:53 A a.test.",
		}},
		{"another's", func(m *dnsmessage.Message) []byte { m.ID++; return pack(m) }, 1, []string{
			"udp 10.0.0.1:53 AAAA a.test.", "udp 10.0.0.1:53 A a.test.", "tcp 10.0.0.1:53 A a.test.",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t, truncates(tt.tcp), nil, resolver.Options{})
				got, err := r.LookupNetIP(t.Context(), "a.test")
				if err != nil || len(got) != tt.addrs {
					t.Errorf("%d addresses, %v; want %d", len(got), err, tt.addrs)
				}
				if diff := cmp.Diff(tt.asked, w.take()); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("no TCP", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := truncates(nil)
			_, r := newWorld(t, &server{func(network string, q *dnsmessage.Message) []reply {
				if network == "tcp" {
					return nil
				}
				return s.answer(network, q)
			}}, nil, resolver.Options{Families: func() (bool, bool) { return true, false }})
			start := time.Now()
			_, err := r.LookupNetIP(t.Context(), "a.test")
			if took := time.Since(start); took != 10*time.Second {
				t.Errorf("took %v", took)
			}
			wantDNSError(t, err, &net.DNSError{Err: "i/o timeout", Name: "a.test", Server: one, IsTimeout: true, IsTemporary: true})
		})
	})
}

// TestOldServer checks that a server from before EDNS0 is asked without.
func TestOldServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
			m := zone{"a.test.": records("10.1.0.1 fd01::1")}.message(q)
			if len(q.Additionals) > 0 {
				m = &dnsmessage.Message{Header: m.Header, Questions: m.Questions}
				m.RCode = dnsmessage.RCodeFormatError
			}
			return []reply{{0, pack(m)}}
		}}, nil, resolver.Options{})
		if got, err := r.LookupNetIP(t.Context(), "a.test"); err != nil || len(got) != 2 {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// TestForged checks that only the answer to the question is taken.
func TestForged(t *testing.T) {
	evil := zone{"a.test.": records("10.6.6.6 fd66::6")}
	for name, forge := range map[string]func(m *dnsmessage.Message){
		"identifier":   func(m *dnsmessage.Message) { m.ID += 0x100 },
		"name":         func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("b.test.") },
		"class":        func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS },
		"type":         func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeMX },
		"query":        func(m *dnsmessage.Message) { m.Response = false },
		"opcode":       func(m *dnsmessage.Message) { m.OpCode = 4 },
		"no question":  func(m *dnsmessage.Message) { m.Questions = nil },
		"two":          func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) },
		"no truncated": func(m *dnsmessage.Message) { m.Truncated, m.ID = true, m.ID+1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
					bad := evil.message(q)
					bad.Questions = append([]dnsmessage.Question(nil), bad.Questions...)
					forge(bad)
					good := zone{"a.test.": records("10.1.0.1 fd01::1")}.message(q)
					return []reply{{0, []byte("junk")}, {0, pack(bad)}, {time.Second, pack(good)}}
				}}, nil, resolver.Options{})
				got, err := r.LookupNetIP(t.Context(), "a.test")
				if err != nil || text(got) != "fd01::1 10.1.0.1" {
					t.Errorf("got %s, %v", text(got), err)
				}
			})
		})
	}
}

// TestCache checks for how long what is not asked for again.
func TestCache(t *testing.T) {
	address := func(ttl uint32) func(m *dnsmessage.Message) {
		return func(m *dnsmessage.Message) {
			for i := range m.Answers {
				m.Answers[i].Header.TTL = ttl
			}
		}
	}
	missing := func(ttl uint32) func(m *dnsmessage.Message) {
		return func(m *dnsmessage.Message) {
			m.Answers, m.Authorities, m.RCode = nil, []dnsmessage.Resource{soa(ttl)}, dnsmessage.RCodeNameError
		}
	}
	onlyA := func(m *dnsmessage.Message) bool { return m.Questions[0].Type == dnsmessage.TypeA }
	for _, tt := range []struct {
		name   string
		change func(m *dnsmessage.Message)
		keeps  time.Duration
	}{
		{"address", address(100), 100 * time.Second},
		{"address for ever", address(1<<31 - 1), time.Hour},
		{"address with the sign bit", address(1 << 31), 0},
		{"address not to be kept", address(0), 0},
		{"alias that lives shorter", func(m *dnsmessage.Message) {
			address(100)(m)
			for i := range m.Answers {
				m.Answers[i].Header.Name = dnsmessage.MustNewName("b.test.")
			}
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 50},
				Body:   &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")},
			})
		}, 50 * time.Second},
		{"missing", missing(10), 10 * time.Second},
		{"missing for long", missing(3600), 30 * time.Second},
		{"missing without SOA", func(m *dnsmessage.Message) { missing(0)(m); m.Authorities = nil }, 0},
		{"no address", func(m *dnsmessage.Message) { missing(25)(m); m.RCode = 0 }, 25 * time.Second},
		{"IPv6 lives shorter", func(m *dnsmessage.Message) {
			if !onlyA(m) {
				address(7)(m)
			}
		}, 7 * time.Second},
		{"no IPv6, for longer than a missing name", func(m *dnsmessage.Message) {
			if !onlyA(m) {
				missing(90)(m)
				m.RCode = 0
			}
		}, 90 * time.Second},
		{"IPv6 failed", func(m *dnsmessage.Message) {
			if !onlyA(m) {
				m.RCode, m.Answers = dnsmessage.RCodeServerFailure, nil
			}
		}, 10 * time.Second},
		{"failed", func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeServerFailure }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
					m := zone{"a.test.": records("10.1.0.1 fd01::1")}.message(q)
					tt.change(m)
					return []reply{{0, pack(m)}}
				}}, nil, resolver.Options{})
				// At first, just before the end, at the end.
				first, ferr := r.LookupNetIP(t.Context(), "a.test")
				n := len(w.take())
				if tt.keeps > 0 {
					time.Sleep(tt.keeps - 1)
					again, err := r.LookupNetIP(t.Context(), "A.TEST.")
					if text(again) != text(first) || (err == nil) != (ferr == nil) {
						t.Errorf("first %v, %v; then %v, %v", first, ferr, again, err)
					}
					if asked := w.take(); len(asked) != 0 {
						t.Errorf("asked again: %q", asked)
					}
					clear(again) // it is the caller's
					time.Sleep(1)
				}
				last, _ := r.LookupNetIP(t.Context(), "a.test")
				if asked := w.take(); len(asked) != n || text(last) != text(first) {
					t.Errorf("then asked %q, got %v, want %d queries and %v", asked, last, n, first)
				}
			})
		})
	}
}

// TestCacheIsBounded looks up more names than the cache holds, and one of them
// all the time.
func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int32
		_, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
			count.Add(1)
			m := zone{}.message(q)
			m.RCode, m.Authorities = 0, nil
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 600},
				Body:   &dnsmessage.AResource{A: [4]byte{10, 1, 0, 1}},
			}}
			return []reply{{0, pack(m)}}
		}}, nil, resolver.Options{Families: func() (bool, bool) { return true, false }})
		name := func(i int) string {
			return strings.Repeat("x", i%40+1) + "." + string(rune('a'+i/40%26)) + string(rune('a'+i/1040)) + ".test"
		}
		lookup := func(i int, want int32) {
			t.Helper()
			count.Store(0)
			if _, err := r.LookupNetIP(t.Context(), name(i)); err != nil {
				t.Fatal(err)
			}
			if n := count.Load(); n != want {
				t.Errorf("name %d: %d queries, want %d", i, n, want)
			}
		}
		lookup(0, 1)
		for i := 1; i < 1200; i++ {
			lookup(i, 1)
			lookup(0, 0)
		}
		lookup(1199, 0)
		lookup(1199-1022, 0) // with 0 and those after it, 1024
		lookup(1, 1)
	})
}

// TestReconfigure changes everything while lookups are under way.
func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(t, &server{func(_ string, q *dnsmessage.Message) []reply {
			return []reply{{time.Second, pack(zone{"a.x.test.": records("10.1.0.1 fd01::1")}.message(q))}}
		}}, knows(zone{"a.y.test.": records("10.2.0.1 fd02::1")}), resolver.Options{Search: []string{"x.test"}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got, err := r.LookupNetIP(t.Context(), "a"); err != nil || text(got) != "fd01::1 10.1.0.1" {
				t.Errorf("under way: %v, %v", got, err)
			}
		}()
		time.Sleep(500 * time.Millisecond)
		r.Reconfigure(&resolver.Options{
			Servers: []netip.AddrPort{{}, netip.MustParseAddrPort("0.0.0.0:53"), netip.MustParseAddrPort(two), netip.MustParseAddrPort(two)},
			Search:  []string{"y.test"},
			Prefer:  resolver.PreferIPv4,
		})
		w.take()
		for range 2 {
			if got, err := r.LookupNetIP(t.Context(), "a"); err != nil || text(got) != "10.2.0.1 fd02::1" {
				t.Errorf("afterwards: %v, %v", got, err)
			}
		}
		<-done
		if asked := w.take(); len(asked) != 2 || !strings.Contains(asked[0], two) {
			t.Errorf("asked %q", asked)
		}
		r.Reconfigure(nil)
		if _, err := r.LookupNetIP(t.Context(), "a"); err == nil {
			t.Error("found a name without servers")
		}
	})
}
