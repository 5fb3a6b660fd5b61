// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import "golang.org/x/net/dns/dnsmessage"

// Judge gives msg to the question for name (absolute, in lower case) and typ,
// and returns what it makes of it. taken: it is the answer; retry: it has to be
// asked for again.
func Judge(name string, typ dnsmessage.Type, id uint16, msg []byte) (r struct {
	Taken, Retry, Found, Failed bool
	Addrs                       []string
	Negative                    bool
}) {
	q := &question{name: name, typ: typ, id: id}
	r.Taken = q.take(msg)
	r.Retry = r.Taken && (q.state == statePending || q.state == stateTruncated)
	r.Found = q.state == stateAnswered && len(q.addrs) > 0
	r.Negative = q.state == stateMissing || q.state == stateAnswered && len(q.addrs) == 0
	r.Failed = q.state == stateFailed
	for _, a := range q.addrs {
		r.Addrs = append(r.Addrs, a.String())
	}
	if q.ttl < 0 || len(q.addrs) > 0 && q.ttl > maxTTL {
		panic("time to live out of bounds")
	}
	return r
}

// MaxAddrs is how many addresses of one answer are taken.
const MaxAddrs = maxAddrs

// Query returns the query for a name as the caller gives it, or false if there
// is none.
func Query(host string) (name string, msg []byte, ok bool) {
	name, err := absolute(host)
	if err != nil {
		return "", nil, false
	}
	if msg, err = newQuestion(name, dnsmessage.TypeA).appendQuery(nil); err != nil {
		panic(err)
	}
	return name, msg, true
}

// Candidates returns what is asked for in place of a name.
func Candidates(host, name string, search []string) []string { return candidates(host, name, search) }
