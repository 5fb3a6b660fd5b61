// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"bytes"
	"log/slog"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// TestElsewhere: queues that were made in another network namespace, whose interface
// is taken as it is.
func TestElsewhere(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	there := testutil.NewNS(t)
	var files []*os.File
	there.Run(func() {
		var err error
		if files, err = tunwrap.CreateFiles(ifName, &tunwrap.Options{Queues: 3, MTU: 1300}); err != nil {
			t.Fatal(err)
		}
	})
	var log bytes.Buffer
	dev, err := tunwrap.FromFiles(files, &tunwrap.Options{
		MTU: 1300, TxQueueLen: 77, Elsewhere: true,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if name, err := dev.Name(); name != ifName || err != nil {
		t.Errorf("Name %q, %v", name, err)
	}
	if mtu, err := dev.MTU(); mtu != 1300 || err != nil {
		t.Errorf("MTU %d, %v, want what was said", mtu, err)
	}
	if s := dev.Stats(); len(s.Queues) != 3 || !s.Queues[2].Batched || s.TCPMerging.Off {
		t.Errorf("stats %+v, want three queues with offloads", s)
	}
	there.Run(func() {
		link, err := netlink.LinkByName(ifName)
		if err != nil {
			t.Fatal(err)
		}
		if a := link.Attrs(); a.MTU != 1500 || a.TxQLen == 77 {
			t.Errorf("the interface was changed: MTU %d, queues of %d packets", a.MTU, a.TxQLen)
		}
	})
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
	for e := range dev.Events() {
		t.Errorf("event %v", e)
	}
	there.Run(func() {
		if _, err := netlink.LinkByName(ifName); err == nil {
			t.Error("the interface is still there")
		}
	})
	if log.Len() > 0 {
		t.Errorf("warnings:\n%s", log.String())
	}
}

// TestCreateFilesFails: nothing is left behind.
func TestCreateFilesFails(t *testing.T) {
	testutil.LeakCheck(t)
	for _, name := range []string{"", "a/b", "a-name-that-is-too-long"} {
		if files, err := tunwrap.CreateFiles(name, nil); err == nil || files != nil {
			t.Errorf("%q: %v, %v", name, files, err)
		}
	}
}
