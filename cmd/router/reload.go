// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) reloadCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "reload [NAME]",
		Short: "Apply a changed configuration file to a running router",
		Long: `Make a router that was started with "router up" read its file again and apply
what changed. Peers that stay as they are keep their sessions and lose no packet.
A file with a mistake changes nothing; the mistakes are printed.

NAME is the interface, or the path of a control socket; it may be left out when
one router is running.`,
		Example: `  router reload
  router reload wg0`,
		Args: argCount(0, 1, "at most one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := a.oneRouter(dir, args)
			if err != nil {
				return err
			}
			return reload(dir, name)
		},
		ValidArgsFunction: completeRunning(&dir),
	}
	socketDirFlag(cmd, &dir)
	return cmd
}

func reload(dir, name string) error {
	c, err := connect(dir, name, reloadTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Reload()
	if errors.Is(err, errors.ErrUnsupported) {
		return &exitError{code: exitRuntime, err: err, hint: fmt.Sprintf("for other programs: wg syncconf %s <(wg-quick strip %s)", name, name)}
	}
	return err
}
