// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tunrouter/tunrouter/netstack/resolver"
)

// A world is a network of name servers in the process: what is written to a
// server arrives as one message.
type world struct {
	mu      sync.Mutex
	servers map[string]*server // by address
	asked   []string           // "udp 10.0.0.1:53 A name.", in order
	dialed  int
}

// A server answers a query with messages. It must not change the query.
type server struct {
	answer func(network string, q *dnsmessage.Message) []reply
}

// A reply is a message that is sent after some time.
type reply struct {
	after time.Duration
	msg   []byte
}

// dial is a resolver.Dial; addresses without a server are unreachable.
func (w *world) dial(_ context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialed++
	s := w.servers[address]
	if s == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
	}
	near, far := net.Pipe()
	go w.serve(s, network, address, far)
	return near, nil
}

// serve ends when the other end is closed.
func (w *world) serve(s *server, network, address string, c net.Conn) {
	defer c.Close()
	done := make(chan struct{})
	defer close(done)
	for {
		msg, err := readMessage(network, c)
		if err != nil {
			return
		}
		var q dnsmessage.Message
		if err := q.Unpack(msg); err != nil || len(q.Questions) != 1 {
			panic("bad query")
		}
		w.mu.Lock()
		w.asked = append(w.asked, strings.Join([]string{network, address, strings.TrimPrefix(q.Questions[0].Type.String(), "Type"), q.Questions[0].Name.String()}, " "))
		w.mu.Unlock()
		for _, r := range s.answer(network, &q) {
			go func() {
				if r.after > 0 {
					select {
					case <-time.After(r.after):
					case <-done:
						return
					}
				}
				if network == "tcp" {
					r.msg = append(binary.BigEndian.AppendUint16(nil, uint16(len(r.msg))), r.msg...)
				}
				c.Write(r.msg)
			}()
		}
	}
}

func readMessage(network string, r io.Reader) ([]byte, error) {
	buf := make([]byte, 4096)
	if network == "udp" {
		n, err := r.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(r, buf[:2]); err != nil {
		return nil, err
	}
	buf = buf[:binary.BigEndian.Uint16(buf)]
	_, err := io.ReadFull(r, buf)
	return buf, err
}

// take returns what was asked since the last call.
func (w *world) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// A zone is what a server knows: records by name in lower case. A name that is
// not in it does not exist.
type zone map[string][]any

// Records of a zone are netip.Addr, alias (a name), or nothing (to make a name
// exist).
type (
	alias   string
	nothing struct{}
)

const zoneTTL = 300

// message returns the answer to q from the zone.
func (z zone) message(q *dnsmessage.Message) *dnsmessage.Message {
	m := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: q.Questions,
	}
	name := q.Questions[0].Name.String()
	records, found := z[strings.ToLower(name)]
	for found {
		next := ""
		for _, r := range records {
			h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: zoneTTL}
			switch r := r.(type) {
			case netip.Addr:
				if r.Is4() && q.Questions[0].Type == dnsmessage.TypeA {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: r.As4()}})
				}
				if r.Is6() && q.Questions[0].Type == dnsmessage.TypeAAAA {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: r.As16()}})
				}
			case alias:
				next = string(r)
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(next)}})
			}
		}
		if next == "" {
			break
		}
		name = next
		records, found = z[strings.ToLower(name)]
	}
	if !found {
		m.RCode = dnsmessage.RCodeNameError
	}
	if len(m.Answers) == 0 || !found {
		m.Authorities = append(m.Authorities, soa(20))
	}
	return m
}

func soa(ttl uint32) dnsmessage.Resource {
	root := dnsmessage.MustNewName(".")
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: root, Class: dnsmessage.ClassINET, TTL: 3600},
		Body:   &dnsmessage.SOAResource{NS: root, MBox: root, MinTTL: ttl},
	}
}

func pack(m *dnsmessage.Message) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// knows is a server that answers from z at once.
func knows(z zone) *server {
	return &server{func(_ string, q *dnsmessage.Message) []reply { return []reply{{0, pack(z.message(q))}} }}
}

// silent never answers.
func silent() *server {
	return &server{func(string, *dnsmessage.Message) []reply { return nil }}
}

// says answers everything with a response code.
func says(code dnsmessage.RCode) *server {
	return &server{func(_ string, q *dnsmessage.Message) []reply {
		return []reply{{0, pack(&dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: code}, Questions: q.Questions})}}
	}}
}

const (
	one = "10.0.0.1:53"
	two = "[fd00::2]:5353"
)

// newWorld returns a network with the servers one and two, the latter perhaps
// nil, and a resolver that asks them.
func newWorld(_ testing.TB, first, second *server, o resolver.Options) (*world, *resolver.Resolver) {
	w := &world{servers: map[string]*server{one: first}}
	o.Servers = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:0")}
	if second != nil {
		w.servers[two] = second
		o.Servers = append(o.Servers, netip.MustParseAddrPort(two))
	}
	return w, resolver.New(w.dial, &o)
}

// addrs are IP addresses from a list with blanks.
func addrs(s string) []netip.Addr {
	var out []netip.Addr
	for _, f := range strings.Fields(s) {
		out = append(out, netip.MustParseAddr(f))
	}
	return out
}

func records(s string) []any {
	var out []any
	for _, a := range addrs(s) {
		out = append(out, a)
	}
	return out
}
