// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"sync"

	"golang.org/x/time/rate"
)

// The device prints a line for each message that it does not like. Of each kind so many
// pass, also at debug: who floods the port must not flood the log.
const (
	linesPerSecond = 10
	lineBurst      = 100
)

// A lineLimits bounds how many lines of each kind there are. Its methods may be called at
// any time.
type lineLimits struct {
	mu    sync.Mutex
	kinds map[string]*lineLimit
}

type lineLimit struct {
	limit      *rate.Limiter
	suppressed uint64
}

func newLineLimits() *lineLimits { return &lineLimits{kinds: make(map[string]*lineLimit)} }

// take reports whether a line of a kind may pass, and how many of the kind have not since
// the last one that did. Kinds are constants of the program: there are few.
func (l *lineLimits) take(kind string) (suppressed uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	if k == nil {
		k = &lineLimit{limit: rate.NewLimiter(linesPerSecond, lineBurst)}
		l.kinds[kind] = k
	}
	if !k.limit.Allow() {
		k.suppressed++
		return 0, false
	}
	suppressed, k.suppressed = k.suppressed, 0
	return suppressed, true
}
