// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// plain moves one packet per system call through the net package. It is all
// there is outside Linux, and what Linux falls back to.
type plain struct {
	// owned by the ReadBatch whose turn it is
	oob [plainControl]byte
}

func (p *plain) read(c *Conn, slab []byte, pkts []Packet, t *tally) (int, error) {
	for {
		n, oobn, flags, remote, err := c.udp.ReadMsgUDPAddrPort(slab, p.oob[:])
		if err != nil {
			return 0, err
		}
		t.call(1)
		t.message(1)
		local, ifIndex, ok := plainSource(p.oob[:oobn])
		switch {
		case truncated(flags, n, len(slab)):
			t[rxTruncated]++
		case !ok:
			t[rxControl]++
		case n == 0 && !c.any:
			t[rxEmpty]++
		default:
			pkts[0] = Packet{
				Size:   n,
				Remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
				Local:  local, IfIndex: ifIndex,
			}
			t[cellPackets]++
			t[cellBytes] += uint64(n)
			return 1, nil
		}
	}
}

func (*plain) write(c *Conn, bufs [][]byte, from int, dst *Destination, t *tally) (n int, bad txResult) {
	for i, buf := range bufs {
		_, _, err := c.udp.WriteMsgUDPAddrPort(buf[from:], plainControlOf(dst), dst.remote)
		if err == nil {
			n++
			t.call(1)
			t.message(1)
			t[cellPackets]++
			t[cellBytes] += uint64(len(buf) - from)
			continue
		}
		bad = txResult{"sendmsg", cause(err)}
		reason := c.reason(bad.err)
		if reason != txTooLong {
			t[reason] += uint64(len(bufs) - i)
			return n, bad
		}
		t[reason]++
	}
	return n, bad
}

// cause takes the descriptions of the net package off an error.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}

// reason returns the cell that counts packets not sent because of err.
func (c *Conn) reason(err error) cell {
	if c.closed.Load() {
		return txClosed
	}
	return reasonOf(err)
}

func reasonOf(err error) cell {
	switch err {
	case syscall.EMSGSIZE:
		return txTooLong
	case syscall.ENOBUFS, syscall.ENOMEM, syscall.EAGAIN:
		return txNoBuffers
	case syscall.EPERM, syscall.EACCES:
		return txDenied
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN:
		return txUnreachable
	case syscall.EINVAL, syscall.EADDRNOTAVAIL:
		return txSource
	}
	return txOther
}
