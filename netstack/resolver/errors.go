// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
)

// saidError is an answer that says nothing about the name: the server does not
// want to, or cannot, tell.
type saidError struct{ what string }

func (e *saidError) Error() string { return e.what }

// notFound is the error for a name that does not exist or has no address.
func notFound(name, server string) *net.DNSError {
	return &net.DNSError{Err: "no such host", Name: name, Server: server, IsNotFound: true}
}

// ended is the error of a lookup whose context has ended with err.
func ended(name, server string, err error) *net.DNSError {
	return &net.DNSError{
		UnwrapErr: err,
		Err:       err.Error(),
		Name:      name,
		Server:    server,
		IsTimeout: errors.Is(err, context.DeadlineExceeded),
	}
}

// failed is the error of a try that has failed with err while ctx, the one of
// the lookup, has not ended.
func failed(name string, server netip.AddrPort, err error) *net.DNSError {
	e := &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name, Server: server.String(), IsTemporary: true}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		// Not that of a context, which would be taken for the caller's.
		e.UnwrapErr = os.ErrDeadlineExceeded
		e.Err, e.IsTimeout = os.ErrDeadlineExceeded.Error(), true
	}
	return e
}

// named returns err as the error of the name that was asked for. Several
// callers may share err.
func named(err error, name string) error {
	var e *net.DNSError
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Name = name
	return &c
}
