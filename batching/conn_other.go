// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package batching

import (
	"errors"
	"fmt"
	"net/netip"
)

// plainControl is 0: no control messages are asked for.
const plainControl = 0

// An engine batches. There is none; features.batched is never true.
type engine struct{}

func (*engine) init(*Conn) error { return errors.ErrUnsupported }

func (*engine) close() error { return nil }

func (*engine) read(*Conn, []byte, []Packet, *tally) (int, error) {
	return 0, errors.ErrUnsupported
}

func (*engine) write(*Conn, [][]byte, int, *Destination, *tally) (int, txResult) {
	return 0, txResult{"sendmmsg", errors.ErrUnsupported}
}

func (*engine) set(limits, int, bool) {}

// memory returns nil: nobody tells.
func (*Conn) memory() *Memory { return nil }

// setSharing fails: systems differ in what SO_REUSEPORT means.
func setSharing(int, bool) error { return errors.ErrUnsupported }

func (*Conn) share(on bool) error { return setSharing(0, on) }

func (*Conn) steer(bool) error { return errors.ErrUnsupported }

// configure leaves the socket as it is. A mark cannot be set.
func configure(fd int, _ string, o *Options) (features, error) {
	f := offer(fd, "", o)
	if o.Mark != 0 {
		return f, setMark(fd, o.Mark)
	}
	return f, nil
}

func offer(int, string, *Options) features {
	return features{reasons: []string{"batching: only on Linux", "gso: only on Linux", "gro: only on Linux"}}
}

func setMark(_ int, mark uint32) error {
	return &MarkError{Mark: mark, Err: fmt.Errorf("only on Linux: %w", errors.ErrUnsupported)}
}

func plainSource([]byte) (netip.Addr, uint32, bool) { return netip.Addr{}, 0, true }

func plainControlOf(*Destination) []byte { return nil }

// truncated reports whether a packet may be cut: systems differ in how they say
// so, but one that leaves room in the buffer never is.
func truncated(_, n, size int) bool { return n == size && size < maxMessage }
