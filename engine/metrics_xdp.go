// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"cmp"

	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/metrics"
)

// xdpMetrics translates the status of what s asks for, nil when it could not be opened;
// s is nil when nothing is asked for.
func xdpMetrics(s *xdpState, st *xdp.Status) *metrics.XDP {
	switch {
	case s == nil:
		return nil
	case st == nil:
		return &metrics.XDP{Interface: cmp.Or(s.asked.Interface, "auto")}
	}
	out := &metrics.XDP{
		Interface: cmp.Or(st.Interface, s.asked.Interface, "auto"), Active: st.Active, Attach: st.Attach, Restarts: st.Restarts,
		Program: countsOf(st.Program), Kernel: countsOf(st.Kernel),
	}
	for i := range st.Queues {
		q := &st.Queues[i]
		c, k := &q.Socket, &q.Socket.Kernel
		out.Queues = append(out.Queues, metrics.XDPQueue{
			Queue: q.Queue, Active: q.Active, ZeroCopy: q.ZeroCopy,
			Receive:   metrics.Traffic{Packets: c.RxPackets, Bytes: c.RxBytes},
			Transmit:  metrics.Traffic{Packets: c.TxPackets, Bytes: c.TxBytes},
			Completed: c.TxCompleted, Dropped: c.TxDropped,
			RxWakes: c.RxWakes, TxWakes: c.TxWakes, TxSpared: c.TxSpared, TxAgain: c.TxAgain,
			RxBad: c.RxBad, TxBad: c.TxBad, RxTooLong: c.RxTooLong,
			Statistics: metrics.XDPStatistics{
				RxDropped: k.RxDropped, RxRingFull: k.RxRingFull, RxFillRingEmpty: k.RxFillEmpty, TxRingEmpty: k.TxRingEmpty,
				RxInvalid: k.RxBadDescs, TxInvalid: k.TxBadDescs,
			},
		})
	}
	return out
}

// xdpSnapshot returns the state of what goes past the kernel's sockets.
func (e *Engine) xdpSnapshot() *metrics.XDP {
	s := e.xdp.Load()
	if s == nil {
		return nil
	}
	return xdpMetrics(s, s.status())
}
