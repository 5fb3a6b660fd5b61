// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/uapi"
)

// A statusOptions has the flags of "router status".
type statusOptions struct {
	json, keys, paths bool
	dir               string
}

func (a *app) statusCommand() *cobra.Command {
	o := new(statusOptions)
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show running routers",
		Long: `Show a running router, or all of them: their UDP sockets, and addresses, handshakes
and traffic of their peers, the most recently heard first, and for peers that are
routers the path in use: direct, or over a relay. Other userspace WireGuard
programs are shown too.

NAME is the interface, or the path of a control socket. The form of --json is
that of the wg-json script of wireguard-tools, with sockets, paths and more; what
is zero or unknown is left out.`,
		Example: `  router status
  router status wg0 --paths
  router status wg0 --json | jq '.wg0.peers | keys'`,
		Args:              argCount(0, 1, "at most one NAME"),
		RunE:              func(_ *cobra.Command, args []string) error { return a.status(args, o) },
		ValidArgsFunction: completeRunning(&o.dir),
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.paths, "paths", false, "print all paths to each peer, the one in use with a *")
	f.BoolVar(&o.keys, "show-keys", false, "print private and preshared keys too")
	socketDirFlag(cmd, &o.dir)
	return cmd
}

func (a *app) status(args []string, o *statusOptions) error {
	names, err := args, error(nil)
	if len(args) == 0 {
		names, err = running(o.dir)
		if err == nil && len(names) == 0 && !o.json {
			_, err = fmt.Fprintf(a.err, "no router is running in %s\n", o.dir)
			return err
		}
	}
	// With several routers, one that cannot be asked does not hide the others.
	devices := make(map[string]*uapi.Device)
	errs := []error{err}
	for _, name := range names {
		d, err := ask(o.dir, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		devices[interfaceName(name)] = d
	}
	if len(args) == 0 || len(devices) > 0 {
		errs = append(errs, a.print(devices, o))
	}
	return errors.Join(errs...)
}

func (a *app) print(devices map[string]*uapi.Device, o *statusOptions) error {
	if o.json {
		return writeJSON(a.out, devices, o.keys)
	}
	var b strings.Builder
	writeText(&b, devices, o, time.Now())
	_, err := io.WriteString(a.out, b.String())
	return err
}

func ask(dir, name string) (*uapi.Device, error) {
	c, err := connect(dir, name, statusTimeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	d, err := c.Get()
	if err != nil {
		return nil, fmt.Errorf("status of %s: %w", name, err)
	}
	slices.SortStableFunc(d.Peers, func(x, y uapi.Peer) int { return y.LastHandshake.Compare(x.LastHandshake) })
	return d, nil
}

// interfaceName is the name for a socket that was given by its path.
func interfaceName(nameOrPath string) string {
	base := nameOrPath[strings.LastIndexByte(nameOrPath, '/')+1:]
	if base == nameOrPath {
		return base
	}
	return strings.TrimSuffix(base, ".sock")
}

// publicKey is the public key of a device, "" if it has no key.
func publicKey(d *uapi.Device) string {
	if d.PrivateKey == (uapi.Key{}) {
		return ""
	}
	return config.Key(d.PrivateKey).Public().String()
}
