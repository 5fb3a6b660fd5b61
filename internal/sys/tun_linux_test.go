// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// pipe returns the ends of a pipe that does not block.
func pipe(t testing.TB) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

func TestReadNonblock(t *testing.T) {
	r, w := pipe(t)
	b := make([]byte, 10)
	if n, errno := sys.ReadNonblock(r, b); n != 0 || errno != unix.EAGAIN {
		t.Errorf("empty pipe: %d, %v, want EAGAIN", n, errno)
	}
	if _, err := unix.Write(w, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	if n, errno := sys.ReadNonblock(r, b); errno != 0 || !bytes.Equal(b[:n], []byte("abc")) {
		t.Errorf("read %q, %v, want abc", b[:n], errno)
	}
	if n, errno := sys.ReadNonblock(r, nil); n != 0 || errno != 0 {
		t.Errorf("read into nothing: %d, %v", n, errno)
	}
	if n, errno := sys.ReadNonblock(-1, b); n != 0 || errno != unix.EBADF {
		t.Errorf("no descriptor: %d, %v, want EBADF", n, errno)
	}
}

func TestReadNonblockNoAllocs(t *testing.T) {
	r, w := pipe(t)
	b := make([]byte, 10)
	if n := testing.AllocsPerRun(100, func() {
		unix.Write(w, b[:3])
		sys.ReadNonblock(r, b)
		sys.ReadNonblock(r, b)
	}); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}

// TestTUN_wrongDescriptor checks the errors for what is no TUN.
func TestTUN_wrongDescriptor(t *testing.T) {
	fd, _ := pipe(t)
	if _, _, err := sys.TUNInfo(fd); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("TUNInfo: %v, want ENOTTY", err)
	}
	if _, err := sys.TUNMTU(fd); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("TUNMTU: %v, want ENOTTY", err)
	}
	if err := sys.SetTUNMTU(fd, 1500); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("SetTUNMTU: %v, want ENOTTY", err)
	}
	if err := sys.SetTUNHeaderLen(fd, 10); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("SetTUNHeaderLen: %v, want ENOTTY", err)
	}
	if _, err := sys.TUNInThisNetNS(fd); err == nil {
		t.Error("TUNInThisNetNS: want an error")
	}
	if fd, err := sys.OpenTUN("sixteen-letters-", unix.IFF_TUN); err == nil || fd != -1 {
		t.Errorf("OpenTUN with a name too long: %d, %v", fd, err)
	}
}

func TestTUN(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	ns := testutil.NewNS(t)
	fd := -1
	err := ns.Do(func() (err error) {
		if fd, err = sys.OpenTUN("tun%d", unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR); err != nil {
			return err
		}
		if same, err := sys.TUNInThisNetNS(fd); !same || err != nil {
			t.Errorf("in its namespace: %v, %v, want true", same, err)
		}
		// Busy for another descriptor.
		var attach *os.SyscallError
		if other, err := sys.OpenTUN("tun0", unix.IFF_TUN|unix.IFF_NO_PI); other != -1 || !errors.As(err, &attach) || !errors.Is(err, unix.EBUSY) {
			t.Errorf("second OpenTUN: %d, %v, want EBUSY", other, err)
		}
		return sys.SetTUNMTU(fd, 1300)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if name, flags, err := sys.TUNInfo(fd); name != "tun0" || flags&unix.IFF_VNET_HDR == 0 || err != nil {
		t.Errorf("TUNInfo %q, %#x, %v", name, flags, err)
	}

	// From another namespace, this process's.
	if same, err := sys.TUNInThisNetNS(fd); same || err != nil {
		t.Errorf("in another namespace: %v, %v, want false", same, err)
	}
	if mtu, err := sys.TUNMTU(fd); mtu != 1300 || err != nil {
		t.Errorf("MTU %d, %v, want 1300", mtu, err)
	}
	if err := sys.SetTUNMTU(fd, 1400); err != nil {
		t.Errorf("SetTUNMTU: %v", err)
	}
	if mtu, err := sys.TUNMTU(fd); mtu != 1400 || err != nil {
		t.Errorf("MTU %d, %v, want 1400", mtu, err)
	}
	if err := sys.SetTUNMTU(fd, 1); !errors.Is(err, unix.EINVAL) {
		t.Errorf("SetTUNMTU to 1: %v, want EINVAL", err)
	}
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if process, err := os.Readlink("/proc/self/ns/net"); err != nil || process != here {
		t.Errorf("this thread is in %s afterwards, the process in %s, %v", here, process, err)
	}
}

// TestTUN_noSysAdmin looks at an interface elsewhere without the capability to
// go there.
func TestTUN_noSysAdmin(t *testing.T) {
	testutil.NeedNetNS(t)
	ns := testutil.NewNS(t)
	fd := -1
	if err := ns.Do(func() (err error) {
		fd, err = sys.OpenTUN("lo2", unix.IFF_TUN|unix.IFF_NO_PI)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	err := testutil.OnThrowawayThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		return sys.SetTUNMTU(fd, 1400)
	})
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("SetTUNMTU without capabilities: %v, want a permission error", err)
	}
}
