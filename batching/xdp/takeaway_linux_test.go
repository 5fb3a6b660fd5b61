// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// detachFrom detaches the XDP programs of an interface, as "bpftool link detach" does.
// Interfaces of other namespaces may have the same index: the program tells whose.
func detachFrom(t *testing.T, l *lab) {
	t.Helper()
	var prog uint32
	l.near.Run(func() { prog = programOf(t, "eth0") })
	var all link.Iterator
	defer all.Close()
	found := false
	for all.Next() {
		info, err := all.Link.Info()
		if err == nil && uint32(info.Program) == prog && info.XDP() != nil {
			must(t, all.Link.Detach())
			found = true
		}
	}
	must(t, all.Err())
	if !found {
		t.Fatalf("no link of program %d", prog)
	}
}

// programRemoved has somebody detach the program: nothing is lost.
func programRemoved(t *testing.T, l *lab, tr *traffic) {
	for i := range uint64(2) {
		detachFrom(t, l)
		restarted(t, l, i+1)
		tr.flows(t)
		tr.past(t)
	}
	tr.complete(t)
	tr.frames.only(t, macOf(l.farLink))
}

// anotherProgram has somebody attach a program in the place of the underlay's, which is
// left alone until it goes.
func anotherProgram(t *testing.T, l *lab, tr *traffic) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "theirs", Type: ebpf.XDP, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	must(t, err)
	defer prog.Close()
	var theirs link.Link
	for theirs == nil { // until the underlay is slower
		detachFrom(t, l)
		l.near.Run(func() {
			theirs, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: l.nearLink.Attrs().Index, Flags: link.XDPDriverMode})
		})
		if err != nil && !errors.Is(err, unix.EBUSY) {
			t.Fatal(err)
		}
	}
	defer theirs.Close()
	testutil.Eventually(t, 20*time.Second, "not active", func() error {
		if st := l.under.Status(); st.Active || !strings.Contains(st.Reason, "another XDP program is attached") {
			return fmt.Errorf("active %v, reason %q", st.Active, st.Reason)
		}
		return nil
	})
	tr.flows(t)
	info, err := prog.Info()
	must(t, err)
	id, _ := info.ID()
	l.near.Run(func() {
		if now := programOf(t, "eth0"); now != uint32(id) {
			t.Errorf("program %d is attached, want %d", now, id)
		}
	})
	must(t, theirs.Close())
	tr.past(t)
	tr.flows(t)
	tr.complete(t)
	tr.frames.only(t, macOf(l.farLink))
}

// TestQueuesChange changes the number of queues under traffic.
func TestQueuesChange(t *testing.T) {
	testutil.NeedTool(t, "ethtool")
	testutil.LeakCheck(t)
	l := newHosts(t, 2)
	// A program needs as many queues as the peer sends on.
	l.far.Run(func() { must(t, setQueues("far0", 1)) })
	l.near.Run(func() { must(t, setQueues("eth0", 1)) })
	l.openActive(t, &xdp.Options{})
	if q := l.under.Status().Queues; len(q) != 2 || !q[0].Active || q[1].Active {
		t.Fatalf("%+v", q)
	}
	tr := l.traffic(t, near4, far4)
	l.near.Run(func() { must(t, setQueues("eth0", 2)) })
	restarted(t, l, 1)
	tr.flows(t)
	tr.past(t)
	if q := l.under.Status().Queues; len(q) != 2 || !q[0].Active || !q[1].Active {
		t.Errorf("%+v", q)
	}
	// The kernel takes no queue away that has a socket (ethtool_set_channels in
	// net/ethtool/ioctl.c).
	l.near.Run(func() {
		if err := setQueues("eth0", 1); err == nil {
			t.Error("the queue of a socket was taken away")
		}
	})
	tr.flows(t)
	tr.past(t)
	tr.stop()
	tr.frames.only(t, macOf(l.farLink))
}

func setQueues(name string, n int) error {
	text := fmt.Sprint(n)
	out, err := exec.Command("ethtool", "-L", name, "rx", text, "tx", text).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ethtool: %w: %s", err, out)
	}
	return nil
}
