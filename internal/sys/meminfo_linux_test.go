// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys_test

import (
	"errors"
	"net"
	"testing"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// TestMemInfo proves the order of the values with a socket whose buffers are set
// and whose receive buffer holds something.
func TestMemInfo(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(c.SetReadBuffer(64<<10), c.SetWriteBuffer(96<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo(make([]byte, 1000), c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v [sys.MemInfoLen]uint32
	var memErr error
	if err := raw.Control(func(fd uintptr) { v, memErr = sys.MemInfo(int(fd)) }); err != nil || memErr != nil {
		t.Fatal(err, memErr)
	}
	// Linux sets twice what was asked for.
	if v[1] != 128<<10 || v[3] != 192<<10 {
		t.Errorf("buffers: got %d and %d, want %d and %d", v[1], v[3], 128<<10, 192<<10)
	}
	if v[0] < 1000 {
		t.Errorf("receive buffer holds %d bytes, want at least the 1000 that were sent", v[0])
	}
	if v[8] != 0 {
		t.Errorf("%d drops", v[8])
	}
	if _, err := sys.MemInfo(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("no socket: got %v, want EBADF", err)
	}
}
