// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil

import (
	"os"
	"os/exec"
	"testing"
)

// RequireVariable is the environment variable that turns a skip for a missing
// privilege or program into a failure when it is set to "1".
const RequireVariable = "ROUTER_TEST_REQUIRE"

// Required reports whether a missing privilege or program fails the test.
func Required() bool { return os.Getenv(RequireVariable) == "1" }

// NeedTool ends the test unless every named program is found in PATH: as a
// skip, or as a failure when [Required].
func NeedTool(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing(tb, "program "+name+" is not installed")
		}
	}
}

// NeedNetNS ends the test unless it may create network namespaces and TUN
// devices: as a skip, or as a failure when [Required]. It asks the kernel by
// doing both.
func NeedNetNS(tb testing.TB) {
	tb.Helper()
	if err := probeNetNS(); err != nil {
		missing(tb, "network namespaces with TUN devices: "+err.Error())
	}
}

// Missing ends the test because something it needs is not there: as a skip, or
// as a failure when [Required].
func Missing(tb testing.TB, what string) {
	tb.Helper()
	missing(tb, what)
}

func missing(tb testing.TB, what string) {
	tb.Helper()
	if Required() {
		tb.Fatalf("%s (%s=1 makes this a failure)", what, RequireVariable)
	}
	tb.Skip(what)
}
