// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/sandbox"
)

// execName is the command whose exit code is another program's.
const execName = "exec"

// An execOptions has the flags of "router exec".
type execOptions struct {
	level, format choice
	socketDir     string
}

func (a *app) execCommand() *cobra.Command {
	o := &execOptions{
		level:  choice{value: "warn", values: []string{"debug", "info", "warn", "error"}},
		format: choice{values: []string{"text", "json"}},
	}
	cmd := &cobra.Command{
		Use:   execName + " FILE|NAME -- COMMAND [ARGUMENT]...",
		Short: "Run a command whose network is the tunnel and nothing else",
		Long: `Run a command whose network is the tunnel and nothing else, for as long as the
command runs. It needs no privilege: the command is in namespaces of its own, as
the same user, and all protocols and ping work. NAME is short for
/etc/wireguard/NAME.conf.

The command sees loopback and the tunnel interface, with the addresses, the MTU
and routes for the AllowedIPs of the file; without a default route among them it
reaches nothing else. Names are resolved by the DNS servers of the file. Sockets
by which the host would resolve names are hidden, also without DNS in the file:
those of systemd-resolved, nscd, avahi, and the system's D-Bus. Other sockets
with a path in the file system are not. Groups other than the user's own show as
nogroup, and setuid programs such as sudo do not work. Root with CAP_SYS_ADMIN
stays root, in network and mount namespaces only.

The encrypted packets leave through the host's network. Hooks, Table and
SaveConfig do nothing, Mode does not count, and there are no proxies. There is no
control socket unless [Router] ControlSocket or --socket-dir says where.

Standard input, output and error, the environment and the directory are the
command's. ^C is for the command; SIGTERM and SIGHUP are passed on to it. If the
router is killed, so is the command.

The exit code is that of the command, 128+N if signal N ended it, 127 if there is
no such command, 126 if it cannot be executed, and 125 if something else fails.`,
		Example: `  router exec wg0 -- curl https://example.com
  router exec ./wg0.conf -- bash
  router exec --log-level info wg0 -- ping -c 1 10.0.0.1`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return usagef(cmd, `%s takes one FILE or NAME, then "--" and a command`, cmd.CommandPath())
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, args []string) error { return a.exec(args[0], args[1:], o) },
		ValidArgsFunction: completeConfig,
	}
	f := cmd.Flags()
	f.Var(&o.level, "log-level", "what is logged, in place of [Router] LogLevel")
	f.Var(&o.format, "log-format", "form of the log on stderr, in place of [Router] LogFormat (default text)")
	f.StringVar(&o.socketDir, "socket-dir", "", "`DIR` of a control socket NAME.sock (default none)")
	completeChoice(cmd, "log-level", &o.level)
	completeChoice(cmd, "log-format", &o.format)
	return cmd
}

// execFailure gives an error of "router exec" itself the exit code that tells it from
// those of the command.
func execFailure(err error) error {
	if _, ok := errors.AsType[*sandbox.StatusError](err); ok || err == nil {
		return err
	}
	out := &exitError{code: exitExec, err: err}
	if e, ok := errors.AsType[*exitError](err); ok {
		out.hint = e.hint
	} else if e, ok := errors.AsType[*sandbox.Error](err); ok {
		out.hint = e.Remedy
	}
	return out
}

func (a *app) exec(nameOrPath string, command []string, o *execOptions) error {
	signals, stop := execSignals() // first, so that ^C is never for this process
	defer stop()
	path, err := config.Find(nameOrPath)
	if err != nil {
		return err
	}
	cfg, err := config.LoadWith(path, &config.LoadOptions{LookupEnv: a.lookup})
	if err != nil {
		return err
	}
	logs, log := newLogging(a.err, a.env.journal)
	logs.set(&cfg.Router, &o.level, &o.format)
	for _, w := range cfg.Warnings {
		log.Warn("doubtful configuration", "problem", w.String())
	}
	forCommand(cfg, log)
	if o.socketDir != "" && cfg.Router.ControlSocket == "" {
		if o.socketDir, err = filepath.Abs(o.socketDir); err != nil {
			return err
		}
		cfg.Router.ControlSocket = socketPath(o.socketDir, cfg.Name)
	}
	inside := &sandbox.Options{
		Logger:  log,
		Program: a.args[0],
		Command: command,
		Files:   [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
		Signals: signals,
	}
	network(inside, cfg, log)
	box, err := sandbox.Start(inside)
	if err != nil {
		return err
	}
	defer box.Close()
	e, err := startInside(cfg, box, log)
	if err != nil {
		return err
	}
	return runCommand(box, e, log)
}

// startInside starts a router on the TUN in the sandbox.
func startInside(cfg *config.Config, box *sandbox.Sandbox, log *slog.Logger) (*engine.Engine, error) {
	dev, err := box.Device()
	if err != nil {
		return nil, err
	}
	e, err := engine.New(cfg, &engine.Options{
		Version: shortVersion(), Describe: describeDevice,
		Logger: log, Device: dev, Elsewhere: true, NoControl: cfg.Router.ControlSocket == "",
	})
	if err != nil {
		return nil, startError(err)
	}
	return e, nil
}

// runCommand has the router run as long as the command does, and ends the command if
// the router ends first.
func runCommand(box *sandbox.Sandbox, e *engine.Engine, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	routed := make(chan error, 1)
	go func() { routed <- e.Run(ctx) }()
	if err := box.Exec(); err != nil {
		cancel()
		return errors.Join(err, <-routed)
	}
	select {
	case <-box.Done():
		cancel()
		if err := <-routed; err != nil {
			log.Error("the router did not end well", "err", err)
		}
	case err := <-routed:
		log.Error("the tunnel has ended: the command has no network any more and is asked to end", "err", err)
		_ = box.Signal(syscall.SIGTERM) // ended meanwhile
	}
	return box.Wait()
}
