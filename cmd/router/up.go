// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// An upOptions has the flags of "router up".
type upOptions struct {
	mode, level, format choice
	socketDir           string
}

func (a *app) upCommand() *cobra.Command {
	o := &upOptions{
		mode:   choice{values: []string{"tun", "netstack"}},
		level:  choice{values: []string{"debug", "info", "warn", "error"}},
		format: choice{values: []string{"text", "json"}},
	}
	cmd := &cobra.Command{
		Use:   "up FILE|NAME",
		Short: "Run a configuration in the foreground",
		Long: `Run a configuration in the foreground until SIGINT, SIGTERM, or until the
interface or the control socket is deleted. NAME is short for
/etc/wireguard/NAME.conf.

In tun mode it does what "wg-quick up" does: addresses, MTU, routes, DNS, hooks,
and takes all of it back at the end; this needs CAP_NET_ADMIN. In netstack mode
it needs no privilege and does not touch the host: it offers the tunnel by
SOCKS5, HTTP and port forwards, or the host's network to the tunnel. A file with
such sections is in netstack mode by itself.

SIGHUP, or "router reload", applies a changed file: peers that stay as they are
keep their sessions.`,
		Example: `  router up wg0
  router up --log-level debug ./wg0.conf
  router up --mode netstack --socket-dir ~/run ./wg0.conf`,
		Args:              argCount(1, 1, "one FILE or NAME"),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.up(cmd, args[0], o) },
		ValidArgsFunction: completeConfig,
	}
	f := cmd.Flags()
	f.Var(&o.mode, "mode", "where the host's packets come from, in place of [Router] Mode")
	f.Var(&o.level, "log-level", "what is logged, in place of [Router] LogLevel (default info)")
	f.Var(&o.format, "log-format", "form of the log on stderr, in place of [Router] LogFormat (default text)")
	f.StringVar(&o.socketDir, "socket-dir", "", "`DIR` of the control socket NAME.sock (default \""+uapi.DefaultDirectory+"\")")
	for _, flag := range []struct {
		name string
		c    *choice
	}{{"mode", &o.mode}, {"log-level", &o.level}, {"log-format", &o.format}} {
		completeChoice(cmd, flag.name, flag.c)
	}
	return cmd
}

func (a *app) up(cmd *cobra.Command, nameOrPath string, o *upOptions) error {
	// Before anything else, so that no signal leaves something behind.
	ctx, stop := withSignals(cmd.Context())
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	if err := o.absolute(); err != nil {
		return err
	}
	path, err := config.Find(nameOrPath)
	if err != nil {
		return configError(err)
	}
	logs, log := newLogging(a.err, a.env.journal)
	load := func() (*config.Config, error) {
		cfg, err := config.LoadWith(path, o.load(a.lookup))
		if err != nil {
			return nil, err
		}
		o.override(cfg)
		logs.set(&cfg.Router, &o.level, &o.format)
		for _, w := range cfg.Warnings {
			log.Warn("doubtful configuration", "problem", w.String())
		}
		return cfg, nil
	}
	cfg, err := load()
	if err != nil {
		return configError(err)
	}
	engine.RedirectStackLog(log)
	e, err := engine.New(cfg, &engine.Options{
		Version: shortVersion(), Describe: describeDevice,
		Logger:      log,
		HostNetwork: cfg.Router.Mode == config.ModeTUN,
		HookOutput:  a.err,
		Stdin:       a.in,
		Stdout:      a.out,
		Load:        load,
	})
	if err != nil {
		return startError(err)
	}
	return supervise(ctx, e, hangup, log)
}

// absolute makes the paths of flags as good as those of the file.
func (o *upOptions) absolute() error {
	if o.socketDir == "" {
		return nil
	}
	dir, err := filepath.Abs(o.socketDir)
	o.socketDir = dir
	return err
}

// load is how the file is read.
func (o *upOptions) load(lookup func(string) (string, bool)) *config.LoadOptions {
	load := &config.LoadOptions{LookupEnv: lookup}
	for _, mode := range []config.Mode{config.ModeTUN, config.ModeNetstack} {
		if o.mode.value == mode.String() {
			load.Mode = &mode
		}
	}
	return load
}

// override puts other flags in the place of what the file says.
func (o *upOptions) override(cfg *config.Config) {
	if o.socketDir != "" && cfg.Router.ControlSocket == "" {
		cfg.Router.ControlSocket = socketPath(o.socketDir, cfg.Name)
	}
}
