// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"bytes"
	"time"

	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// needsSentinel reports whether segmented messages of equally long packets have to
// end in a sentinel.
func needsSentinel(network string, o *Options) bool {
	switch o.Sentinel {
	case On:
		return true
	case Off:
		return false
	}
	intact, known := probeTails(network)
	return known && !intact
}

// probeMessages are the messages of probeTails, in packets of probeSize bytes.
// The first is not segmented: without it nothing is known. The faulty kernels
// differ in how many they need.
var probeMessages = [...]int{1, 2, 3, 17}

const (
	probeSize = 512
	// probeWait is how long a packet may take over the loopback interface. It is
	// there when the system call returns, unless the kernel puts it off or drops
	// it for its wrong checksum.
	probeWait = 20 * time.Millisecond
)

// probeTails sends segmented messages of equally long packets from a socket of the
// family to another over the loopback interface, and reports whether they arrive
// as they were. The receiver does not take merged messages, so that the kernel has
// to make packets of them (udp_rcv_segment in include/net/udp.h, with the
// __udp_gso_segment that broke in Linux 7.0). Without a loopback interface nothing
// is known, and that takes probeWait.
func probeTails(network string) (intact, known bool) {
	family := unix.AF_INET
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if network == "udp6" {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	}
	const kind = unix.SOCK_DGRAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	rx, err := unix.Socket(family, kind, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(rx)
	tx, err := unix.Socket(family, kind, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(tx)
	if unix.Bind(rx, to) != nil {
		return false, false
	}
	if to, err = unix.Getsockname(rx); err != nil {
		return false, false
	}
	segmented := sys.AppendSegment(nil, probeSize)
	for _, packets := range probeMessages {
		var control []byte
		if packets > 1 {
			control = segmented
		}
		message := make([]byte, packets*probeSize)
		for i := range message {
			message[i] = byte(i/probeSize*31 + i)
		}
		if _, err := unix.SendmsgN(tx, message, control, to, unix.MSG_DONTWAIT); err != nil {
			return false, false
		}
		if !arrives(rx, message) {
			return false, packets > 1
		}
	}
	return true, true
}

// arrives reports whether socket fd receives message in packets of probeSize.
func arrives(fd int, message []byte) bool {
	got := make([]byte, len(message)+1)
	for deadline := time.Now().Add(probeWait); len(message) > 0; {
		n, _, err := unix.Recvfrom(fd, got, 0)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			left := time.Until(deadline)
			if left <= 0 {
				return false
			}
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		case err != nil || !bytes.Equal(got[:n], message[:probeSize]):
			return false
		default:
			message = message[probeSize:]
		}
	}
	return true
}
