// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/netstack"
	gvisorlog "gvisor.dev/gvisor/pkg/log"
)

func TestRedirectLog(t *testing.T) {
	defer gvisorlog.SetTarget(gvisorlog.GoogleEmitter{Writer: &gvisorlog.Writer{Next: os.Stderr}})
	var b bytes.Buffer
	netstack.RedirectLog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	gvisorlog.Warningf("port %d is in use", 80)
	if got := b.String(); !strings.Contains(got, "level=DEBUG msg=gvisor text=\"port 80 is in use\"") {
		t.Errorf("logged %q", got)
	}
}
