// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Limits of the arguments of [Create].
const (
	maxNameLen = 15  // IFNAMSIZ less the terminating zero
	maxQueues  = 256 // MAX_TAP_QUEUES, drivers/net/tun.c
	minMTU     = 68  // ETH_MIN_MTU, which TUN devices have too
	maxMTU     = 65535

	maxTxQueueLen = 1 << 20 // far more than is useful; the kernel allocates it
)

// A CreateError says why there is no TUN device and what to do about it.
type CreateError struct {
	// Name is the interface name asked for, empty for a device from a
	// descriptor.
	Name string
	// Err is the cause.
	Err error
	// Remedy is what the operator can do, in one line; part of the message.
	Remedy string
}

// Error returns cause and remedy in one line.
func (e *CreateError) Error() string {
	subject := "tun device"
	if e.Name != "" {
		subject = fmt.Sprintf("tun device %q", e.Name)
	}
	return fmt.Sprintf("create %s: %v: %s", subject, e.Err, e.Remedy)
}

// Unwrap returns the cause.
func (e *CreateError) Unwrap() error { return e.Err }

// Causes that are found without asking the kernel.
var (
	errName   = errors.New("not an interface name")
	errQueues = errors.New("number of queues is out of range")
	errTxLen  = errors.New("length of the queues is out of range")
	errMTU    = errors.New("MTU is out of range")
)

// Remedies, see CreateError.
const (
	remedyName = `use 1 to 15 characters other than space, "/" and ":"`
	remedyBusy = `an interface of this name exists, perhaps of another router: choose another name, stop that program, or run "ip link del %s"`
)

// checkCreate returns the error for arguments that the kernel would refuse
// without saying why (dev_valid_name, net/core/dev.c).
func checkCreate(name string, o *Options) error {
	bad := func(r rune) bool { return r == '/' || r == ':' || r == 0 || r < 128 && unicode.IsSpace(r) }
	switch {
	case name == "" || len(name) > maxNameLen || name == "." || name == ".." || strings.ContainsFunc(name, bad),
		strings.Contains(name, "%") && (strings.Count(name, "%") > 1 || !strings.Contains(name, "%d")):
		return &CreateError{Name: name, Err: errName, Remedy: remedyName}
	}
	return checkOptions(name, o)
}

func checkOptions(name string, o *Options) error {
	if o.Queues < 1 || o.Queues > maxQueues {
		return &CreateError{name, fmt.Errorf("%w: %d", errQueues, o.Queues), fmt.Sprintf("use 1 to %d", maxQueues)}
	}
	if o.MTU < minMTU || o.MTU > maxMTU {
		return &CreateError{name, fmt.Errorf("%w: %d", errMTU, o.MTU), fmt.Sprintf("use %d to %d", minMTU, maxMTU)}
	}
	if o.TxQueueLen < 0 || o.TxQueueLen > maxTxQueueLen {
		return &CreateError{name, fmt.Errorf("%w: %d", errTxLen, o.TxQueueLen), fmt.Sprintf("use 1 to %d", maxTxQueueLen)}
	}
	return nil
}
