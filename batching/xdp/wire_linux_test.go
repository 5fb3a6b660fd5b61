// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"golang.org/x/sys/unix"
)

// A wire sends and sees raw frames at far's end of the veth pair.
type wire struct {
	file      *os.File
	near, far frame.MAC
}

// wire opens one. What is seen includes what far itself sends.
func (l *lab) wire(t testing.TB) *wire {
	t.Helper()
	w := &wire{near: frame.MAC(l.nearLink.Attrs().HardwareAddr), far: frame.MAC(l.farLink.Attrs().HardwareAddr)}
	l.far.Run(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		w.file = os.NewFile(uintptr(fd), "wire")
		t.Cleanup(func() { w.file.Close() })
		must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20))
		must(t, unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)) // for tags
		must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allProtocols, Ifindex: l.farLink.Attrs().Index}))
	})
	return w
}

// send puts a frame on the wire.
func (w *wire) send(t testing.TB, b []byte) {
	t.Helper()
	_, err := w.file.Write(b)
	must(t, err)
}

// await reads frames until one matches.
func (w *wire) await(t testing.TB, what string, match func(b []byte) bool) {
	t.Helper()
	must(t, w.file.SetReadDeadline(time.Now().Add(20*time.Second)))
	b := make([]byte, 1<<16)
	for {
		n, err := w.file.Read(b)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if match(b[:n]) {
			return
		}
	}
}

// datagram returns the frame of a datagram from far to near's port.
func (w *wire) datagram(t testing.TB, src, dst netip.Addr, payload string) []byte {
	t.Helper()
	tmpl, err := frame.New(&frame.Options{
		Source: w.far, Target: w.near, TTL: 64, Src: netip.AddrPortFrom(src, port), Dst: netip.AddrPortFrom(dst, port),
	})
	must(t, err)
	b := make([]byte, 2048)
	n, err := tmpl.Put(b, 1, 0, []byte(payload))
	must(t, err)
	return b[:n:n]
}

// Offsets in frames of the wire, which have no tag.
const (
	etherLen = 14
	ip4Len   = 20
	ip6Len   = 40
	udp4At   = etherLen + ip4Len
	udp6At   = etherLen + ip6Len
)

// seal makes the checksum of the IPv4 header right, whose length it tells.
func seal(b []byte) []byte {
	ip := b[etherLen:]
	ip = ip[:min(len(ip), int(ip[0]&15)*4)]
	binary.BigEndian.PutUint16(ip[10:], 0)
	sum := uint32(0)
	for i := 0; i+1 < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum))
	return b
}

// with returns b with bytes replaced; the checksum of an IPv4 header is made right.
func with(b []byte, at int, bytes ...byte) []byte {
	copy(b[at:], bytes)
	if b[12] == 8 && b[13] == 0 && len(b) >= udp4At {
		return seal(b)
	}
	return b
}

// insert returns b with bytes put in.
func insert(b []byte, at int, bytes ...byte) []byte {
	return append(b[:at:at], append(bytes, b[at:]...)...)
}
