// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys_test

import (
	"errors"
	"os"
	"testing"

	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// The kernel takes memory and gives back what is asked for; package xsk proves
// the meaning with packets.
func TestXDP(t *testing.T) {
	testutil.NeedNetNS(t)
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	mem, err := unix.Mmap(-1, 0, 4*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	for _, tt := range []struct {
		name string
		mem  []byte
		size uint32
		want error
	}{
		{"no memory", nil, 2048, unix.EINVAL},
		{"odd size", mem, 1000, unix.EINVAL},
		{"not aligned", mem[1:], 2048, unix.EINVAL},
		{"good", mem, 2048, nil},
		{"twice", mem, 2048, unix.EBUSY},
	} {
		if err := sys.XDPRegisterUMEM(fd, tt.mem, tt.size, 0); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	off, err := sys.XDPMmapOffsets(fd)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range []unix.XDPRingOffset{off.Rx, off.Tx, off.Fr, off.Cr} {
		if o.Producer == o.Consumer || o.Desc <= o.Producer || o.Desc <= o.Consumer || o.Desc <= o.Flags || o.Flags == 0 {
			t.Errorf("ring %d: offsets %+v", i, o)
		}
	}
	if v, err := sys.XDPStatistics(fd); err != nil || v != (unix.XDPStatistics{}) {
		t.Errorf("statistics of a new socket: %+v, %v", v, err)
	}
	if v, err := sys.XDPOptions(fd); err != nil || v != 0 {
		t.Errorf("options of a new socket: %d, %v", v, err)
	}
	for name, f := range map[string]func() error{
		"XDPMmapOffsets": func() error { _, err := sys.XDPMmapOffsets(-1); return err },
		"XDPStatistics":  func() error { _, err := sys.XDPStatistics(-1); return err },
		"XDPOptions":     func() error { _, err := sys.XDPOptions(-1); return err },
	} {
		if err := f(); !errors.Is(err, unix.EBADF) {
			t.Errorf("%s without a socket: got %v, want EBADF", name, err)
		}
	}
}

func TestShared(t *testing.T) {
	b := make([]byte, 64)
	sys.SharedUint32(b, 4).Store(0x01010101)
	s := sys.SharedSlice[uint64](b, 8, 7)
	s[6] = ^uint64(0)
	if b[3] != 0 || b[4] != 1 || b[7] != 1 || b[55] != 0 || b[56] != 0xff || b[63] != 0xff || len(s) != 7 || cap(s) != 7 {
		t.Errorf("got %x, %d values of %d", b, len(s), cap(s))
	}
	for name, f := range map[string]func(){
		"value outside":      func() { sys.SharedUint32(b, 61) },
		"value far outside":  func() { sys.SharedUint32(b, ^uint64(0)) },
		"value not aligned":  func() { sys.SharedUint32(b, 2) },
		"values outside":     func() { sys.SharedSlice[uint64](b, 8, 8) },
		"values far outside": func() { sys.SharedSlice[uint64](b, ^uint64(0)-7, 1) },
		"values at the end":  func() { sys.SharedSlice[uint64](b, 64, 1) },
		"no values":          func() { sys.SharedSlice[uint64](b, 8, 0) },
		"values not aligned": func() { sys.SharedSlice[uint64](b, 4, 1) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}
