// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// Remedies for the device.
const (
	remedyNode   = `load the kernel module with "modprobe tun", in a container pass the device with "--device /dev/net/tun", ` + instead
	remedyAccess = `make it usable for everybody, which is harmless and the default of udev: chmod 0666 /dev/net/tun, ` + instead
)

// minMTU6 is the least MTU that IPv6 works with (RFC 8200 section 5).
const minMTU6 = 1280

// mtu returns the MTU of the TUN. The routes to the endpoints are those here, in the
// parent's network.
func mtu(o *Options) int {
	if o.MTU != 0 {
		return o.MTU
	}
	m := hostnet.RoutedMTU(o.Endpoints, o.FwMark)
	if slices.ContainsFunc(o.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		m = max(m, minMTU6)
	}
	return m
}

// setNetwork makes the TUN and what leads to it.
func (c *child) setNetwork(n *Network, log *slog.Logger) error {
	var err error
	c.queues, err = tunwrap.CreateFiles(n.Interface, &tunwrap.Options{
		Logger: log, Queues: min(n.Queues, maxQueues), MTU: n.MTU,
	})
	if err != nil {
		return deviceError(err)
	}
	err = hostnet.Furnish(context.Background(), &hostnet.Options{
		Logger: log, Interface: n.Interface, Addresses: n.Addresses, AllowedIPs: n.Routes,
		MTU: n.MTU, TxQueueLen: cmp.Or(n.TxQueueLen, tunwrap.DefaultTxQueueLen),
	})
	if e, ok := errors.AsType[*hostnet.Error](err); ok && !errors.Is(err, fs.ErrPermission) {
		return &Error{Op: e.Op + " " + e.Subject, Err: e.Err, Remedy: e.Remedy}
	} else if ok {
		return &Error{Op: e.Op + " " + e.Subject, Err: e.Err}
	}
	return err
}

// deviceError puts remedies that help here in the place of those for a host. A
// refusal by the namespace is left to [withRemedy].
func deviceError(err error) error {
	e, ok := errors.AsType[*tunwrap.CreateError](err)
	if !ok {
		return err
	}
	out := &Error{Op: "create tun device " + e.Name, Err: e.Err, Remedy: e.Remedy}
	_, opening := errors.AsType[*fs.PathError](err)
	switch {
	case opening && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)):
		out.Remedy = remedyNode
	case opening && errors.Is(err, fs.ErrPermission):
		out.Remedy = remedyAccess
	case errors.Is(err, fs.ErrPermission):
		out.Remedy = ""
	}
	return out
}
