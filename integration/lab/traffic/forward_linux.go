// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// NewForwardMeters prepares UDP packets through a forward: host "from" sends to
// the address listen, where a program takes them to the address target of host
// "to". There is a meter for that direction and one for the answers, to be used
// one after the other; closing either closes both. The addresses are IPv4.
func NewForwardMeters(from, to *lab.Host, listen, target netip.AddrPort, size int) (there, back *RateMeter, err error) {
	if size < udpHeader || !listen.Addr().Is4() || !target.Addr().Is4() {
		return nil, nil, fmt.Errorf("packets of %d bytes to %s and %s", size, listen, target)
	}
	near, err := socket(from, netip.IPv4Unspecified())
	if err != nil {
		return nil, nil, err
	}
	far, err := socketAt(to, target)
	if err != nil {
		unix.Close(near)
		return nil, nil, err
	}
	if err = from.Do(func() error { return unix.Connect(near, sockaddr(listen)) }); err == nil {
		err = meet(near, far, to, size)
	}
	if err != nil {
		unix.Close(near)
		unix.Close(far)
		return nil, nil, err
	}
	return &RateMeter{sender: near, receivers: []int{far}, size: size}, &RateMeter{sender: far, receivers: []int{near}, size: size}, nil
}

// meet sends until a packet arrives and connects the receiving socket to where it
// came from.
func meet(near, far int, to *lab.Host, size int) error {
	timeout := unix.NsecToTimeval(int64(100 * time.Millisecond))
	if err := unix.SetsockoptTimeval(far, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	first := make([]byte, size)
	binary.BigEndian.PutUint64(first, math.MaxUint64) // of no trial
	buf := make([]byte, size)
	for deadline := time.Now().Add(lab.Patience); time.Now().Before(deadline); {
		if _, err := unix.Write(near, first); err != nil && err != unix.ECONNREFUSED {
			return err
		}
		_, source, err := unix.Recvfrom(far, buf, 0)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			continue
		case err != nil:
			return err
		}
		return to.Do(func() error { return unix.Connect(far, source) })
	}
	return errors.New("no packet arrives through the forward")
}
