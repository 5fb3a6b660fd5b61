// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/uapi"
)

func TestQueuesInfo(t *testing.T) {
	stats := &tunwrap.Stats{
		QueuesRequested: 4,
		Queues:          []tunwrap.QueueStats{{Batched: true}, {Plain: "no header"}},
		Steering:        tunwrap.SteeringKernel, SteeringReason: "not permitted",
		UDPMerging: tunwrap.MergeState{Off: true, Reason: "old kernel"},
	}
	stats.Queues[0].Read.Dropped.Malformed = 1
	stats.Queues[1].Write.Dropped.Down = 2
	want := &engine.QueuesInfo{
		Asked: 4, Got: 2, Batched: 1, Steering: "kernel", Dropped: 3,
		Reasons: []string{"batches: no header", "steering: not permitted", "merging udp: old kernel"},
	}
	if diff := cmp.Diff(want, engine.QueuesInfoOf(stats)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d := &uapi.Device{Extra: []uapi.KeyValue{{Key: "tunrouter_queues", Value: "nonsense"}}}
	if got := engine.QueuesOf(d); got != nil {
		t.Errorf("nonsense is %+v", got)
	}
	d.Extra = append(d.Extra, uapi.KeyValue{Key: "tunrouter_queues", Value: `{"asked":2,"got":2,"batched":2,"steering":"destination"}`})
	if diff := cmp.Diff(&engine.QueuesInfo{Asked: 2, Got: 2, Batched: 2, Steering: "destination"}, engine.QueuesOf(d)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
