// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"time"
)

// debounce calls f once for all events that come within wait of the first, and
// again for those after. It returns when ctx ends and does not call f then.
func debounce(ctx context.Context, events <-chan struct{}, wait time.Duration, f func()) {
	timer := time.NewTimer(wait)
	timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		select { // what came meanwhile is covered by this call
		case <-events:
		default:
		}
		f()
	}
}
