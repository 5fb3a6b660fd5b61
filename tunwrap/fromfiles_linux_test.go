// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/wireguard-go/tun"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

const tunFlags = unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR

// openFile attaches a file to the test's interface.
func openFile(flags uint16, block bool) (*os.File, error) {
	fd, err := sys.OpenTUN(ifName, flags)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, !block); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

func TestFromFiles(t *testing.T) {
	for _, test := range []struct {
		name    string
		flags   uint16
		files   int
		block   bool
		length  int // of the queues that is asked for
		batched bool
	}{
		{"one", tunFlags, 1, false, 0, true},
		{"blocking", tunFlags, 1, true, 0, true},
		{"several", tunFlags | unix.IFF_MULTI_QUEUE, 3, true, 321, true},
		{"without virtio header", unix.IFF_TUN | unix.IFF_NO_PI, 1, false, 123, false},
		{"several without virtio header", unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE, 2, false, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			testutil.NeedNetNS(t)
			testutil.LeakCheck(t)
			l := &lab{NS: testutil.NewNS(t)}
			l.must(t, func() error {
				var files []*os.File
				for range test.files {
					f, err := openFile(test.flags, test.block)
					if err != nil {
						return err
					}
					files = append(files, f)
				}
				var err error
				l.dev, err = tunwrap.FromFiles(files, &tunwrap.Options{MTU: 1300, TxQueueLen: test.length, Logger: testutil.Logger(t)})
				return err
			})
			defer l.dev.Close()
			if name, err := l.dev.Name(); name != ifName || err != nil {
				t.Errorf("Name %q, %v", name, err)
			}
			if mtu, err := l.dev.MTU(); mtu != 1300 || err != nil {
				t.Errorf("MTU %d, %v, want 1300", mtu, err)
			}
			s := l.dev.Stats()
			if len(s.Queues) != test.files || s.QueuesRequested != test.files {
				t.Errorf("stats %+v, want %d queues", s, test.files)
			}
			if s.Queues[0].Batched != test.batched {
				t.Errorf("batched %v (%s), want %v", s.Queues[0].Batched, s.Queues[0].Plain, test.batched)
			}
			if merging := !s.TCPMerging.Off && !s.UDPMerging.Off; merging != test.batched {
				t.Errorf("stats %+v, want merging %v", s, test.batched)
			}
			if want := map[bool]tunwrap.Steering{false: tunwrap.SteeringNone, true: tunwrap.SteeringDestination}[test.files > 1]; s.Steering != want {
				t.Errorf("steering %q (%s), want %q", s.Steering, s.SteeringReason, want)
			}
			l.must(t, func() error {
				link, err := netlink.LinkByName(ifName)
				if err != nil {
					return err
				}
				want := test.length
				if want == 0 {
					want = 500 // TUN_READQ_SIZE, drivers/net/tun.c
				}
				if n := link.Attrs().TxQLen; n != want {
					t.Errorf("queues hold %d packets, want %d", n, want)
				}
				return nil
			})
			if test.files == 1 { // else it is not certain which queue to read
				l.must(t, func() error { return configure(hostV4) })
				exchange(t, l)
			}
		})
	}
}

