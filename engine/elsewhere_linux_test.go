// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"os"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

// TestElsewhere: a router whose interface is in another network namespace than its
// sockets is up at once, and leaves both hosts alone.
func TestElsewhere(t *testing.T) {
	here, there := newHost(t), newHost(t)
	testutil.LeakCheck(t)
	cfg := here.config("wg7")
	cfg.Router.PeerForwarding = config.ForwardingOn // for which it would look at the host's routes
	var files []*os.File
	there.ns.Run(func() {
		var err error
		if files, err = tunwrap.CreateFiles(cfg.Name, nil); err != nil {
			t.Fatal(err)
		}
	})
	before, beforeThere := here.snapshot(), there.snapshot()
	dev, err := tunwrap.FromFiles(files, &tunwrap.Options{Elsewhere: true})
	if err != nil {
		t.Fatal(err)
	}
	var e *engine.Engine
	here.ns.Run(func() {
		e, err = engine.New(cfg, &engine.Options{Logger: testutil.Logger(t), Device: dev, Elsewhere: true, NoControl: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	if e.ListenPort() == 0 || e.Name() != cfg.Name {
		t.Errorf("%q listens on port %d when New returns", e.Name(), e.ListenPort())
	}
	if after := here.snapshot(); after != before {
		t.Errorf("the host was changed from\n%sto\n%s", before, after)
	}
	if after := there.snapshot(); after != beforeThere {
		t.Errorf("the host of the interface was changed from\n%sto\n%s", beforeThere, after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Error(err)
	}
}
