// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"encoding/binary"
	"math"
	"slices"
)

// A loss is what a Write did not get to the kernel.
type loss struct{ packets, bytes int }

func (l *loss) add(packets, bytes int) {
	l.packets += packets
	l.bytes += bytes
}

// lost finds out what was lost of bufs when a kernel device's Write, which
// merges packets of a flow into one system call and puts a virtio header of
// header bytes (or none) before each, reported written bytes and failed system
// calls (0 if unknown).
//
// Merging leaves a trace: the header of the first packet of a merged group
// claims the length of the group. So the groups can be told, and with them what
// each system call would have added to written. Usually only one choice of
// failed calls then fits: all, all merged ones (a kernel whose virtio header
// check is broken), or a certain single one. Otherwise the loss is estimated by
// its share of the bytes.
func lost(bufs [][]byte, offset, header, written, failed int) loss {
	var all loss
	for _, b := range bufs {
		all.add(1, len(b)-offset)
	}
	if written <= 0 || failed >= len(bufs) {
		return all
	}
	groups := groupsOf(bufs, offset, header)
	var merged, one loss
	missing, mergedCost, mergedCalls, ones := -written, 0, 0, 0
	for _, g := range groups {
		missing += g.cost
		if g.packets > 1 {
			mergedCost += g.cost
			mergedCalls++
			merged.add(g.packets, g.bytes)
		}
	}
	for _, g := range groups {
		if g.cost == missing {
			one = g.loss
			ones++
		}
	}
	switch {
	case missing <= 0:
		return loss{}
	case mergedCalls == failed && mergedCost == missing:
		return merged
	case failed == 1 && ones > 0:
		return one // if several fit they are most likely of one shape
	}
	share := float64(missing) / float64(missing+written)
	estimate := loss{
		packets: int(math.Round(share * float64(all.packets))),
		bytes:   int(math.Round(share * float64(all.bytes))),
	}
	estimate.packets = min(max(estimate.packets, failed, 1), all.packets-1)
	return estimate
}

// A group is the packets of one system call.
type group struct {
	loss
	cost int // bytes that the call writes
}

// groupsOf returns the groups that bufs were merged into, in no certain order;
// each call writes header bytes more than its packets.
func groupsOf(bufs [][]byte, offset, header int) []group {
	var groups []group
	taken := make([]bool, len(bufs))
	for i, b := range bufs {
		head := b[offset:]
		claimed := claimedLen(head)
		if claimed <= len(head) {
			continue
		}
		taken[i] = true
		g := group{loss: loss{packets: 1, bytes: len(head)}, cost: header + claimed}
		rest := claimed - len(head)
		for j := 0; j < len(bufs) && rest > 0; j++ {
			pkt := bufs[j][offset:]
			payload, same := sameFlow(head, pkt)
			if taken[j] || !same || payload < 0 || payload > rest || claimedLen(pkt) != len(pkt) {
				continue
			}
			taken[j] = true
			g.add(1, len(pkt))
			rest -= payload
		}
		groups = append(groups, g)
	}
	for i, b := range bufs {
		if n := len(b) - offset; !taken[i] {
			groups = append(groups, group{loss: loss{packets: 1, bytes: n}, cost: header + n})
		}
	}
	return groups
}

// claimedLen returns the packet length that the IP header claims, or that of
// pkt if there is none.
func claimedLen(pkt []byte) int {
	switch {
	case len(pkt) >= ipv4HeaderLen && pkt[0]>>4 == 4:
		return int(binary.BigEndian.Uint16(pkt[2:]))
	case len(pkt) >= ipv6HeaderLen && pkt[0]>>4 == 6:
		return ipv6HeaderLen + int(binary.BigEndian.Uint16(pkt[4:]))
	}
	return len(pkt)
}

// sameFlow reports whether pkt may have been merged behind head: same addresses,
// protocol and ports, and for TCP the same acknowledgement. It returns the
// length of pkt's payload. head is a packet that was merged, so without IP
// options or extension headers.
func sameFlow(head, pkt []byte) (payload int, same bool) {
	at, proto, from, to := ipv4HeaderLen, 9, 12, 20
	if head[0]>>4 == 6 {
		at, proto, from, to = ipv6HeaderLen, 6, 8, 40
	}
	header := at + udpHeaderLen
	if head[proto] == protoTCP {
		header = at + tcpHeaderLen
	}
	if len(head) < header || len(pkt) < header || pkt[0]>>4 != head[0]>>4 || pkt[proto] != head[proto] {
		return 0, false
	}
	if head[proto] == protoTCP {
		if !slices.Equal(head[at+8:at+12], pkt[at+8:at+12]) {
			return 0, false
		}
		header = at + int(pkt[at+12]>>4)*4
	}
	return len(pkt) - header, slices.Equal(head[from:to], pkt[from:to]) && slices.Equal(head[at:at+4], pkt[at:at+4])
}
