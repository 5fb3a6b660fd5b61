// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"fmt"
	"log/slog"
	"time"

	gvisorlog "gvisor.dev/gvisor/pkg/log"
)

// RedirectLog sends what gVisor itself logs, otherwise to standard error, to log
// as debug lines. gVisor has one log for the whole process, so this is for main
// functions to call, once, before anything else; New does not.
func RedirectLog(log *slog.Logger) { gvisorlog.SetTarget(emitter{log}) }

// An emitter is a gVisor log target.
type emitter struct{ log *slog.Logger }

// Emit passes on one line of gVisor's.
func (e emitter) Emit(_ int, _ gvisorlog.Level, _ time.Time, format string, args ...any) {
	e.log.Debug("gvisor", "text", fmt.Sprintf(format, args...))
}
