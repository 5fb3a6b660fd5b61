// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopTime is how long a stop may take to begin. The kernel stops nobody whom no shell
// could continue (an orphaned process group).
const stopTime = 200 * time.Millisecond

// notifyContinued makes c get a signal when the program goes on after a stop.
func notifyContinued(c chan<- os.Signal) { signal.Notify(c, syscall.SIGCONT) }

// stopSelf stops the job that the program is part of, as ^Z does where the terminal sends
// the signal, and returns when it goes on. Go cannot give a signal that it has caught its
// usual effect again (runtime.sigdisable), so SIGTSTP is never caught.
func stopSelf(ctx context.Context, continued <-chan os.Signal) {
	if err := syscall.Kill(0, syscall.SIGTSTP); err != nil {
		return
	}
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-ctx.Done():
	case <-continued:
	case <-late.C:
	}
}
