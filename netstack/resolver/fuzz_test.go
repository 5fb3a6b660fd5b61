// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tunrouter/tunrouter/netstack/resolver"
)

// FuzzAnswer checks that an answer gives addresses only of the name that was
// asked for and of those that it stands for, and is understood one way only.
func FuzzAnswer(f *testing.F) {
	const name, id = "a.test.", 0x1234
	question := []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
	query := &dnsmessage.Message{Header: dnsmessage.Header{ID: id}, Questions: question}
	for _, z := range []zone{
		{},
		{name: {nothing{}}},
		{name: records("10.1.0.1 10.1.0.2 fd01::1")},
		{name: {alias("B.test.")}, "b.test.": {alias("c.test.")}, "c.test.": records("10.1.0.3")},
		{name: {alias("nowhere.test.")}},
	} {
		f.Add(pack(z.message(query)))
	}
	loop := zone{name: {nothing{}}}.message(query)
	stranger := loop.Answers
	for _, r := range [][2]string{{name, "b.test."}, {"b.test.", name}} {
		loop.Answers = append(loop.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(r[0]), Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(r[1])},
		})
	}
	f.Add(pack(loop))
	loop.Answers = append(stranger, dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("b.test."), Class: dnsmessage.ClassINET, TTL: 1},
		Body:   &dnsmessage.AResource{A: [4]byte{10, 6, 6, 6}},
	})
	f.Add(pack(loop))
	for _, code := range []dnsmessage.RCode{1, 2, 3, 4, 5, 9} {
		f.Add(pack(&dnsmessage.Message{Header: dnsmessage.Header{ID: id, Response: true, RCode: code}, Questions: question}))
	}
	f.Add(pack(&dnsmessage.Message{Header: dnsmessage.Header{ID: id, Response: true, Truncated: true}, Questions: question}))

	f.Fuzz(func(t *testing.T, msg []byte) {
		r := resolver.Judge(name, dnsmessage.TypeA, id, msg)
		outcomes := 0
		for _, is := range []bool{r.Retry, r.Found, r.Negative, r.Failed} {
			if is {
				outcomes++
			}
		}
		if r.Taken != (outcomes == 1) || outcomes > 1 {
			t.Fatalf("taken %v with %d outcomes: %+v", r.Taken, outcomes, r)
		}
		if (len(r.Addrs) > 0) != r.Found || len(r.Addrs) > resolver.MaxAddrs {
			t.Fatalf("%d addresses: %+v", len(r.Addrs), r)
		}
		if !r.Found {
			return
		}
		may := reachableAddrs(t, name, msg)
		for _, a := range r.Addrs {
			if !slices.Contains(may, a) {
				t.Errorf("%s is no address of %s, which has %v", a, name, may)
			}
		}
	})
}

// reachableAddrs returns the IPv4 addresses in msg of name and of all that it
// is an alias of.
func reachableAddrs(t *testing.T, name string, msg []byte) []string {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.RCode != dnsmessage.RCodeSuccess {
		t.Fatalf("addresses from %+v, %v", h, err)
	}
	if err := p.SkipAllQuestions(); err != nil {
		t.Fatal(err)
	}
	var answers []dnsmessage.Resource
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			break // the end, or as far as anyone can read
		}
		if h.Class != dnsmessage.ClassINET || h.Type != dnsmessage.TypeA && h.Type != dnsmessage.TypeCNAME {
			p.SkipAnswer()
			continue
		}
		r, err := p.Answer()
		if err != nil {
			t.Fatalf("addresses from answers that cannot be read: %v", err)
		}
		answers = append(answers, r)
	}
	names := []string{name}
	for i := 0; i < len(names); i++ {
		for _, r := range answers {
			if c, ok := r.Body.(*dnsmessage.CNAMEResource); ok && strings.EqualFold(r.Header.Name.String(), names[i]) {
				if to := strings.ToLower(c.CNAME.String()); !slices.Contains(names, to) {
					names = append(names, to)
				}
			}
		}
	}
	var out []string
	for _, r := range answers {
		if a, ok := r.Body.(*dnsmessage.AResource); ok && slices.Contains(names, strings.ToLower(r.Header.Name.String())) {
			out = append(out, netip.AddrFrom4(a.A).String())
		}
	}
	return out
}

// FuzzName checks that a name is either refused or asked for as it is, and that
// search domains make nothing of it that cannot be asked for.
func FuzzName(f *testing.F) {
	for _, host := range []string{"", ".", "a", "A.b.", "a..b", "x y", "_srv._tcp.x", "b\xc3\xbc", strings.Repeat("a.", 126) + "a", "localhost", `\.a`} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name, msg, ok := resolver.Query(host)
		if !ok {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(msg); err != nil || len(m.Questions) != 1 || m.Questions[0].Name.String() != name {
			t.Fatalf("query for %q: %v, %v", host, m.Questions, err)
		}
		if want := strings.TrimSuffix(host, ".") + "."; !strings.EqualFold(name, want) {
			t.Errorf("%q became %q", host, name)
		}
		all := resolver.Candidates(host, name, []string{"x.test.", strings.Repeat("y.", 60)})
		if !slices.Contains(all, name) {
			t.Errorf("candidates %q without %q", all, name)
		}
		for _, c := range all {
			if again, _, ok := resolver.Query(c); !ok || again != c || !strings.HasPrefix(c, name) {
				t.Errorf("candidate %q of %q", c, host)
			}
		}
	})
}
