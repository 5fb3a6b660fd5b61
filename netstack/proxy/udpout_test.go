// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
)

// What waits for the socket of a flow that makes room for another is counted.
func TestHostFlowEndsWhileItOpens(t *testing.T) {
	testutil.LeakCheck(t)
	var wg sync.WaitGroup
	var count counters
	h := newHostFlows(&hostFlows{
		count: &count, wg: &wg,
		dial: func(ctx context.Context, _ hostKey) (*udpSocket, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		admit:  func(hostKey) (any, bool) { return "client", true },
		silent: func(netip.AddrPort) time.Duration { return time.Minute },
	}, Limits{Total: 1, PerClient: 1})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); h.run(ctx) }()
	testutil.Eventually(t, testTimeout, "run", func() error {
		if h.ctx.Load() == nil {
			return context.Canceled
		}
		return nil
	})
	to := netip.MustParseAddrPort("192.0.2.1:7")
	take := func(from string, n int) {
		h.take(&netstack.Datagrams{
			Source: netip.MustParseAddrPort(from), Destination: to, Payloads: make([][]byte, n),
		}, h.table.now())
	}
	take("10.0.0.1:1", 3)
	take("10.0.0.1:2", maxPending+1) // in its place
	if send, full := count.dropSend.Load(), count.dropFull.Load(); send != 3 || full != 1 {
		t.Errorf("%d and %d are counted, want 3 and 1", send, full)
	}
	cancel()
	<-ended
	wg.Wait()
	if send := count.dropSend.Load(); send != 3+maxPending {
		t.Errorf("at the end %d are counted, want %d", send, 3+maxPending)
	}
}
