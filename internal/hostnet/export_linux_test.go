// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"os"
	"time"
)

// UpInjected is Up that asks inject before every step, also of Update and Down.
func UpInjected(ctx context.Context, o *Options, inject func(op, subject string) error) (*State, error) {
	return up(ctx, o, inject)
}

// Subscribe and Watch are the two halves of WatchRoutes.
func Subscribe() (*os.File, error) { return subscribe() }

func Watch(ctx context.Context, f *os.File, wait time.Duration, onChange func()) error {
	return watch(ctx, f, wait, onChange)
}

// RunHook runs one hook with an output of its own.
func RunHook(ctx context.Context, o *Options, hook string) error {
	n, err := o.normalized()
	if err != nil {
		return err
	}
	r := newRunner(n.Logger, n.HookOutput)
	defer r.close()
	return r.hook(ctx, n.Interface, hook)
}
