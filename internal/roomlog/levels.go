// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package roomlog

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
)

// Levels say what is logged now. The zero value logs everything from info on.
type Levels struct {
	mu  sync.Mutex // of those who change now
	now atomic.Pointer[Setting]
}

// New returns levels that begin with s.
func New(s Setting) *Levels {
	l := new(Levels)
	l.Set(s)
	return l
}

// Set replaces all levels.
func (l *Levels) Set(s Setting) {
	s.Rooms = maps.Clone(s.Rooms)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now.Store(&s)
}

// Setting returns the levels.
func (l *Levels) Setting() Setting {
	s := l.setting()
	s.Rooms = maps.Clone(s.Rooms)
	return s
}

// Change changes some of the levels: LEVEL is that of everything that has none of its own,
// ROOM=LEVEL that of a room, ROOM=default takes that away; several are separated by
// commas. After an error nothing has changed.
func (l *Levels) Change(text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.setting().changed(text)
	if err != nil {
		return err
	}
	l.now.Store(&s)
	return nil
}

func (l *Levels) setting() Setting {
	if s := l.now.Load(); s != nil {
		return *s
	}
	return Setting{}
}

// enabled reports whether a room, "" for none, logs at a level.
func (l *Levels) enabled(room string, level slog.Level) bool {
	s := l.now.Load()
	if s == nil {
		return level >= slog.LevelInfo
	}
	least := s.Level
	if len(s.Rooms) > 0 && room != "" {
		if own, ok := s.Rooms[room]; ok {
			least = own
		}
	}
	return level >= least
}
