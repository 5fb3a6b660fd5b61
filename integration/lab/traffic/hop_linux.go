// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// A Complaint is the ICMP error that a packet got, as its sender's kernel took it.
type Complaint struct {
	From       netip.Addr
	Type, Code uint8
	MTU        int // of "too big" and "fragmentation needed"
}

// String returns it in one line.
func (c Complaint) String() string {
	return fmt.Sprintf("type %d code %d from %s, MTU %d", c.Type, c.Code, c.From, c.MTU)
}

// ProbeOptions describe a UDP packet whose fate is of interest.
type ProbeOptions struct {
	Dst      netip.AddrPort
	Size     int // of the payload, bytes
	HopLimit int // 0 = the system's
	// Whole forbids to fragment, whatever the kernel knows about the path.
	Whole bool
}

// Probe sends a UDP packet from the host until an ICMP error comes back for it.
func Probe(h *lab.Host, o ProbeOptions) (Complaint, error) {
	var fd int
	domain, level := unix.AF_INET, unix.IPPROTO_IP
	recvErr, hops, discover, probe := unix.IP_RECVERR, unix.IP_TTL, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
	if o.Dst.Addr().Is6() {
		domain, level = unix.AF_INET6, unix.IPPROTO_IPV6
		recvErr, hops, discover, probe = unix.IPV6_RECVERR, unix.IPV6_UNICAST_HOPS, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
	}
	err := h.Do(func() (err error) {
		fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return Complaint{}, err
	}
	defer unix.Close(fd)
	options := map[int]int{recvErr: 1}
	if o.HopLimit > 0 {
		options[hops] = o.HopLimit
	}
	if o.Whole {
		options[discover] = probe
	}
	for option, value := range options {
		if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
			return Complaint{}, err
		}
	}
	if err := h.Do(func() error { return unix.Connect(fd, sockaddr(o.Dst)) }); err != nil {
		return Complaint{}, err
	}
	payload := make([]byte, o.Size)
	for deadline := time.Now().Add(lab.Patience); time.Now().Before(deadline); {
		// An error of the write is that of an earlier packet, and in the queue.
		unix.Write(fd, payload)
		// Routers limit how often they complain: not too often.
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, 200); err != nil && err != unix.EINTR {
			return Complaint{}, err
		}
		if c, ok, err := complaint(fd); ok || err != nil {
			return c, err
		}
	}
	return Complaint{}, fmt.Errorf("no ICMP error for a packet to %s with hop limit %d", o.Dst, o.HopLimit)
}

// complaint takes the next error from the queue of a socket; ok is false when
// there is none that came from a router or host.
func complaint(fd int) (c Complaint, ok bool, err error) {
	buf, control := make([]byte, 2048), make([]byte, 512)
	for {
		_, n, _, _, err := unix.Recvmsg(fd, buf, control, unix.MSG_ERRQUEUE)
		switch {
		case err == unix.EAGAIN:
			return Complaint{}, false, nil
		case err == unix.EINTR:
			continue
		case err != nil:
			return Complaint{}, false, err
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil {
			return Complaint{}, false, err
		}
		for _, m := range messages {
			if c, ok := parseExtendedError(m.Data); ok {
				return c, true, nil
			}
		}
	}
}

// parseExtendedError reads struct sock_extended_err and the offender's address
// behind it, see ip(7).
func parseExtendedError(b []byte) (Complaint, bool) {
	const size, family4, family6 = 16, 2, 10
	if len(b) < size+8 || b[4] != unix.SO_EE_ORIGIN_ICMP && b[4] != unix.SO_EE_ORIGIN_ICMP6 {
		return Complaint{}, false
	}
	c := Complaint{Type: b[5], Code: b[6], MTU: int(binary.NativeEndian.Uint32(b[8:]))}
	offender := b[size:]
	switch binary.NativeEndian.Uint16(offender) {
	case family4:
		c.From = netip.AddrFrom4([4]byte(offender[4:8]))
	case family6:
		if len(offender) < 24 {
			return Complaint{}, false
		}
		c.From = netip.AddrFrom16([16]byte(offender[8:24]))
	}
	return c, c.From.IsValid()
}
