// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Run looks at this process, the kernel and an interface, and reports what XDP could
// do there. What is wrong with them is in the report; the error is about options or
// about netlink.
func Run(o *Options) (*Report, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("check: netlink: %w", err)
	}
	defer h.Close()
	r := &Report{Interface: opts.Interface, Queues: opts.Queues, Verdict: Unknown}
	process := collectProcess()
	process.report(r)
	link, err := findLink(h, opts.Interface)
	if err != nil {
		r.Queues = 0
		r.stops("interface", "name another interface, or make it: the router waits for it", "%v", err)
		return r, nil
	}
	facts := collectLink(h, link)
	facts.report(r, os.Getpagesize())
	if facts.device == nil || r.Available == 0 {
		r.Queues = 0
		return r, nil
	}
	process.reportMemory(r, r.Queues, frameSize(facts.mtu))
	if opts.Try && r.Verdict != Kernel {
		r.Tried = true
		try(r, facts)
		return r, nil
	}
	facts.device.expect(r, facts.mtu > nativeMTU(os.Getpagesize()))
	if opts.Try {
		r.add(Note, "trying", "", "not done: it would not work")
	}
	return r, nil
}
