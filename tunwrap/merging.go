// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// A merging says for each kind of packets whether they are merged when written.
//
// Some kernels refuse superpackets in a TUN with EINVAL, because their check of the
// virtio header is wrong (virtio_net_hdr_to_skb, include/linux/virtio_net.h; Linux
// 6.6.44 and others of July 2024), for TCP, for UDP or for both. A superpacket that is
// accepted reaches the host, so the first use is the probe: one that is refused, and
// whose packets are then all taken one by one, switches merging off for its kind.
// After some time it is tried again, for the price of one system call.
type merging struct {
	log   *slog.Logger
	retry time.Duration
	kinds [kinds]mergingKind
}

type mergingKind struct {
	never atomic.Pointer[string] // why it is not merged at all
	until atomic.Int64           // not merged before, in Unix nanoseconds; 0 = merged
	told  atomic.Bool
}

// disable switches merging off for ever.
func (m *merging) disable(k kind, why string) { m.kinds[k].never.Store(&why) }

// on reports whether packets of a kind are to be merged.
func (m *merging) on(k kind) bool {
	s := &m.kinds[k]
	if s.never.Load() != nil {
		return false
	}
	until := s.until.Load()
	return until == 0 || time.Now().UnixNano() >= until
}

// all is on for all kinds.
func (m *merging) all() (on [kinds]bool) {
	for k := range kinds {
		on[k] = m.on(k)
	}
	return on
}

// refused notes that the kernel refused a superpacket with err and took its packets.
func (m *merging) refused(k kind, err error) {
	s := &m.kinds[k]
	s.until.Store(time.Now().Add(m.retry).UnixNano())
	if !s.told.Swap(true) {
		m.log.Warn("kernel refuses merged packets in the tun device, writing them one by one; later times are only counted",
			"kind", k.String(), "retry", m.retry, "err", err)
	}
}

// state returns what Stats say of a kind.
func (m *merging) state(k kind) MergeState {
	s := &m.kinds[k]
	switch why := s.never.Load(); {
	case why != nil:
		return MergeState{Off: true, Reason: *why}
	case !m.on(k):
		return MergeState{Off: true, Reason: "refused by the kernel"}
	}
	return MergeState{}
}
