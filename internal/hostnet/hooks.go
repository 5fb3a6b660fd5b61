// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import "strings"

// How a hook is run: the text is evaluated by a shell that stops at the first
// failure, a failure inside a pipe included, with the interface's name in
// $INTERFACE. This is what a hook finds in wg-quick, which evaluates it in a
// subshell of itself.
const hookScript = `INTERFACE=$1 hook=$2; shift 2; eval "$hook"`

// expandHook replaces every %i by the name of the interface.
func expandHook(hook, name string) string { return strings.ReplaceAll(hook, "%i", name) }

// hookArgs returns the arguments of the shell for one hook.
func hookArgs(bash bool, hook, name string) []string {
	if bash {
		return []string{"-e", "-o", "pipefail", "-O", "extglob", "-c", hookScript, "bash", name, expandHook(hook, name)}
	}
	return []string{"-e", "-c", hookScript, "sh", name, expandHook(hook, name)}
}
