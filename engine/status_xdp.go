// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"encoding/json"

	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/uapi"
)

// xdpKey is the extension of WireGuard's configuration protocol with what goes past the
// kernel's sockets: the JSON form of an [XDPInfo].
const xdpKey = "tunrouter_xdp"

// An XDPInfo describes the AF_XDP sockets beside the UDP sockets. It has a JSON form.
type XDPInfo struct {
	Asked     string `json:"asked"`               // the value of [Router] XDP
	Interface string `json:"interface,omitempty"` // used or waited for; "" while none is known
	Active    bool   `json:"active"`              // packets are received past the kernel
	// Reason says why all packets take the kernel's sockets; "" while they do not.
	Reason string `json:"reason,omitempty"`
	Attach string `json:"attach,omitempty"` // of the program: native or generic
	// Refusals say which other ways the kernel refused, and why.
	Refusals []string `json:"refusals,omitempty"`
	// QueuesAsked is how many queues the configuration asks for, 0 for all of them.
	QueuesAsked int            `json:"queuesAsked,omitempty"`
	Queues      []XDPQueueInfo `json:"queues,omitempty"` // with a socket
	// Kernel has packets that were sent through the kernel's sockets, by reason,
	// Program frames of the interface by what the program decided: those that there
	// were.
	Kernel   map[string]uint64 `json:"kernel,omitempty"`
	Program  map[string]uint64 `json:"program,omitempty"`
	Restarts uint64            `json:"restarts,omitempty"`
}

// An XDPQueueInfo describes the AF_XDP socket of one queue.
type XDPQueueInfo struct {
	Queue     int    `json:"queue"`
	ZeroCopy  bool   `json:"zeroCopy"`
	RxPackets uint64 `json:"rxPackets"`
	TxPackets uint64 `json:"txPackets"`
}

// XDPOf returns what d, as [Engine.Status] or the control socket of a router gave it,
// says of AF_XDP; nil when the configuration does not ask for it.
func XDPOf(d *uapi.Device) *XDPInfo {
	var out *XDPInfo
	for _, kv := range d.Extra {
		var x XDPInfo
		if kv.Key == xdpKey && json.Unmarshal([]byte(kv.Value), &x) == nil {
			out = &x
		}
	}
	return out
}

// xdpInfo describes s, whose underlay has the status st; nil when there is none.
func xdpInfo(s *xdpState, st *xdp.Status) *XDPInfo {
	x := &XDPInfo{Asked: s.asked.String(), Interface: s.asked.Interface, QueuesAsked: s.asked.Queues}
	if st == nil {
		x.Reason = s.failed.Error()
		return x
	}
	x.Interface, x.Active, x.Reason = st.Interface, st.Active, st.Reason
	x.Attach, x.Refusals, x.Restarts = st.Attach, st.Refusals, st.Restarts
	x.Kernel, x.Program = occurred(st.Kernel), occurred(st.Program)
	for i := range st.Queues {
		if q := &st.Queues[i]; q.Active {
			x.Queues = append(x.Queues, XDPQueueInfo{q.Queue, q.ZeroCopy, q.Socket.RxPackets, q.Socket.TxPackets})
		}
	}
	return x
}

// occurred returns the counts that are not zero, nil without any.
func occurred(counts map[string]uint64) map[string]uint64 {
	var out map[string]uint64
	for name, n := range counts {
		if n == 0 {
			continue
		}
		if out == nil {
			out = make(map[string]uint64)
		}
		out[name] = n
	}
	return out
}

// xdpLines returns the line that XDPOf reads, or none.
func (e *Engine) xdpLines() ([]uapi.KeyValue, error) {
	s := e.xdp.Load()
	if s == nil {
		return nil, nil
	}
	line, err := jsonLine(xdpKey, xdpInfo(s, s.status()))
	if err != nil {
		return nil, err
	}
	return []uapi.KeyValue{line}, nil
}
