// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package nexthop

import (
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A script is a socket that gives its errors one after the other; nil is a
// message about a neighbour of another interface. Before each it notes how many
// answers the table has, and adds one. At the end the table is closed.
type script struct {
	table *Table
	errs  []error
	seen  []int
	waits []bool // whether a timeout was set
	limit bool
}

func (s *script) Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error) {
	s.seen = append(s.seen, s.table.Len())
	s.waits = append(s.waits, s.limit)
	if len(s.errs) == 0 {
		close(s.table.done)
		return nil, nil, unix.EAGAIN
	}
	s.table.keep(&entry{key: key{dst: netip.IPv6Loopback()}}, s.table.changes)
	err := s.errs[0]
	s.errs = s.errs[1:]
	m := syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWNEIGH}, Data: make([]byte, unix.SizeofNdMsg)}
	return []syscall.NetlinkMessage{m}, &unix.SockaddrNetlink{}, err
}

func (s *script) SetReceiveTimeout(limit *unix.Timeval) error {
	s.limit = limit.Nano() != 0
	return nil
}

// After messages were lost everything is forgotten until the socket is empty.
func TestLostMessages(t *testing.T) {
	table := &Table{ifIndex: 1, done: make(chan struct{}), entries: newStore(10)}
	s := &script{table: table, errs: []error{nil, unix.ENOBUFS, nil, unix.ENOBUFS, nil, unix.EAGAIN, nil}}
	table.listen(s)
	want := []int{0, 1, 0, 0, 0, 0, 0, 1}
	waits := []bool{false, false, true, true, true, true, false, false}
	for i := range want {
		if i >= len(s.seen) || s.seen[i] != want[i] || s.waits[i] != waits[i] {
			t.Fatalf("answers: got %v, want %v; timeout: got %v, want %v", s.seen, want, s.waits, waits)
		}
	}
}

// An answer that a message overtook is not kept: neither one about everything
// nor one about the neighbour that is being asked for.
func TestOvertaken(t *testing.T) {
	ip, other := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	about := func(ip netip.Addr) func(*Table) {
		body := make([]byte, neighLen)
		body[0] = unix.AF_INET
		native.PutUint32(body[4:], 1)
		body = appendAttrAddr(body, unix.NDA_DST, ip)
		return func(table *Table) {
			table.message(&syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_DELNEIGH}, Data: body})
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*Table)
		kept   bool
	}{
		{"nothing", func(*Table) {}, true},
		{"another neighbour", about(other), true},
		{"the neighbour", about(ip), false},
		{"mark", func(table *Table) { table.SetMark(7) }, false},
		{"same mark", func(table *Table) { table.SetMark(0) }, true},
		{"route", func(table *Table) {
			table.message(&syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWROUTE}})
		}, false},
	} {
		table := &Table{ifIndex: 1, done: make(chan struct{}), entries: newStore(10)}
		asked, _, _ := table.begin()
		table.asking = ip
		tt.change(table)
		if kept := table.keep(&entry{key: key{dst: ip}}, asked); kept != tt.kept || table.Len() == 1 != tt.kept {
			t.Errorf("%s: kept %v, %d answers", tt.name, kept, table.Len())
		}
	}
}
