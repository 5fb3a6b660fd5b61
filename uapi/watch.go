// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollInterval is how often the socket file is looked at when the system
// cannot tell of changes, usually because fs.inotify.max_user_instances (128 by
// default) is used up.
const pollInterval = time.Second

// watch returns ErrSocketGone when the file is no longer the socket, or nil
// when done is closed.
func (s *Server) watch(done <-chan struct{}) error {
	if s.file == nil {
		<-done
		return nil
	}
	var (
		events <-chan fsnotify.Event
		errs   <-chan error
		ticks  <-chan time.Time
	)
	// The directory is watched, not the file: an inotify watch on the file would
	// not tell of its deletion while the socket keeps the inode.
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		err = w.Add(filepath.Dir(s.file.Path()))
	}
	if err == nil {
		events, errs = w.Events, w.Errors
	} else {
		s.log.Warn("control socket file is polled", "interval", pollInterval, "err", err)
		t := time.NewTicker(pollInterval)
		defer t.Stop()
		ticks = t.C
	}
	// Looking comes after the watch began, so no change falls in between. Which
	// event it was does not matter, and a queue overflow is as good as one.
	for s.file.Ours() {
		select {
		case <-done:
			return nil
		case <-events:
		case <-errs:
		case <-ticks:
		}
	}
	return ErrSocketGone
}
