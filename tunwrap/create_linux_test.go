// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// wantCreateError fails the test unless err is a CreateError with this cause
// and these words.
func wantCreateError(t *testing.T, d *tunwrap.Device, err, cause error, words ...string) {
	t.Helper()
	var ce *tunwrap.CreateError
	if d != nil || !errors.As(err, &ce) || !errors.Is(err, cause) {
		t.Fatalf("got %v, %v, want a CreateError for %v", d, err, cause)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v: want %q in it", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has more than one line", err)
	}
}

func noLink(name string) error {
	if _, err := net.InterfaceByName(name); err == nil {
		return errors.New("interface " + name + " is left behind")
	}
	return nil
}

func TestCreate(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	ns := testutil.NewNS(t)
	for _, queues := range []int{0, 1, 2, 8} {
		err := ns.Do(func() error {
			d, err := tunwrap.Create("tun%d", &tunwrap.Options{Queues: queues, MTU: 1234})
			if err != nil {
				return err
			}
			defer d.Close()
			if name, err := d.Name(); name != "tun0" || err != nil {
				t.Errorf("%d queues: name %q, %v, want tun0", queues, name, err)
			}
			if mtu, err := d.MTU(); mtu != 1234 || err != nil {
				t.Errorf("%d queues: MTU %d, %v, want 1234", queues, mtu, err)
			}
			s := d.Stats()
			want := queues
			if queues == 0 {
				want = min(runtime.NumCPU(), tunwrap.DefaultQueues)
			}
			if len(s.Queues) != want || s.QueuesRequested != want {
				t.Errorf("%d queues asked for, stats %+v", queues, s)
			}
			for _, q := range s.Queues {
				if !q.Batched {
					t.Errorf("%d queues: one is not batched: %s", queues, q.Plain)
				}
			}
			link, err := netlink.LinkByName("tun0")
			if err != nil {
				return err
			}
			if n := link.Attrs().TxQLen; n != tunwrap.DefaultTxQueueLen {
				t.Errorf("%d queues: they hold %d packets, want %d", queues, n, tunwrap.DefaultTxQueueLen)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := ns.Do(func() error { return noLink("tun0") }); err != nil {
			t.Error(err)
		}
	}
}

// TestCreate_cycles makes and closes many devices: nothing stays.
func TestCreate_cycles(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	ns := testutil.NewNS(t)
	for range 30 {
		var d *tunwrap.Device
		err := ns.Do(func() (err error) {
			d, err = tunwrap.Create(ifName, &tunwrap.Options{Queues: 2})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreate_noCapability(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	for _, queues := range []int{1, 2} {
		var d *tunwrap.Device
		err := testutil.OnThrowawayThread(func() (err error) {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&header, &none[0]); err != nil {
				return err
			}
			d, err = tunwrap.Create(ifName, &tunwrap.Options{Queues: queues})
			return err
		})
		wantCreateError(t, d, err, fs.ErrPermission, "CAP_NET_ADMIN", "Mode = netstack", ifName)
	}
}

func TestCreate_noNode(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	var d *tunwrap.Device
	err := testutil.OnThrowawayThread(func() (err error) {
		if err := errors.Join(
			unix.Unshare(unix.CLONE_NEWNET|unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("none", "/dev/net", "tmpfs", 0, ""),
		); err != nil {
			return err
		}
		d, err = tunwrap.Create(ifName, oneQueue(nil))
		return err
	})
	wantCreateError(t, d, err, fs.ErrNotExist, "/dev/net/tun", "modprobe tun", "--device /dev/net/tun", "Mode = netstack")
}

// TestCreate_taken asks for names that are taken in every way. The holder must
// not notice: several queues would join the other's if nothing prevented it.
func TestCreate_taken(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	for _, test := range []struct {
		name string
		hold func() (release func() error, err error)
	}{
		{"one queue", func() (func() error, error) {
			d, err := tunwrap.Create(ifName, oneQueue(nil))
			return d.Close, err
		}},
		{"several queues", func() (func() error, error) {
			d, err := tunwrap.Create(ifName, &tunwrap.Options{Queues: 2})
			return d.Close, err
		}},
		{"no TUN", func() (func() error, error) {
			return deleteLink, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: ifName}, PeerName: "peer0"})
		}},
	} {
		for _, queues := range []int{1, 3} {
			t.Run(test.name, func(t *testing.T) {
				ns := testutil.NewNS(t)
				var d *tunwrap.Device
				err := ns.Do(func() error {
					release, err := test.hold()
					if err != nil {
						t.Fatal(err)
					}
					d, err = tunwrap.Create(ifName, &tunwrap.Options{Queues: queues})
					return errors.Join(err, release())
				})
				cause := error(unix.EBUSY)
				if errors.Is(err, unix.EINVAL) { // of another kind
					cause = unix.EINVAL
				}
				wantCreateError(t, d, err, cause, "ip link del "+ifName, "another")
			})
		}
	}
}

// TestCreate_persistent uses an interface that was made beforehand, with
// virtio headers of another length.
func TestCreate_persistent(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	l := &lab{NS: testutil.NewNS(t)}
	l.must(t, func() error {
		fd, err := sys.OpenTUN(ifName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return errors.Join(sys.SetTUNHeaderLen(fd, 12), unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1))
	})
	for _, plain := range []bool{false, true} {
		l.must(t, func() (err error) {
			l.dev, err = tunwrap.Create(ifName, oneQueue(&tunwrap.Options{PlainReads: plain}))
			return err
		})
		l.must(t, func() error { return configure(hostV4) })
		exchange(t, l)
		l.must(t, func() error {
			link, err := netlink.LinkByName(ifName)
			if err != nil {
				return err
			}
			return errors.Join(netlink.LinkSetDown(link), netlink.AddrDel(link, hostNet(hostV4)))
		})
		if err := l.dev.Close(); err != nil {
			t.Error(err)
		}
	}
	l.must(t, deleteLink)
}

// TestCreate_noFiles lets the descriptors run out at the worst moment, when the
// interface exists.
func TestCreate_noFiles(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	ns := testutil.NewNS(t)
	for _, left := range []int{1, 2, 3} {
		var d *tunwrap.Device
		err := ns.Do(func() (err error) {
			defer exhaustFiles(t, left)()
			d, err = tunwrap.Create(ifName, &tunwrap.Options{Queues: 2})
			return err
		})
		wantCreateError(t, d, err, unix.EMFILE, "ulimit -n")
		if err := ns.Do(func() error { return noLink(ifName) }); err != nil {
			t.Error(err)
		}
	}
}

// exhaustFiles leaves so many descriptors to the process until the result is
// called.
func exhaustFiles(t *testing.T, left int) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 200, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	var fds []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		fds = append(fds, fd)
	}
	for range left {
		unix.Close(fds[len(fds)-1])
		fds = fds[:len(fds)-1]
	}
	return func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
}

// TestOpenQueues lets the kernel give fewer queues than asked for.
func TestOpenQueues(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	ns := testutil.NewNS(t)
	for _, test := range []struct {
		name  string
		fails int // the open that fails, and those behind it
		err   error
		want  int
	}{
		{"all", 9, nil, 4},
		{"two of four", 3, unix.ENOMEM, 2},
		{"one of four", 2, unix.E2BIG, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			opens := 0
			open := func(name string, flags uint16) (int, error) {
				if opens++; opens >= test.fails {
					return -1, os.NewSyscallError("ioctl TUNSETIFF", test.err)
				}
				return sys.OpenTUN(name, flags)
			}
			err := ns.Do(func() error {
				files, err := tunwrap.OpenQueues(ifName, &tunwrap.Options{Queues: 4, Logger: testutil.Logger(t)}, open)
				for _, f := range files {
					defer f.Close()
				}
				if len(files) != test.want {
					t.Errorf("%d queues, want %d", len(files), test.want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}

	t.Run("kernel without multi-queue", func(t *testing.T) {
		open := func(name string, flags uint16) (int, error) {
			if flags&unix.IFF_MULTI_QUEUE != 0 {
				return -1, os.NewSyscallError("ioctl TUNSETIFF", unix.EINVAL)
			}
			return sys.OpenTUN(name, flags)
		}
		err := ns.Do(func() error {
			files, err := tunwrap.OpenQueues(ifName, &tunwrap.Options{Queues: 4, Logger: testutil.Logger(t)}, open)
			for _, f := range files {
				defer f.Close()
			}
			if len(files) != 1 {
				t.Errorf("%d queues, want 1", len(files))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
