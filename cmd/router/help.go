// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// helpCommand is "router help [command]", which cobra's own would not refuse a
// wrong command.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Show the help of a command",
		Long:    `Show the help of a command, as "router command --help" does.`,
		Example: `  router help up`,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				word := strings.Join(args, " ")
				if name := resembling(root, word); name != "" {
					return usagef(cmd, "%q is not a command; did you mean %q?", word, name)
				}
				return usagef(cmd, "%q is not a command", word)
			}
			about.InitDefaultHelpFlag() // or these would be missing in the list
			about.InitDefaultVersionFlag()
			return about.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, sub := range root.Commands() {
				if len(args) == 0 && sub.IsAvailableCommand() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// completionCommand makes cobra's completion command refuse a shell that it does
// not know, instead of showing its help.
func completionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		var shells []string
		for _, shell := range cmd.Commands() {
			shells = append(shells, shell.Name())
		}
		cmd.Short = "Print a script that makes a shell complete commands"
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			return usagef(cmd, "name a shell: %s", strings.Join(shells, ", "))
		}
	}
}
