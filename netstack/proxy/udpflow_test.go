// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// flowEnds collects the keys of flows in the order they end.
type flowEnds struct {
	mu   sync.Mutex
	keys []int
}

func (e *flowEnds) end(f *flow[int, string]) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys = append(e.keys, f.key)
}

func (e *flowEnds) take() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.keys
	e.keys = nil
	return k
}

func value() string { return "" }

func TestFlowEviction(t *testing.T) {
	var ends flowEnds
	table := newFlowTable(Limits{Total: 5, PerClient: 3}, ends.end)
	now := time.Duration(0)
	add := func(client any, keys ...int) {
		t.Helper()
		for _, k := range keys {
			now++
			if _, made := table.add(k, client, 0, now, value); !made {
				t.Fatalf("flow %d of %v not made", k, client)
			}
		}
	}
	want := func(what string, keys ...int) {
		t.Helper()
		if diff := cmp.Diff(keys, ends.take()); diff != "" {
			t.Errorf("%s: ended (-want +got):\n%s", what, diff)
		}
	}
	add("a", 1, 2, 3)
	want("below the limits")
	now++
	table.get(1, now)
	add("a", 4)
	want("a client has too many: its least recently used one", 2)
	add("b", 5, 6)
	want("the table is full")
	add("b", 7)
	want("full, and the client has some: one of its own", 5)
	add("c", 8)
	want("full, and the client has none: the least recently used of all", 3)

	now++
	table.flows[1].seen.Store(int64(now)) // an answer
	add("a", 9)
	want("a flow with a late answer is spared", 1+3) // 4: used before the answer to 1

	add(nil, 10)
	want("a client that counts in the total only", 6)
	if got := table.evicted.Load(); got != 5 {
		t.Errorf("%d evicted, want 5", got)
	}
	if f, made := table.add(10, nil, 0, now, value); made || f == nil || f.key != 10 {
		t.Errorf("added again: %v, %t", f, made)
	}

	table.close()
	got := ends.take()
	slices.Sort(got)
	if diff := cmp.Diff([]int{1, 7, 8, 9, 10}, got); diff != "" {
		t.Errorf("closed (-want +got):\n%s", diff)
	}
	if f, made := table.add(11, "a", 0, now, value); f != nil || made {
		t.Error("a closed table takes a flow")
	}
	if len(table.clients) != 0 || table.all.Len() != 0 || table.len() != 0 {
		t.Errorf("left: %d clients, %d flows", len(table.clients), table.all.Len())
	}
}

func TestFlowRemove(t *testing.T) {
	var ends flowEnds
	table := newFlowTable(Limits{}, ends.end)
	f, _ := table.add(1, "a", 0, 0, value)
	table.remove(f)
	table.remove(f)
	table.close()
	if diff := cmp.Diff([]int{1}, ends.take()); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if table.idle.Load()+table.evicted.Load() != 0 {
		t.Error("counted as idle or evicted")
	}
}

func TestFlowNoLimits(t *testing.T) {
	var ends flowEnds
	table := newFlowTable(Limits{Total: -1, PerClient: -1}, ends.end)
	for i := range defaultFlows + 1 {
		table.add(i, "a", 0, 0, value)
	}
	if n := table.len(); n != defaultFlows+1 {
		t.Errorf("%d flows, want %d", n, defaultFlows+1)
	}
}

// TestFlowSilence: silent flows end, one at a time; what moves in either
// direction, or may be silent for ever, stays.
func TestFlowSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends flowEnds
		table := newFlowTable(Limits{}, ends.end)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { table.run(ctx) })
		const short, long = 30 * time.Second, 120 * time.Second
		table.add(1, "a", short, table.now(), value)
		table.add(2, "a", long, table.now(), value)
		table.add(3, "b", 0, table.now(), value)
		asked, _ := table.add(4, "b", short, table.now(), value)
		answered, _ := table.add(5, "b", short, table.now(), value)
		step := func(d time.Duration, want ...int) {
			t.Helper()
			for range d / time.Second {
				time.Sleep(time.Second)
				table.get(asked.key, table.now())
				answered.seen.Store(int64(table.now()))
			}
			synctest.Wait()
			if diff := cmp.Diff(want, ends.take()); diff != "" {
				t.Errorf("ended at %v (-want +got):\n%s", table.now(), diff)
			}
		}
		step(short - time.Second)
		step(short/4+2*time.Second, 1)
		step(long-short, 2)
		step(24 * time.Hour)
		if got := table.idle.Load(); got != 2 {
			t.Errorf("%d idle, want 2", got)
		}
		cancel()
		wg.Wait()
		if n := len(ends.take()); n != 3 {
			t.Errorf("%d flows ended with the table, want 3", n)
		}
	})
}

func TestInactivity(t *testing.T) {
	for _, tc := range []struct {
		option time.Duration
		port   uint16
		want   time.Duration
	}{
		{0, 443, 120 * time.Second},
		{0, 53, 30 * time.Second},
		{time.Second, 53, time.Second},
		{-1, 53, 0},
	} {
		if got := inactivity(tc.option, tc.port); got != tc.want {
			t.Errorf("inactivity(%v, %d) = %v, want %v", tc.option, tc.port, got, tc.want)
		}
	}
}

func TestFlowNoAllocs(t *testing.T) {
	table := newFlowTable(Limits{}, func(*flow[hostKey, *hostFlow]) {})
	var k hostKey
	table.add(k, "a", time.Second, 0, func() *hostFlow { return nil })
	if n := testing.AllocsPerRun(100, func() { table.get(k, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
