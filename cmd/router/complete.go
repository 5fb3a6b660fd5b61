// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/uapi"
)

// completeConfig completes the names in /etc/wireguard and .conf files.
func completeConfig(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	paths, _ := filepath.Glob(filepath.Join(config.Dir, "*.conf")) // unreadable: none
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".conf"))
	}
	return names, cobra.ShellCompDirectiveDefault
}

// completeRunning completes the names of running routers.
func completeRunning(dir *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, _ := uapi.Sockets(*dir) // those that we may ask
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeChoice completes the values of a flag.
func completeChoice(cmd *cobra.Command, flag string, c *choice) {
	// The only error is a flag that does not exist or has this already.
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(c.values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}
