// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/uapi"
)

// dropsKey is the extension of WireGuard's configuration protocol with what was
// dropped at one stage: the JSON form of a [StageDrops].
const dropsKey = "tunrouter_drops"

// StageDrops are the packets that went no further at one stage, by reason. It has a
// JSON form.
type StageDrops struct {
	Stage   string            `json:"stage"`
	Dropped map[string]uint64 `json:"dropped"`
}

// DropsOf returns what d, as [Engine.Status] or the control socket of a router gave it,
// says of dropped packets: those stages and reasons that there were. No packet is
// counted twice; they are those of router_dropped_packets_total.
func DropsOf(d *uapi.Device) []StageDrops { return extrasOf[StageDrops](d, dropsKey) }

// stageDrops are the drops of a snapshot that there were, stage by stage.
func stageDrops(s *metrics.Snapshot) []StageDrops {
	var out []StageDrops
	at := make(map[string]int)
	for _, drop := range s.Drops() {
		if drop.Packets == 0 {
			continue
		}
		i, ok := at[drop.Stage]
		if !ok {
			i = len(out)
			at[drop.Stage] = i
			out = append(out, StageDrops{drop.Stage, make(map[string]uint64)})
		}
		out[i].Dropped[drop.Reason] += drop.Packets
	}
	return out
}

// dropLines returns the lines that DropsOf reads.
func dropLines(s *metrics.Snapshot) ([]uapi.KeyValue, error) {
	var out []uapi.KeyValue
	for _, d := range stageDrops(s) {
		line, err := jsonLine(dropsKey, &d)
		if err != nil {
			return nil, err
		}
		out = append(out, line)
	}
	return out, nil
}
