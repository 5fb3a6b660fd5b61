// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
)

// Without a socket of the kernel that is told, with what was sent before.
func TestWriteNoKernel(t *testing.T) {
	r := newActiveRig(t, 8)
	want := []string{"1", "2", strings.Repeat("x", 2000), "4"}
	for _, k := range []*kernels{nil, {}, {v6: []Kernel{r.v6}}} {
		r.c.under.kernel.Store(k)
		n, err := r.c.WriteBatch(bufsOf(0, want), 0, dest(far4), 0)
		if n != 2 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %d, %v", n, err)
		}
	}
}

// Each queue has a socket of the kernel of its own, as far as there are.
func TestWriteBeside(t *testing.T) {
	list := []*kernelConn{{}, {}, {}}
	for queue := range 7 {
		r := newRig(t, 1)
		c := newConn(queue, r.c.under)
		r.c.under.beside([]Kernel{list[0], list[1], list[2]}, nil)
		if n, err := c.WriteBatch(bufsOf(0, []string{"x"}), 0, dest(far4), 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if list[queue%3].calls != 1+queue/3 {
			t.Errorf("queue %d did not use socket %d", queue, queue%3)
		}
	}
}

// What the kernel's socket says is passed on, with all packets counted that were
// taken.
func TestWriteKernelErrors(t *testing.T) {
	for _, tt := range []struct {
		took int
		err  error
	}{
		{0, &batching.SendError{Op: "sendmmsg", Remote: far4, Err: syscall.ENETUNREACH}},
		{2, &batching.SendError{Op: "sendmmsg", Remote: far4, Err: syscall.EPERM}},
		{97, &batching.SendError{Op: "sendmmsg", Remote: far4, Err: syscall.EMSGSIZE}}, // all but one
		{98, nil},
	} {
		r := newActiveRig(t, 8)
		r.v4.answer = func(int) (int, error) { return tt.took, tt.err }
		want := numbered(100)
		want[2] = strings.Repeat("x", 2000)
		n, err := r.c.WriteBatch(bufsOf(0, want), 0, dest(far4), 0)
		if n != 2+tt.took || err != tt.err {
			t.Errorf("got %d, %v, want %d, %v", n, err, 2+tt.took, tt.err)
		}
	}
}

// A caller that breaks the contract gets the errors of package batching, and
// nothing was sent.
func TestWriteContract(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sizes  []int
		offset int
		vni    geneve.VNI
		to     netip.AddrPort
		want   error
	}{
		{"negative offset", []int{9, 9}, -1, 0, far4, batching.ErrOffset},
		{"offset behind the end", []int{9, 9, 7, 9}, 8, 0, far4, batching.ErrOffset},
		{"no headroom", []int{9, 9}, 7, ourVNI, far4, batching.ErrHeadroom},
		{"no headroom at all", []int{9, 9}, 0, ourVNI, far4, batching.ErrHeadroom},
		{"no address", []int{9, 9}, 8, 0, netip.AddrPort{}, syscall.EAFNOSUPPORT},
	} {
		conn, err := batching.Listen("udp4", netip.MustParseAddrPort("127.0.0.1:0"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := newActiveRig(t, 8)
		r.c.under.beside([]Kernel{conn}, []Kernel{conn})
		var bufs [][]byte
		for _, size := range tt.sizes {
			bufs = append(bufs, make([]byte, size))
		}
		n, err := r.c.WriteBatch(bufs, tt.offset, dest(tt.to), tt.vni)
		n2, want := conn.WriteBatch(bufs, tt.offset, dest(tt.to), tt.vni)
		if err == nil || want == nil || err.Error() != want.Error() || n != n2 || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: got %d, %v, package batching %d, %v", tt.name, n, err, n2, want)
		}
		if len(r.sock.sent) != 0 {
			t.Errorf("%s: %d packets sent", tt.name, len(r.sock.sent))
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}
