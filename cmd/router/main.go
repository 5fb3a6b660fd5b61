// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/internal/sandbox"
)

func main() {
	if sandbox.IsChild(os.Args) {
		os.Exit(sandbox.Child(os.Args, os.Environ(), os.Stderr))
	}
	os.Exit(run(&app{
		args: os.Args, in: os.Stdin, out: os.Stdout, err: os.Stderr,
		env: readEnvironment(os.LookupEnv), lookup: os.LookupEnv,
	}))
}

// An app is one call of the program: what it was given by the system.
type app struct {
	args     []string // with the program's name
	in       io.Reader
	out, err io.Writer
	env      environment
	lookup   func(string) (string, bool) // of the environment, for configurations
	started  bool                        // the arguments were right and a command has begun
}

// run carries out the command and returns the exit code.
func run(a *app) int {
	root := a.rootCommand()
	if strings.TrimSuffix(filepath.Base(a.args[0]), ".exe") == wireguardGo {
		// Under this name everything is an interface name.
		root = a.wireguardCommand()
	}
	root.SetArgs(a.args[1:])
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(context.Background())
	if err != nil && !a.started {
		err = asUsage(root, err)
	}
	if cmd.Parent() == root && cmd.Name() == execName {
		err = execFailure(err)
	}
	return a.report(err)
}

// rootCommand is the command line.
func (a *app) rootCommand() *cobra.Command {
	foreground := false
	root := &cobra.Command{
		Use:   "router [-f] NAME",
		Short: "A WireGuard-compatible tunnel router in user space",
		Long: `A WireGuard-compatible tunnel router in user space.

  router up wg0        run /etc/wireguard/wg0.conf in the foreground
  router exec wg0 -- curl https://example.com
                       run a command through the tunnel; no root
  router status        what runs, like "wg show"
  router demo          two routers and traffic between them; no root, no file

"router [-f] NAME" without a command takes the place of "wireguard-go NAME":
it makes the interface NAME, to be configured with wg(8) and ip(8) or by
wg-quick(8) with WG_QUICK_USERSPACE_IMPLEMENTATION=router, and goes to the
background. It ends when the interface or its control socket is deleted. A NAME
that is, or resembles, a command is written behind "--".`,
		Example: `  router check ./wg0.conf
  router up wg0
  WG_QUICK_USERSPACE_IMPLEMENTATION=router wg-quick up wg0
  router -f -- status        # an interface called "status"`,
		Version: version(),
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "no command and no interface name")
			}
			if err := notACommand(cmd, args); err != nil {
				return err
			}
			return a.wireguard(cmd, args, foreground)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	foregroundFlag(root, &foreground)
	a.common(root)
	root.AddCommand(
		a.upCommand(), a.execCommand(), a.checkCommand(), a.statusCommand(), a.topCommand(), a.reloadCommand(), a.logCommand(),
		a.pingCommand(), a.netcheckCommand(), a.xdpCommand(), a.captureCommand(), a.relayCommand(),
		a.genkeyCommand(), a.pubkeyCommand(), a.genpskCommand(), a.demoCommand(), a.versionCommand(),
	)
	root.SetHelpCommand(helpCommand(root))
	completionCommand(root)
	return root
}

// common sets what holds for a command and all below it: errors are printed in
// one place, without usage, and wrong flags are usage errors.
func (a *app) common(cmd *cobra.Command) {
	cmd.SilenceErrors = true
	cmd.SilenceUsage = true
	cmd.DisableFlagsInUseLine = true
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usagef(cmd, "%w", err) })
	cmd.PersistentPreRun = func(*cobra.Command, []string) { a.started = true }
}
