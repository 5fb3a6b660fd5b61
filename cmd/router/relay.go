// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// A relayOptions has the flags of "router relay".
type relayOptions struct {
	level, format choice
	check         bool
	socketDir     string
}

func (a *app) relayCommand() *cobra.Command {
	o := &relayOptions{
		level:  choice{values: []string{"debug", "info", "warn", "error"}},
		format: choice{values: []string{"text", "json"}},
	}
	cmd := &cobra.Command{
		Use:   "relay FILE|NAME",
		Short: "Run only the relay of a configuration, without a tunnel",
		Long: `Run the relay that [RelayServer] of a configuration describes, in the foreground
until SIGINT or SIGTERM, and no tunnel. It forwards for routers that cannot reach
each other directly, cannot read what it forwards, and needs no privilege. "router
up" runs the relay beside the tunnel. NAME is short for /etc/wireguard/NAME.conf.

Of [Interface] it needs PrivateKey; the routers that use the relay have its public
key, and where it listens, in a [Relay] section. SIGHUP, or "router reload", applies
changed AllowedKeys, also those that come of changed [Peer] sections.

Metrics, and the other keys about them in [Router], show the relay over HTTP. It has
a control socket, for "router status", "router top" and others, where there is
--socket-dir or [Router] ControlSocket, or where it may make the usual one.`,
		Example: `  router relay ./relay.conf
  router relay --check ./relay.conf`,
		Args:              argCount(1, 1, "one FILE or NAME"),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.relay(cmd, args[0], o) },
		ValidArgsFunction: completeConfig,
	}
	f := cmd.Flags()
	f.BoolVar(&o.check, "check", false, "say what would run, and end")
	f.StringVar(&o.socketDir, "socket-dir", "", "`DIR` of the control socket NAME.sock (default \""+uapi.DefaultDirectory+"\")")
	f.Var(&o.level, "log-level", "what is logged, in place of [Router] LogLevel (default info)")
	f.Var(&o.format, "log-format", "form of the log on stderr, in place of [Router] LogFormat (default text)")
	completeChoice(cmd, "log-level", &o.level)
	completeChoice(cmd, "log-format", &o.format)
	return cmd
}

func (a *app) relay(cmd *cobra.Command, nameOrPath string, o *relayOptions) error {
	ctx, stop := withSignals(cmd.Context())
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	up := upOptions{socketDir: o.socketDir}
	if err := up.absolute(); err != nil {
		return err
	}
	path, err := config.Find(nameOrPath)
	if err != nil {
		return configError(err)
	}
	logs, log := newLogging(a.err, a.env.journal)
	load := func() (*config.Config, error) {
		cfg, err := config.LoadWith(path, &config.LoadOptions{LookupEnv: a.lookup})
		if err != nil {
			return nil, err
		}
		up.override(cfg)
		logs.set(&cfg.Router, &o.level, &o.format)
		for _, w := range cfg.Warnings {
			if o.check {
				fmt.Fprintf(a.err, "%s (warning)\n", w)
			} else {
				log.Warn("doubtful configuration", "problem", w.String())
			}
		}
		return cfg, relayProblems(cfg, path)
	}
	cfg, err := load()
	if err != nil {
		return configError(err)
	}
	if o.check {
		var b strings.Builder
		fmt.Fprintf(&b, "%s is good. \"router relay\" would run:\n", path)
		describeRelayServer(&b, cfg)
		_, err := io.WriteString(a.out, b.String())
		return err
	}
	return a.runRelay(ctx, cfg, load, hangup, log)
}

// relayProblems says what a relay alone needs and the configuration does not have.
func relayProblems(cfg *config.Config, path string) error {
	e := new(config.Error)
	add := func(key, hint string) {
		e.Problems = append(e.Problems, config.Problem{File: path, Key: key, Message: "missing", Hint: hint})
	}
	if cfg.Interface.PrivateKey.IsZero() {
		add("PrivateKey", "write PrivateKey = KEY below [Interface]; a relay runs no hooks")
	}
	if cfg.RelayServer == nil {
		add("[RelayServer]", "write [RelayServer] and below it ListenPort = 3479")
	}
	if len(e.Problems) > 0 {
		return e
	}
	return nil
}

// runRelay runs the relay until ctx ends, and loads the file again for each SIGHUP.
func (a *app) runRelay(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), hangup <-chan os.Signal, log *slog.Logger) error {
	s := &supervisor{log: log}
	reload := make(chan *config.Config)
	done := make(chan error, 1)
	listening := make(chan string, 1)
	go func() {
		done <- engine.RunRelay(ctx, cfg, &engine.RelayOptions{
			Logger: log, Reload: reload, Load: load, ControlDir: uapi.DefaultDirectory,
			Version: shortVersion(), Describe: describeDevice,
			Ready: func(addrs []netip.AddrPort) { listening <- joinAddrs(addrs) },
		})
	}()
	status := ""
	for {
		select {
		case err := <-done:
			s.notify(daemon.SdNotifyStopping)
			return err
		case addrs := <-listening:
			status = "relay on UDP " + addrs
			s.notify(daemon.SdNotifyReady + "\nSTATUS=" + status)
			if _, err := fmt.Fprintf(a.out, "relay %s listens on %s\n", cfg.Interface.PrivateKey.Public(), addrs); err != nil {
				log.Warn("nobody reads what is printed", "err", err)
			}
		case <-hangup:
			s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
			said := status
			next, err := load()
			if err != nil {
				log.Error("configuration not reloaded", "err", err)
				said = "the configuration was not reloaded, see the log"
			} else {
				select {
				case reload <- next:
				case err := <-done:
					done <- err // for the loop
				}
			}
			s.notify(daemon.SdNotifyReady + "\nSTATUS=" + said)
		}
	}
}

// describeRelayServer prints what [RelayServer] would run.
func describeRelayServer(b *strings.Builder, cfg *config.Config) {
	line := func(label, format string, args ...any) {
		fmt.Fprintf(b, "  %-12s%s\n", label, fmt.Sprintf(format, args...))
	}
	s := cfg.RelayServer
	line("public key", "%s", cfg.Interface.PrivateKey.Public())
	line("UDP port", "%d", s.ListenPort)
	line("clients", "%d", len(s.AllowedKeys))
	line("sessions", "at most %d, %d for each client", cmp.Or(s.MaxSessions, 10000), cmp.Or(s.MaxSessionsPerClient, 256))
	if s.MaxRate > 0 {
		line("rate", "%s per second for each client", size(uint64(s.MaxRate)))
	}
	if m := cfg.Router.Metrics.Listen; m != "" {
		line("metrics", "at %s", m)
	}
}

// describeRelays prints what a router does about paths and relays.
func describeRelays(line func(label, format string, args ...any), cfg *config.Config) {
	if cfg.Router.Discovery == config.SwitchOff {
		line("discovery", "off: no direct paths are looked for, no relays used")
	} else {
		for _, r := range cfg.Relays {
			line("relay", "%s at %s", r.PublicKey, r.Endpoint)
		}
	}
	if s := cfg.RelayServer; s != nil {
		line("relaying", "on UDP port %d for %d routers", s.ListenPort, len(s.AllowedKeys))
	}
}
