// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"sync"
	"time"
)

// shared asks once for all clients: an answer is good for a while, and only one
// question is under way.
type shared struct {
	ask  func() (any, error)
	good time.Duration

	mu     sync.Mutex // guards below; held while asking, by at most maxRequests handlers
	answer []byte
	at     time.Time // when answer was asked for
}

// get returns the answer as JSON. It is not to be changed. Errors are not kept.
func (s *shared) get() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.answer != nil && now.Sub(s.at) < s.good {
		return s.answer, nil
	}
	v, err := s.ask()
	if err != nil {
		return nil, err
	}
	b, err := encode(v)
	if err != nil {
		return nil, err
	}
	s.answer, s.at = b, now
	return b, nil
}
