// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching

const (
	// maxSegments is the most packets in one message: UDP_MAX_SEGMENTS was 64
	// until Linux 6.9 and is 128 since (1382e3b6a350). A batch of 128 packets is
	// two messages either way.
	maxSegments = 64
	// maxPayload4 and maxPayload6 are the most bytes in one message, of one
	// packet or of many: the 16-bit lengths of IPv4 and UDP, less the IPv4
	// header of 20 bytes, which the length of IPv6 does not count, and the UDP
	// header of 8.
	maxPayload4 = 1<<16 - 1 - 20 - 8
	maxPayload6 = 1<<16 - 1 - 8
	// maxSegmented4 and maxSegmented6 are the most bytes in a message of many
	// packets. The kernel compares it, with UDP, IP and Ethernet headers (14 bytes,
	// 18 in a VLAN), with the gso_max_size of the device, 65,536 unless it was
	// raised, and cuts it in software before the device if it is not smaller
	// (net/core/dev.c, gso_features_check, 6.18): the receiver gets single packets
	// then, and merges little of them. 46 packets of 1,424 bytes, 65,504, are an
	// example that UDP itself could carry.
	maxSegmented4 = 1<<16 - 1 - 18 - 20 - 8
	maxSegmented6 = 1<<16 - 1 - 18 - 40 - 8
)

// limits bound one message.
type limits struct {
	packets int // 1: nothing is segmented
	bytes   int
	// headers is what the kernel adds to the bytes of a message before it
	// compares them with 64 times the segment size. It is 0 since Linux 6.14
	// (235174b2bed8), and since 6.9, whose 128 segments hide it; before, it was
	// the 28 or 48 bytes of the IP and UDP headers, so that 64 full segments were
	// refused with EINVAL.
	headers int
	// sentinel says that no segmented message may end in a packet as long as the
	// others (see [Options.Sentinel]).
	sentinel bool
}

// A run is a sequence of packets that one message carries.
type run struct {
	packets int // at least 1
	bytes   int
	size    int // of the first packet and all others but the last
	// sentinel says that a packet of one byte has to follow, which is not one of
	// packets and bytes.
	sentinel bool
}

const (
	// sentinelByte is the packet that ends a message whose packets would all be
	// equally long otherwise. WireGuard drops it, as it does everything shorter
	// than its own messages.
	sentinelByte = 0x07
	// sentinelWorth is the least packets of a run that is worth a sentinel. Each
	// is a packet on the wire: 1 in 17 at most.
	sentinelWorth = 16
)

// nextRun returns the longest run at the start of bufs. Packets begin at from,
// which is within each of bufs. A packet joins when it is not larger than the
// first and the limits allow; a smaller one ends the run. An empty packet is
// always alone: a segment cannot be empty.
func nextRun(bufs [][]byte, from int, lim limits) run {
	size := len(bufs[0]) - from
	r := run{packets: 1, bytes: size, size: size}
	if size == 0 || lim.packets == 1 {
		return r
	}
	if lim.sentinel {
		return nextRunSentinel(bufs, from, lim)
	}
	most := lim.bytes
	if lim.headers > 0 {
		most = min(most, maxSegments*size-lim.headers)
	}
	for _, buf := range bufs[1:] {
		n := len(buf) - from
		if n == 0 || n > size || r.packets >= lim.packets || r.bytes+n > most {
			break
		}
		r.packets++
		r.bytes += n
		if n < size {
			break
		}
	}
	return r
}

// nextRunSentinel is nextRun with lim.sentinel: there is room for the sentinel in
// each run, it is set where it is needed, and runs that are not worth it are one
// packet. Packets of one byte are as long as the sentinel and are sent alone.
func nextRunSentinel(bufs [][]byte, from int, lim limits) run {
	lim.sentinel = false
	lim.packets--
	lim.bytes--
	alone := nextRun(bufs[:1], from, lim)
	if alone.size == 1 || lim.packets < 1 {
		return alone
	}
	r := nextRun(bufs, from, lim)
	switch {
	case r.packets == 1 || r.bytes < r.packets*r.size:
		return r
	case r.packets < sentinelWorth:
		return alone
	}
	r.sentinel = true
	return r
}
