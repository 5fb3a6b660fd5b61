// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package roomlog gives each room of the house a log level of its own, that can be changed
// while the program runs.
//
//	levels := roomlog.New(roomlog.Setting{Level: slog.LevelInfo})
//	logger := slog.New(roomlog.Handler(inner, levels))
//	peers := roomlog.For(logger, roomlog.Peers)
//	err := levels.Change("peers=debug") // peers logs what it did not a moment ago
//
// A logger that is made by [For] has the attribute room; one that is not follows the level
// of everything else. The command line makes the handler, the engine the loggers.
//
// # Concurrency
//
// [Levels] may be read and changed from many goroutines. Asking whether a record is
// enabled costs one atomic load, and a look into a small map while a room has a level of
// its own; it does not allocate.
package roomlog
