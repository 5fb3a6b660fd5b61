// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// What the kernel counts for the TUN is in the metrics, under any name of the
// interface, and absent when it is gone.
func TestSnapshotLink(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	e, err := h.new(h.config("wgt0"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	send := func() {
		h.ns.Run(func() {
			c, err := net.Dial("udp", "10.7.0.2:9")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write([]byte("to the tunnel"))
		})
	}
	counted := func(above uint64) func() error {
		return func() error {
			send()
			l := e.Snapshot().Link
			if l == nil {
				t.Fatal("the kernel's counters are not there")
			}
			if l.TxPackets <= above || l.TxBytes == 0 {
				return errors.New("not counted yet")
			}
			return nil
		}
	}
	testutil.Eventually(t, patience, "packets are counted", counted(0))
	before := e.Snapshot().Link.TxPackets
	h.ns.Run(func() {
		link, err := netlink.LinkByName("wgt0")
		if err != nil {
			t.Fatal(err)
		}
		// Before Linux 6.2 an interface that is up keeps its name.
		if err := netlink.LinkSetName(link, "other"); err != nil && !strings.Contains(err.Error(), "busy") {
			t.Fatal(err)
		}
	})
	testutil.Eventually(t, patience, "packets are counted under another name", counted(before))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if s := e.Snapshot(); s != nil && s.Link != nil {
		t.Errorf("after the end the link has %+v", s.Link)
	}
}
