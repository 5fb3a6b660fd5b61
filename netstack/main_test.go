// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"os"
	"testing"

	"gvisor.dev/gvisor/pkg/refs"
)

// refCheckEnv makes the test process count all references of the stack, which
// must be asked for before the first one is taken. See TestReferences.
const refCheckEnv = "NETSTACK_TEST_REFERENCES"

func TestMain(m *testing.M) {
	if os.Getenv(refCheckEnv) != "" {
		refs.SetLeakMode(refs.LeaksPanic)
	}
	os.Exit(m.Run())
}
