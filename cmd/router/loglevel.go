// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/uapi"
)

// A logAnswer is what a router says of its log.
type logAnswer struct {
	Level string `json:"level"` // as [Router] LogLevel
}

func (a *app) logCommand() *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use:   "log NAME [[ROOM=]LEVEL]",
		Short: "Change what a running router logs",
		Long: `Change what a running router logs, until it reads its file again, and print what
that is then; without a level just print it.

LEVEL is debug, info, warn or error: of everything that has no level of its own.
ROOM=LEVEL is about a part of the router, and ROOM=default takes that back; several
are separated by commas. The rooms are
` + strings.Join(roomlog.Rooms(), ", ") + `.

NAME is the interface, or the path of a control socket.`,
		Example: `  router log wg0
  router log wg0 debug
  router log wg0 info,peers=debug,netstack=warn
  router log wg0 peers=default`,
		Args: argCount(1, 2, "a NAME, and a level behind it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var level []uapi.KeyValue
			if len(args) == 2 {
				if err := new(roomlog.Levels).Change(args[1]); err != nil {
					return usagef(cmd, "%w", err)
				}
				level = append(level, uapi.KeyValue{Key: "level", Value: args[1]})
			}
			return a.log(dir, args[0], level)
		},
		ValidArgsFunction: completeRunning(&dir),
	}
	socketDirFlag(cmd, &dir)
	return cmd
}

func (a *app) log(dir, name string, level []uapi.KeyValue) error {
	c, err := connect(dir, name, askTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	var answer logAnswer
	if err := askFor(c, "log", &answer, level...); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, answer.Level)
	return err
}
