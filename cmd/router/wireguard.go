// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/uapi"
)

// wireguardGo is the program whose contract this file keeps
// (https://www.wireguard.com/xplatform/): wg-quick calls it with an interface
// name and then configures what it made with wg and ip.
const wireguardGo = "wireguard-go"

// wireguardCommand is the whole command line when the program is called
// wireguard-go.
func (a *app) wireguardCommand() *cobra.Command {
	foreground := false
	cmd := &cobra.Command{
		Use:   wireguardGo + " [-f] NAME",
		Short: "Make the WireGuard interface NAME",
		Long: `Make the WireGuard interface NAME and go to the background. It ends when the
interface or its control socket is deleted. This is the program "router", which
can do more under its own name.`,
		Version: version(),
		Args:    argCount(1, 1, "one interface name"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.wireguard(cmd, args, foreground) },
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	foregroundFlag(cmd, &foreground)
	a.common(cmd)
	return cmd
}

func foregroundFlag(cmd *cobra.Command, foreground *bool) {
	cmd.Flags().BoolVarP(foreground, "foreground", "f", false, "stay in the foreground (only with NAME)")
}

// wireguard makes the interface args[0] and runs it, in a child of its own
// unless in the foreground.
func (a *app) wireguard(cmd *cobra.Command, args []string, foreground bool) error {
	if foreground || a.env.foreground {
		return a.wireguardForeground(cmd, args[0])
	}
	return a.daemonize(cmd.Context())
}

func (a *app) wireguardForeground(cmd *cobra.Command, name string) error {
	level, enabled := a.env.contractLevel()
	log := slog.New(slog.DiscardHandler)
	if enabled {
		var logs *logging
		logs, log = newLogging(a.err, a.env.journal)
		logs.levels.Set(roomlog.Setting{Level: level})
	}
	log = log.With("name", name)
	ctx, stop := withSignals(cmd.Context())
	defer stop()

	o := &engine.Options{Logger: log}
	var err error
	if a.env.tunFD != "" {
		if o.Device, err = a.passedDevice(log); err != nil {
			return err
		}
		if real, err := o.Device.Name(); err == nil {
			name = real
		}
	}
	if a.env.uapiFD != "" {
		if o.Control, err = a.passedSocket(uapi.SocketPath(name), log); err != nil {
			if o.Device != nil {
				err = errors.Join(err, o.Device.Close())
			}
			return err
		}
	}
	// Whoever put it in the place of wireguard-go gets what wireguard-go does.
	cfg := &config.Config{Name: name, Router: config.Router{Discovery: config.SwitchOff}}
	e, err := engine.New(cfg, o)
	if err != nil {
		return startError(err)
	}
	if err := a.tellReady(); err != nil {
		log.Warn("nobody waits for the router to be ready", "err", err)
	}
	return supervise(ctx, e, nil, log)
}

// passedDevice is the TUN of WG_TUN_FD.
func (a *app) passedDevice(log *slog.Logger) (tun.Device, error) {
	list, err := files(envTunFD, a.env.tunFD)
	if err != nil {
		return nil, err
	}
	dev, err := tunwrap.FromFiles(list, &tunwrap.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", envTunFD, err)
	}
	return dev, nil
}

// passedSocket is the listening socket of WG_UAPI_FD. Its file, if it has one
// in the usual place, is watched.
func (a *app) passedSocket(path string, log *slog.Logger) (*uapi.Server, error) {
	list, err := files(envUAPIFD, a.env.uapiFD)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		closeAll(list)
		return nil, fmt.Errorf("%s=%q: want one descriptor number", envUAPIFD, a.env.uapiFD)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		path = ""
	}
	s, err := uapi.FromFile(list[0], path, &uapi.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("use %s: %w", envUAPIFD, err)
	}
	return s, nil
}
