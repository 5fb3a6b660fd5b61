// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package resolver

import (
	"context"
	"errors"
	"net"
	"sync"
)

// flights make lookups of one name at the same time share one query.
type flights struct {
	mu sync.Mutex // guards below and the waiters
	m  map[key]*flight
}

// A flight is a query under way, in a goroutine that ends before the last one
// who waits for it has returned.
type flight struct {
	cancel  context.CancelFunc
	waiters int
	done    chan struct{} // closed at the end, after which follow:
	res     result
	err     error
}

func (g *flights) init() { g.m = make(map[key]*flight) }

// do returns the result of the query that is under way for k, or of one that it
// starts. A caller whose context ends leaves it to the others; the last one
// ends it.
func (g *flights) do(ctx context.Context, k key, query func(context.Context) (result, error)) (result, error) {
	f := g.join(ctx, k, query)
	select {
	case <-f.done:
		return f.res, f.err
	case <-ctx.Done():
	}
	server := ""
	if g.leave(k, f) {
		f.cancel()
		<-f.done
		var e *net.DNSError
		if errors.As(f.err, &e) {
			server = e.Server
		}
	}
	return result{}, ended(k.name, server, ctx.Err())
}

func (g *flights) join(ctx context.Context, k key, query func(context.Context) (result, error)) *flight {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.m[k]
	if f == nil {
		// Not the context of whoever happens to be first.
		shared, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{cancel: cancel, done: make(chan struct{})}
		g.m[k] = f
		go func() {
			defer close(f.done)
			defer cancel()
			f.res, f.err = query(shared)
			g.forget(k, f)
		}()
	}
	f.waiters++
	return f
}

// leave reports whether nobody waits for f any more; then nobody will.
func (g *flights) leave(k key, f *flight) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return false
	}
	if g.m[k] == f {
		delete(g.m, k)
	}
	return true
}

func (g *flights) forget(k key, f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m[k] == f {
		delete(g.m, k)
	}
}