// TestWithoutHeader writes to a device that wireguard-go writes to, and that counts
// bytes: each packet is counted as what it became.
func TestWithoutHeader(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	l := &lab{NS: testutil.NewNS(t)}
	l.must(t, func() error {
		f, err := openFile(unix.IFF_TUN|unix.IFF_NO_PI, false)
		if err != nil {
			return err
		}
		l.dev, err = tunwrap.FromFiles([]*os.File{f}, nil)
		return err
	})
	defer l.dev.Close()
	write := func(want int, wantErr error) {
		t.Helper()
		bufs := slices.Concat(datagrams(false, 1, 20, 20), [][]byte{append(make([]byte, 16), 0x55, 1, 2, 3), nil}, datagrams(false, 2, 20))
		if n, err := l.dev.Write(bufs, 16); n != want || !errors.Is(err, wantErr) {
			t.Errorf("Write returned %d, %v, want %d, %v", n, err, want, wantErr)
		}
	}
	write(0, nil) // down
	l.must(t, func() error { return configure(hostV4) })
	write(3, nil)
	l.must(t, deleteLink)
	write(0, os.ErrClosed)
	want := tunwrap.WriteStats{
		Packets: 3, Bytes: 3 * 48, Writes: 1, Batches: tunwrap.Histogram{1: 1}, Empty: 3, Errors: 3 + 1 + 1 + 1,
		Dropped: tunwrap.WriteDrops{Down: 3, Invalid: 2, Closed: 4},
	}
	if diff := cmp.Diff(want, l.dev.Stats().Queues[0].Write); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// TestFromFiles_elsewhere passes a descriptor whose interface is in another
// network namespace.
func TestFromFiles_elsewhere(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	l := &lab{NS: testutil.NewNS(t)}
	var f *os.File
	l.must(t, func() (err error) {
		f, err = openFile(tunFlags, true)
		return err
	})
	var err error
	l.dev, err = tunwrap.FromFiles([]*os.File{f}, &tunwrap.Options{MTU: 1300, Logger: testutil.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.dev.Close()
	if e := <-l.dev.Events(); e&tun.EventUp == 0 {
		t.Errorf("first event %b, want up", e)
	}
	if mtu, err := l.dev.MTU(); mtu != 1300 || err != nil {
		t.Errorf("MTU %d, %v, want 1300", mtu, err)
	}
	l.must(t, func() error { return configure(hostV4) })
	exchange(t, l)
	if err := l.dev.Close(); err != nil {
		t.Error(err)
	}
	for e := range l.dev.Events() {
		t.Errorf("event %b after Close", e)
	}
}

// TestFromFiles_wrong passes what is no usable descriptor. All of them must be
// closed afterwards.
func TestFromFiles_wrong(t *testing.T) {
	testutil.NeedNetNS(t)
	for _, test := range []struct {
		name string
		open func() ([]*os.File, error)
	}{
		{"no TUN", func() ([]*os.File, error) {
			r, w, err := os.Pipe()
			return []*os.File{r, w}, err
		}},
		{"not attached", func() ([]*os.File, error) {
			f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
			return []*os.File{f}, err
		}},
		{"TAP", func() ([]*os.File, error) {
			f, err := openFile(unix.IFF_TAP|unix.IFF_NO_PI, false)
			return []*os.File{f}, err
		}},
		{"twice", func() ([]*os.File, error) {
			f, err := openFile(tunFlags, false)
			return []*os.File{f, f}, err
		}},
		{"one of them wrong", func() ([]*os.File, error) {
			f, err := openFile(tunFlags, false)
			r, w, err2 := os.Pipe()
			return []*os.File{f, r, w}, errors.Join(err, err2)
		}},
		{"two interfaces", func() ([]*os.File, error) {
			f, err := openFile(tunFlags, false)
			fd, err2 := sys.OpenTUN("other0", tunFlags)
			return []*os.File{f, os.NewFile(uintptr(fd), "tun")}, errors.Join(err, err2)
		}},
		{"closed", func() ([]*os.File, error) {
			f, err := openFile(tunFlags, false)
			return []*os.File{f}, errors.Join(err, f.Close())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			testutil.LeakCheck(t)
			ns := testutil.NewNS(t)
			err := ns.Do(func() error {
				files, err := test.open()
				if err != nil {
					t.Fatal(err)
				}
				d, err := tunwrap.FromFiles(files, nil)
				var ce *tunwrap.CreateError
				if d != nil || !errors.As(err, &ce) || ce.Remedy == "" {
					t.Errorf("FromFiles = %v, %v, want a CreateError", d, err)
				}
				t.Log(err)
				for _, f := range files {
					if err := f.Close(); !errors.Is(err, os.ErrClosed) {
						t.Errorf("file is not closed: %v", err)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
