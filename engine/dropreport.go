// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/metrics"
)

const (
	// reportEvery is how often drops are looked at, and at most told of.
	reportEvery = time.Minute
	// maxReportPause is how rarely drops are told of that do not end.
	maxReportPause = time.Hour
	// maxReported is how many reasons a line has.
	maxReported = 8
)

// A dropReport tells the log what was dropped: one line with the counts by stage and
// reason in place of one for each packet. While drops go on the pauses between the lines
// double, to an hour; after a minute without any they are as short as before.
type dropReport struct {
	log   *slog.Logger
	drops func() []metrics.Drop

	told   map[dropKey]uint64 // counters at the last line
	toldAt time.Time
	before uint64 // sum of the counters at the last look
	pause  time.Duration
}

type dropKey struct{ stage, reason string }

func newDropReport(log *slog.Logger, now time.Time, drops func() []metrics.Drop) *dropReport {
	return &dropReport{log: log, drops: drops, toldAt: now, pause: reportEvery, told: make(map[dropKey]uint64)}
}

// run looks every minute until ctx ends.
func (r *dropReport) run(ctx context.Context) error {
	every := time.NewTicker(reportEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-every.C:
			r.look(now)
		}
	}
}

// look logs a line if it is time to.
func (r *dropReport) look(now time.Time) {
	counters := make(map[dropKey]uint64)
	var sum uint64
	for _, d := range r.drops() {
		counters[dropKey{d.Stage, d.Reason}] += d.Packets
		sum += d.Packets
	}
	if sum == r.before {
		r.pause = reportEvery
	}
	r.before = sum
	var grown []metrics.Drop
	var total uint64
	for key, n := range counters {
		if was := r.told[key]; n > was {
			grown = append(grown, metrics.Drop{Stage: key.stage, Reason: key.reason, Packets: n - was})
			total += n - was
		}
	}
	if total == 0 || now.Sub(r.toldAt) < r.pause {
		return
	}
	r.log.Info("packets dropped", append([]any{"packets", total, "since", now.Sub(r.toldAt).Round(time.Second)}, reportAttrs(grown)...)...)
	r.told, r.toldAt, r.pause = counters, now, min(2*r.pause, maxReportPause)
}

// reportAttrs are the largest counts, by stage and reason, and the sum of the others.
func reportAttrs(grown []metrics.Drop) []any {
	slices.SortFunc(grown, func(a, b metrics.Drop) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Reason, b.Reason))
	})
	var attrs []any
	var others uint64
	for i, d := range grown {
		if i < maxReported {
			attrs = append(attrs, d.Stage+"."+d.Reason, d.Packets)
		} else {
			others += d.Packets
		}
	}
	if others > 0 {
		attrs = append(attrs, "others", others)
	}
	return attrs
}

// dropReport makes a report of the router from its start.
func (e *Engine) dropReport() *dropReport {
	return newDropReport(e.log, e.started, func() []metrics.Drop { return e.partsSnapshot(nil).Drops() })
}

// dropReport makes a report of a relay alone from its start.
func (r *relayOnly) dropReport() *dropReport {
	return newDropReport(r.log, r.started, func() []metrics.Drop { return r.Snapshot().Drops() })
}
