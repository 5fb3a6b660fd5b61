// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys_test

import (
	"errors"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestTUNSteering loads the program and gives it to an interface. What it chooses is
// tested where packets are: package tunwrap.
func TestTUNSteering(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	ns := testutil.NewNS(t)
	fd := -1
	if err := ns.Do(func() (err error) {
		fd, err = sys.OpenTUN("tun%d", unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR|unix.IFF_MULTI_QUEUE)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	prog, err := sys.NewTUNSteering()
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(prog), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags of the program's descriptor %#x, %v, want close on exec", flags, err)
	}
	if err := sys.SetTUNSteering(fd, prog); err != nil {
		t.Error(err)
	}
	if err := unix.Close(prog); err != nil {
		t.Error(err)
	}
	if err := sys.SetTUNSteering(fd, -1); err != nil {
		t.Errorf("taking it back: %v", err)
	}
	if err := sys.SetTUNSteering(fd, fd); err == nil {
		t.Error("a descriptor that is no program: no error")
	}
	pipe, _ := pipe(t)
	if err := sys.SetTUNSteering(pipe, -1); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("steering a pipe: %v, want ENOTTY", err)
	}
}

// TestTUNQueueLen sets the length of the queue and asks for offloads.
func TestTUNQueueLen(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	ns := testutil.NewNS(t)
	fd := -1
	if err := ns.Do(func() (err error) {
		fd, err = sys.OpenTUN("tun0", unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := sys.SetTUNTxQueueLen(fd, 1234); err != nil {
		t.Error(err)
	}
	if err := ns.Do(func() error {
		ifr, err := unix.NewIfreq("tun0")
		if err != nil {
			return err
		}
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		if err := unix.IoctlIfreq(s, unix.SIOCGIFTXQLEN, ifr); err != nil {
			return err
		}
		if n := ifr.Uint32(); n != 1234 {
			t.Errorf("length %d, want 1234", n)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := sys.SetTUNOffload(fd, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
		t.Error(err)
	}
	if err := sys.SetTUNOffload(fd, 1<<30); !errors.Is(err, unix.EINVAL) {
		t.Errorf("an offload that there is not: %v, want EINVAL", err)
	}
	err := testutil.OnThrowawayThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		return sys.SetTUNTxQueueLen(fd, 1000)
	})
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("SetTUNTxQueueLen without capabilities: %v, want a permission error", err)
	}
}
