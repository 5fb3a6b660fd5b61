// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"errors"
	"io/fs"
)

// ErrNoRoute means that the host has no route to the destination now.
var ErrNoRoute = errors.New("hostnet: no route")

// ErrSourceGone means that the source address is not one of the host's any
// more: the caller forgets it and asks again without.
var ErrSourceGone = errors.New("hostnet: source address gone")

// An Error says which step failed on what, and what the operator can do.
type Error struct {
	Op      string // "add route"
	Subject string // "10.0.0.0/8 to wg0"
	Err     error
	Remedy  string // empty when there is none to name
}

// Error returns operation, subject, cause and remedy on one line.
func (e *Error) Error() string {
	s := e.Op + " " + e.Subject + ": " + e.Err.Error()
	if e.Remedy != "" {
		s += " (" + e.Remedy + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

const remedyPrivilege = "this needs CAP_NET_ADMIN: run as root, or grant it with setcap cap_net_admin+ep; netstack mode needs no privilege"

// hint adds a remedy to the cause that a step returns.
func hint(err error, remedy string) error { return &Error{Err: err, Remedy: remedy} }

// stepError wraps the cause of a failed step.
func stepError(op, subject string, err error) error {
	e := Error{Op: op, Subject: subject, Err: err}
	var hinted *Error
	if errors.As(err, &hinted) && hinted.Op == "" {
		e.Err, e.Remedy = hinted.Err, hinted.Remedy
	} else if errors.Is(err, fs.ErrPermission) {
		e.Remedy = remedyPrivilege
	}
	return &e
}
