// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestDialFailures(t *testing.T) {
	connect := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for _, tc := range []struct {
		err  error
		want dialFailure
		code byte
	}{
		{connect(syscall.ECONNREFUSED), dialRefused, 0x05},
		{connect(syscall.ECONNRESET), dialRefused, 0x05},
		{connect(syscall.ETIMEDOUT), dialTimeout, 0x06},
		{connect(syscall.EHOSTUNREACH), dialUnreachableHost, 0x04},
		{connect(syscall.ENETUNREACH), dialUnreachableNet, 0x03},
		{connect(syscall.EADDRNOTAVAIL), dialUnreachableNet, 0x03},
		{&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, dialTimeout, 0x06},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "x", IsNotFound: true}}, dialNotFound, 0x04},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "x", IsTimeout: true}}, dialTimeout, 0x06},
		{net.ErrClosed, dialOther, 0x01},
		{errors.New("what"), dialOther, 0x01},
	} {
		if got := dialFailureOf(tc.err); got != tc.want || socksCode(got) != tc.code {
			t.Errorf("%v: got %v and %#x, want %v and %#x", tc.err, got, socksCode(got), tc.want, tc.code)
		}
	}
}

// TestDialerCounts checks that the end of the service is no failure of a
// target.
func TestDialerCounts(t *testing.T) {
	var c counters
	d := dialer{
		dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		timeout: time.Millisecond,
		count:   &c,
	}
	if _, err := d.connect(t.Context(), "192.0.2.1:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.connect(ended, "192.0.2.1:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if f := c.snapshot(nil).DialFailures; f.Timeout != 1 || f.Sum() != 1 {
		t.Errorf("got %+v", f)
	}
}
