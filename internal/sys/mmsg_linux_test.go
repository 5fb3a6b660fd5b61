// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sys_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// udpSocket returns a UDP socket on a free port of 127.0.0.1 and its address.
func udpSocket(tb testing.TB) (fd int, addr netip.AddrPort) {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatalf("socket: %v", err)
	}
	tb.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		tb.Fatalf("bind: %v", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		tb.Fatalf("getsockname: %v", err)
	}
	in := sa.(*unix.SockaddrInet4)
	return fd, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port))
}

// A header is a message header with all it points at.
type header struct {
	name    sys.Sockaddr
	iovs    [2]unix.Iovec
	control [sys.RecvControlSpace]byte
}

func TestMMsg(t *testing.T) {
	from, fromAddr := udpSocket(t)
	to, toAddr := udpSocket(t)
	if err := unix.SetsockoptInt(to, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		t.Fatalf("IP_PKTINFO: %v", err)
	}
	const count = 3
	var (
		out, in [count]unix.Mmsghdr
		headers [2 * count]header
		room    [count][16]byte
	)
	for i := range out {
		h, m := &headers[i], &out[i].Hdr
		m.Name, m.Namelen = &h.name[0], uint32(h.name.Put(toAddr, 0))
		for j, part := range []string{fmt.Sprintf("part%d", i), "/end"} {
			h.iovs[j].Base = &[]byte(part)[0]
			h.iovs[j].SetLen(len(part))
		}
		m.Iov = &h.iovs[0]
		m.SetIovlen(2)

		h, m = &headers[count+i], &in[i].Hdr
		m.Name, m.Namelen = &h.name[0], uint32(len(h.name))
		m.Control = &h.control[0]
		m.SetControllen(len(h.control))
		h.iovs[0].Base = &room[i][0]
		h.iovs[0].SetLen(len(room[i]))
		m.Iov = &h.iovs[0]
		m.SetIovlen(1)
	}
	if n, errno := sys.RecvMMsg(to, in[:], unix.MSG_DONTWAIT); errno != unix.EAGAIN {
		t.Fatalf("receive before send: got %d, %v, want EAGAIN", n, errno)
	}
	if n, errno := sys.SendMMsg(from, out[:], 0); n != count || errno != 0 {
		t.Fatalf("send: got %d, %v, want %d", n, errno, count)
	}
	if n, errno := sys.RecvMMsg(to, in[:], unix.MSG_DONTWAIT); n != count || errno != 0 {
		t.Fatalf("receive: got %d, %v, want %d", n, errno, count)
	}
	for i := range in {
		want := fmt.Appendf(nil, "part%d/end", i)
		if got := room[i][:in[i].Len]; !bytes.Equal(got, want) {
			t.Errorf("message %d: got %q, want %q", i, got, want)
		}
		h := &headers[count+i]
		if got, _, ok := h.name.Get(int(in[i].Hdr.Namelen)); !ok || got != fromAddr {
			t.Errorf("message %d: from %v, %v, want %v", i, got, ok, fromAddr)
		}
		var c sys.Control
		if err := c.Parse(h.control[:in[i].Hdr.Controllen]); err != nil || c.Local != toAddr.Addr() || c.IfIndex == 0 {
			t.Errorf("message %d: control %+v, %v, want local %v and an interface", i, c, err, toAddr.Addr())
		}
	}
}

func TestMMsgNothing(t *testing.T) {
	fd, _ := udpSocket(t)
	if n, errno := sys.SendMMsg(fd, nil, 0); n != 0 || errno != 0 {
		t.Errorf("send nothing: got %d, %v, want 0 and no error", n, errno)
	}
	if n, errno := sys.RecvMMsg(fd, nil, unix.MSG_DONTWAIT); n != 0 || errno != 0 {
		t.Errorf("receive nothing: got %d, %v, want 0 and no error", n, errno)
	}
}

func TestMMsgErrors(t *testing.T) {
	msgs := make([]unix.Mmsghdr, 1)
	if n, errno := sys.SendMMsg(-1, msgs, 0); n != 0 || errno != unix.EBADF {
		t.Errorf("send: got %d, %v, want EBADF", n, errno)
	}
	if n, errno := sys.RecvMMsg(-1, msgs, 0); n != 0 || errno != unix.EBADF {
		t.Errorf("receive: got %d, %v, want EBADF", n, errno)
	}
}
