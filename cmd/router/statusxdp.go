// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tunrouter/tunrouter/engine"
)

// writeXDP prints what goes past the kernel's sockets, or why nothing does.
func writeXDP(b *strings.Builder, x *engine.XDPInfo) {
	b.WriteString("  xdp: ")
	if x.Active {
		fmt.Fprintf(b, "%s, %s, %s", x.Interface, x.Attach, xdpQueues(x))
	} else {
		fmt.Fprintf(b, "kernel sockets: %s", oneLine(x.Reason))
	}
	refused := slices.DeleteFunc(slices.Clone(x.Refusals), func(r string) bool { return strings.Contains(x.Reason, r) })
	if len(refused) > 0 {
		fmt.Fprintf(b, " (%s)", oneLine(strings.Join(refused, "; ")))
	}
	b.WriteString(reasons(", through the kernel's sockets ", x.Kernel))
	if x.Restarts > 0 {
		fmt.Fprintf(b, ", restarts %d", x.Restarts)
	}
	b.WriteByte('\n')
}

// xdpQueues says how the queues work and how many there are.
func xdpQueues(x *engine.XDPInfo) string {
	n, zeroCopy := len(x.Queues), 0
	for _, q := range x.Queues {
		if q.ZeroCopy {
			zeroCopy++
		}
	}
	how, of, noun := "copy", "", "queues"
	switch {
	case zeroCopy == n && n > 0:
		how = "zero-copy"
	case zeroCopy > 0:
		how = fmt.Sprintf("zero-copy %d and copy %d", zeroCopy, n-zeroCopy)
	}
	if x.QueuesAsked > 0 {
		of = fmt.Sprintf(" of %d", x.QueuesAsked)
	} else if n == 1 {
		noun = "queue"
	}
	return fmt.Sprintf("%s, %d%s %s", how, n, of, noun)
}

// oneLine makes one line of the text of errors that were joined.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }
