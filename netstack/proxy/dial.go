// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// connectTimeout is how long a target has to answer: the first request and four
// repetitions of it (1 + 2 + 4 + 8 = 15 s, RFC 6298), and some.
const connectTimeout = 20 * time.Second

// dialFailure is why a connection to a target did not come about.
type dialFailure int

const (
	dialOther dialFailure = iota
	dialRefused
	dialTimeout
	dialUnreachableHost
	dialUnreachableNet
	dialNotFound
	numDialFailures
)

// A dialFunc connects to host:port: the network in the tunnel, or the host's.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialer connects to targets and counts those that fail.
type dialer struct {
	dial    dialFunc
	timeout time.Duration
	count   *counters
}

// connect dials over TCP. An error is counted, unless the service is ending.
func (d *dialer) connect(ctx context.Context, address string) (net.Conn, error) {
	dctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.dial(dctx, "tcp", address)
	if err != nil && ctx.Err() == nil {
		d.count.dial[dialFailureOf(err)].Add(1)
	}
	return conn, err
}

// dialFailureOf returns what kind of failure err is.
func dialFailureOf(err error) dialFailure {
	var dns *net.DNSError
	var ne net.Error
	switch {
	case errors.As(err, &dns):
		if dns.IsTimeout {
			return dialTimeout
		}
		return dialNotFound
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return dialRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return dialUnreachableHost
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EAFNOSUPPORT),
		errors.Is(err, syscall.EADDRNOTAVAIL):
		return dialUnreachableNet
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &ne) && ne.Timeout():
		return dialTimeout
	}
	return dialOther
}

// String says what failed, for the client: nothing of the host's own.
func (f dialFailure) String() string {
	switch f {
	case dialRefused:
		return "the target refused the connection"
	case dialTimeout:
		return "the target did not answer in time"
	case dialUnreachableHost:
		return "the target cannot be reached"
	case dialUnreachableNet:
		return "there is no way to the target's network"
	case dialNotFound:
		return "the name of the target was not found"
	default:
		return "the connection to the target failed"
	}
}
