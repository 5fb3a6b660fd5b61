// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package tunwrap

import (
	"os"

	"github.com/tailscale/wireguard-go/tun"
)

const remedySystem = `"[Router] Mode = netstack" works on every system`

// Create makes the TUN interface name with one queue, whatever [Options] ask
// for, and returns the Device. Errors are a [*CreateError].
func Create(name string, o *Options) (*Device, error) {
	opts := o.withDefaults()
	if err := checkCreate(name, &opts); err != nil {
		return nil, err
	}
	dev, err := tun.CreateTUN(name, opts.MTU)
	if err != nil {
		return nil, &CreateError{Name: name, Err: err, Remedy: remedySystem}
	}
	return wrap(dev, opts, opts.Queues, 0)
}

// CreateFiles returns a [*CreateError]: queues are on Linux only.
func CreateFiles(name string, _ *Options) ([]*os.File, error) {
	return nil, &CreateError{Name: name, Err: errNotLinux, Remedy: remedySystem}
}

// FromFiles closes files and returns a [*CreateError]: a TUN descriptor can be
// passed on Linux only.
func FromFiles(files []*os.File, _ *Options) (*Device, error) {
	for _, f := range files {
		f.Close()
	}
	return nil, &CreateError{Err: errNotLinux, Remedy: remedySystem}
}
