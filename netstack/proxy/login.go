// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"
)

// loginPenalty is how long a wrong password is not answered.
const loginPenalty = 500 * time.Millisecond

// login is the name and password that clients have to give. nil takes any.
type login struct {
	sum  [sha256.Size]byte
	wait time.Duration // after a wrong one
}

// newLogin returns nil if both are empty.
func newLogin(username, password string) (*login, error) {
	if username == "" && password == "" {
		return nil, nil
	}
	if len(username) > 255 || len(password) > 255 {
		return nil, errors.New("proxy: user name or password longer than 255 bytes")
	}
	return &login{sum: loginSum(username, password), wait: loginPenalty}, nil
}

// loginSum hashes both, so that comparing takes the same time whatever their
// length. The name is hashed first: no pair has the sum of another.
func loginSum(username, password string) [sha256.Size]byte {
	name := sha256.Sum256([]byte(username))
	return sha256.Sum256(append(name[:], password...))
}

// check reports whether name and password are right, in constant time.
func (l *login) check(username, password string) bool {
	if l == nil {
		return true
	}
	sum := loginSum(username, password)
	return subtle.ConstantTimeCompare(sum[:], l.sum[:]) == 1
}

// penalty waits, so that passwords cannot be tried at the speed of the network.
// It reports false when ctx ended.
func (l *login) penalty(ctx context.Context) bool {
	t := time.NewTimer(l.wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
