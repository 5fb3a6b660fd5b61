// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"encoding/json"

	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/uapi"
)

// queuesKey is the extension of WireGuard's configuration protocol with the queues of
// the tunnel device: the JSON form of a [QueuesInfo].
const queuesKey = "tunrouter_queues"

// A QueuesInfo describes the queues of the tunnel device. It has a JSON form.
type QueuesInfo struct {
	// Asked is how many there should be; there are fewer where the kernel gives
	// fewer.
	Asked   int `json:"asked"`
	Got     int `json:"got"`
	Batched int `json:"batched"` // of them are read many packets at a time
	// Steering says how packets choose a queue: none for a single one, destination,
	// or kernel.
	Steering string `json:"steering"`
	// Reasons says why something is missing: batched reads, steering, merging of what
	// is written.
	Reasons []string `json:"reasons,omitempty"`
	Dropped uint64   `json:"dropped,omitempty"` // packets, reading and writing
}

// QueuesOf returns what d, as [Engine.Status] or the control socket of a router gave
// it, says of the queues; nil in what other programs answer.
func QueuesOf(d *uapi.Device) *QueuesInfo {
	var out *QueuesInfo
	for _, kv := range d.Extra {
		var q QueuesInfo
		if kv.Key == queuesKey && json.Unmarshal([]byte(kv.Value), &q) == nil {
			out = &q
		}
	}
	return out
}

// queuesInfo sums up the counters of the device.
func queuesInfo(s *tunwrap.Stats) *QueuesInfo {
	q := &QueuesInfo{Asked: s.QueuesRequested, Got: len(s.Queues), Steering: string(s.Steering)}
	plain := ""
	for i := range s.Queues {
		c := &s.Queues[i]
		if c.Batched {
			q.Batched++
		} else {
			plain = c.Plain
		}
		q.Dropped += c.Read.Dropped.Total() + c.Write.Dropped.Total()
	}
	add := func(what, why string) {
		if why != "" {
			q.Reasons = append(q.Reasons, what+": "+why)
		}
	}
	add("batches", plain)
	add("steering", s.SteeringReason)
	add("merging tcp", s.TCPMerging.Reason)
	add("merging udp", s.UDPMerging.Reason)
	return q
}
