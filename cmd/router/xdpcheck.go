// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/batching/xdp/check"
)

// xdpCommand is the home of commands about AF_XDP.
func (a *app) xdpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "xdp",
		Short:   "Say whether packets can go past the kernel's sockets (AF_XDP)",
		Long:    `Say whether packets can go past the kernel's UDP sockets, for the key XDP of [Router].`,
		Example: `  router xdp check auto`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "name a command: check")
			}
			if name := resembling(cmd, args[0]); name != "" {
				return usagef(cmd, "%q is not a command; did you mean %q?", args[0], name)
			}
			return usagef(cmd, "%q is not a command", args[0])
		},
	}
	cmd.AddCommand(a.xdpCheckCommand())
	return cmd
}

func (a *app) xdpCheckCommand() *cobra.Command {
	var o check.Options
	asJSON := false
	cmd := &cobra.Command{
		Use:   "check IFACE[:QUEUES]|auto[:QUEUES]",
		Short: "Say what XDP would do on an interface, and what is in the way",
		Long: `Say what a router with this value of the key XDP would do: which interface and
queues it would use, how, and what is in the way, with what helps. "auto" is the
interface of the default route, and QUEUES is how many queues are used at most.

Without --try nothing is touched: the kernel and the driver are asked, and the
driver may still refuse. With --try the program is attached for a moment and
sockets are opened on the first queue, as the router would do, and taken away
again; nothing is redirected. A physical network device may reset its queues or
its link meanwhile, for seconds, with all its traffic, this shell's too.

It looks with its own privileges and limits, which a service may not have.

The exit code is 0 if the router would use XDP, or if only --try would tell, and
1 if it would stay with the kernel's sockets.`,
		Example: `  router xdp check auto
  router xdp check eth0:4 --json
  router xdp check eth1 --try`,
		Args: argCount(1, 1, "one IFACE, or auto"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := parseXDP(cmd, args[0], &o); err != nil {
				return err
			}
			return a.xdpCheck(args[0], &o, asJSON)
		},
		ValidArgsFunction: completeInterface,
	}
	cmd.Flags().BoolVar(&o.Try, "try", false, "attach the program for a moment and see")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// xdpAuto stands for the interface of the default route.
const xdpAuto = "auto"

// parseXDP reads an interface as the key XDP of a configuration has it.
func parseXDP(cmd *cobra.Command, text string, o *check.Options) error {
	name, number, numbered := strings.Cut(text, ":")
	if name == "" {
		return usagef(cmd, "%q is not an interface", text)
	}
	if numbered {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > check.MaxQueues {
			return usagef(cmd, "%q is not a number of queues, 1 to %d", number, check.MaxQueues)
		}
		o.Queues = n
	}
	if o.Interface = name; strings.EqualFold(name, xdpAuto) {
		o.Interface = ""
	}
	return nil
}

func (a *app) xdpCheck(asked string, o *check.Options, asJSON bool) error {
	r, err := check.Run(o)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "\t")
		err = e.Encode(r)
	} else {
		var b strings.Builder
		writeXDPReport(&b, asked, r)
		_, err = io.WriteString(a.out, b.String())
	}
	if err == nil && r.Verdict == check.Kernel {
		err = &exitError{code: exitRuntime, err: fmt.Errorf("no XDP on %s", asked)}
	}
	return err
}

// writeXDPReport prints a report in plain words, the remedies under what they help.
func writeXDPReport(b *strings.Builder, asked string, r *check.Report) {
	name := r.Interface
	if name == "" {
		name = asked
	}
	fmt.Fprintf(b, "interface: %s\n", name)
	if r.Driver != "" {
		fmt.Fprintf(b, "  driver: %s\n", r.Driver)
	}
	if r.Available > 0 {
		fmt.Fprintf(b, "  queues: %d of %d\n", r.Queues, r.Available)
	}
	for _, f := range r.Findings {
		const columns = "  %-7s %-10s %s\n"
		fmt.Fprintf(b, columns, f.Level, f.About, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(b, columns, "", "", "what helps: "+f.Remedy)
		}
	}
	fmt.Fprintf(b, "verdict: %s", r)
	switch {
	case r.Verdict == check.Unknown:
		b.WriteString("; --try would tell")
	case r.Verdict != check.Kernel && !r.Tried:
		b.WriteString(", as the driver says of itself; --try would tell")
	}
	b.WriteByte('\n')
}

// completeInterface completes the interfaces of the host.
func completeInterface(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := []string{xdpAuto}
	list, _ := net.Interfaces() // without them auto is left
	for _, i := range list {
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
