// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The layout of an answer: struct nlmsghdr, struct if_stats_msg, attributes.
const (
	statsHeaderLen = 12 // family, 3 bytes of padding, index, filter
	statsIndexAt   = 4
	statsFilterAt  = 8
)

var errStatsAnswer = errors.New("answer to RTM_GETSTATS is damaged")

// appendStatsRequest appends the message that asks for the counters of one
// interface.
func appendStatsRequest(b []byte, order binary.AppendByteOrder, sequence uint32, index int) []byte {
	b = order.AppendUint32(b, unix.NLMSG_HDRLEN+statsHeaderLen)
	b = order.AppendUint16(b, unix.RTM_GETSTATS)
	b = order.AppendUint16(b, unix.NLM_F_REQUEST)
	b = order.AppendUint32(b, sequence)
	b = order.AppendUint32(b, 0) // to be filled in by the kernel
	b = order.AppendUint32(b, unix.AF_UNSPEC)
	b = order.AppendUint32(b, uint32(index))
	return order.AppendUint32(b, 1<<(unix.IFLA_STATS_LINK_64-1))
}

// decodeStats reads what the kernel has answered to the request with the given
// sequence number. found is false when the datagram holds no answer to it. The error
// wraps [ErrLinkGone] or the errno that the kernel has answered with. It does not
// keep b.
func decodeStats(b []byte, order binary.ByteOrder, sequence uint32, index int) (s *LinkStatistics, found bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(order.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return nil, false, errStatsAnswer
		}
		kind, answered := order.Uint16(b[4:]), order.Uint32(b[8:])
		if body := b[unix.NLMSG_HDRLEN:size]; answered == sequence {
			switch kind {
			case unix.NLMSG_ERROR:
				return nil, true, statsError(body, order)
			case unix.RTM_NEWSTATS:
				s, err := decodeStatsBody(body, order, index)
				return s, true, err
			}
		}
		b = b[min(align4(size), len(b)):]
	}
	return nil, false, nil
}

func statsError(body []byte, order binary.ByteOrder) error {
	if len(body) < 4 {
		return errStatsAnswer
	}
	errno := -int32(order.Uint32(body))
	switch {
	case errno <= 0:
		return errStatsAnswer // an acknowledgement that was not asked for
	case unix.Errno(errno) == unix.ENODEV:
		return ErrLinkGone
	}
	return unix.Errno(errno)
}

func decodeStatsBody(body []byte, order binary.ByteOrder, index int) (*LinkStatistics, error) {
	if len(body) < statsHeaderLen {
		return nil, errStatsAnswer
	}
	if got := order.Uint32(body[statsIndexAt:]); got != uint32(index) {
		return nil, fmt.Errorf("%w: it is about interface %d, not %d", errStatsAnswer, got, index)
	}
	for b := body[statsHeaderLen:]; len(b) >= unix.SizeofRtAttr; {
		size, kind := int(order.Uint16(b)), order.Uint16(b[2:])
		if size < unix.SizeofRtAttr || size > len(b) {
			return nil, errStatsAnswer
		}
		if kind == unix.IFLA_STATS_LINK_64 {
			return decodeCounters(b[unix.SizeofRtAttr:size], order)
		}
		b = b[min(align4(size), len(b)):]
	}
	return nil, fmt.Errorf("%w: no counters in it", errStatsAnswer)
}

// decodeCounters reads struct rtnl_link_stats64, which has grown at its end and may
// grow again.
func decodeCounters(b []byte, order binary.ByteOrder) (*LinkStatistics, error) {
	if len(b) < minLinkCounters*8 {
		return nil, fmt.Errorf("%w: %d bytes of counters", errStatsAnswer, len(b))
	}
	s := new(LinkStatistics)
	for _, counter := range s.counters() {
		*counter, b = order.Uint64(b), b[8:]
	}
	for _, counter := range []**uint64{&s.RxNoHandler, &s.RxOtherHostDropped} {
		if len(b) < 8 {
			break
		}
		*counter, b = new(order.Uint64(b)), b[8:]
	}
	return s, nil
}

func align4(n int) int { return (n + 3) &^ 3 }
