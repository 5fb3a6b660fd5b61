// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/uapi"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE|NAME",
		Short: "Say what is wrong with a configuration, or what it would do",
		Long: `Read a configuration and print every mistake in it, with its line and what would
be right, or what "router up" would do with it. Nothing is changed, no name is
resolved. NAME is short for /etc/wireguard/NAME.conf.

The exit code is 0 for a good configuration, also with warnings, and 2 for one
with mistakes.`,
		Example: `  router check wg0
  router check ./wg0.conf && systemctl reload router@wg0`,
		Args:              argCount(1, 1, "one FILE or NAME"),
		RunE:              func(_ *cobra.Command, args []string) error { return a.check(args[0]) },
		ValidArgsFunction: completeConfig,
	}
}

func (a *app) check(nameOrPath string) error {
	path, err := config.Find(nameOrPath)
	if err != nil {
		return configError(err)
	}
	cfg, err := config.LoadWith(path, &config.LoadOptions{LookupEnv: a.lookup})
	if err != nil {
		return configError(err)
	}
	for _, w := range cfg.Warnings {
		if _, err := fmt.Fprintf(a.err, "%s (warning)\n", w); err != nil {
			return err
		}
	}
	var b strings.Builder
	describeConfig(&b, cfg, path)
	_, err = io.WriteString(a.out, b.String())
	return err
}

// describeConfig prints what "router up" would do.
func describeConfig(b *strings.Builder, cfg *config.Config, path string) {
	in := &cfg.Interface
	line := func(label, format string, args ...any) {
		fmt.Fprintf(b, "  %-12s%s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(b, "%s is good. \"router up\" would run:\n", path)
	line("interface", "%s, %s mode", cfg.Name, cfg.Router.Mode)
	if in.PrivateKey.IsZero() {
		line("public key", "known when a hook has set the private key")
	} else {
		line("public key", "%s", in.PrivateKey.Public())
	}
	if in.ListenPort != 0 {
		line("UDP port", "%d", in.ListenPort)
	} else {
		line("UDP port", "chosen by the system")
	}
	if in.FwMark != 0 {
		line("fwmark", "%#x", in.FwMark)
	}
	if len(in.Addresses) > 0 {
		line("addresses", "%s", join(in.Addresses))
	}
	if cfg.Router.Mode == config.ModeTUN {
		describeHost(line, cfg)
	} else {
		line("host", "not touched: no routes, DNS or hooks")
		describeProxy(line, cfg)
	}
	switch socket := cfg.Router.ControlSocket; socket {
	case "":
		line("control", "%s", filepath.Join(uapi.DefaultDirectory, cfg.Name+".sock"))
	default:
		line("control", "%s", socket)
	}
	if x := cfg.Router.XDP; x.On {
		line("XDP", "%s, past the kernel's sockets where that can be done", x)
	}
	switch cfg.Router.PeerForwarding {
	case config.ForwardingOn:
		line("forwarding", "from peer to peer inside the router, past the host's firewall")
	case config.ForwardingIsolated:
		line("forwarding", "none from peer to peer")
	}
	if n := len(cfg.Filter.Rules); n > 0 {
		line("filter", "%d rules; what none of them allows is dropped", n)
	}
	describeRelays(line, cfg)
	line("peers", "%d", len(cfg.Peers))
	for i := range cfg.Peers {
		describePeer(b, &cfg.Peers[i])
	}
}

// describeProxy prints what is offered in netstack mode.
func describeProxy(line func(label, format string, args ...any), cfg *config.Config) {
	p := &cfg.Proxy
	if len(cfg.Interface.DNS) > 0 {
		line("names", "asked of %s through the tunnel", join(cfg.Interface.DNS))
	} else {
		line("names", "not resolved: no DNS in [Interface]")
	}
	for _, s := range p.SOCKS5 {
		line("socks5", "%s%s", s.BindAddress, login(s.Username))
	}
	for _, s := range p.HTTP {
		line("http", "%s%s", s.BindAddress, login(s.Username))
	}
	for _, s := range p.TCPClient {
		line("tcp", "%s here to %s in the tunnel", s.BindAddress, s.Target)
	}
	for _, s := range p.TCPServer {
		line("tcp", "%s in the tunnel to %s here", s.BindAddress, s.Target)
	}
	for _, s := range p.UDPClient {
		line("udp", "%s here to %s in the tunnel", s.BindAddress, s.Target)
	}
	for _, s := range p.UDPServer {
		line("udp", "%s in the tunnel to %s here", s.BindAddress, s.Target)
	}
	if p.STDIO != nil {
		line("stdio", "standard input and output to %s in the tunnel", p.STDIO.Target)
	}
	switch s := &cfg.Router.SubnetRouter; {
	case s.Any && len(s.Prefixes) > 0:
		line("subnets", "peers reach everything that is not special, and %s", join(s.Prefixes))
	case s.Any:
		line("subnets", "peers reach everything but this host and special addresses")
	case s.On():
		line("subnets", "peers reach %s", join(s.Prefixes))
	}
}

func login(username string) string {
	if username == "" {
		return ", without password"
	}
	return ", with password"
}

// describeHost prints what changes on the host around a kernel TUN.
func describeHost(line func(label, format string, args ...any), cfg *config.Config) {
	in := &cfg.Interface
	if in.MTU != 0 {
		line("MTU", "%d", in.MTU)
	} else {
		line("MTU", "that of the routes to the endpoints, less 80")
	}
	routes, defaults := 0, 0
	for _, p := range cfg.Peers {
		for _, ip := range p.AllowedIPs {
			routes++
			if ip.Bits() == 0 {
				defaults++
			}
		}
	}
	switch {
	case in.Table.Mode == config.TableOff:
		line("routes", "none, Table = off")
	case in.Table.Mode == config.TableID:
		line("routes", "%d in table %s", routes, in.Table)
	case defaults > 0:
		line("routes", "%d, all other traffic of the host too (%d default)", routes, defaults)
	default:
		line("routes", "%d", routes)
	}
	if len(in.DNS) > 0 {
		line("DNS", "%s", join(in.DNS))
	}
	if len(in.DNSSearch) > 0 {
		line("DNS search", "%s", strings.Join(in.DNSSearch, ", "))
	}
	for _, hooks := range []struct {
		label string
		text  []string
	}{{"PreUp", in.PreUp}, {"PostUp", in.PostUp}, {"PreDown", in.PreDown}, {"PostDown", in.PostDown}} {
		for _, h := range hooks.text {
			line(hooks.label, "%s", strings.ReplaceAll(h, "%i", cfg.Name))
		}
	}
	if in.SaveConfig {
		line("at the end", "the running configuration replaces the file")
	}
}

func describePeer(b *strings.Builder, p *config.Peer) {
	where := "speaks first"
	if !p.Endpoint.IsZero() {
		where = "at " + p.Endpoint.String()
	}
	if p.Name != "" {
		where = p.Name + " " + where
	}
	if !p.PresharedKey.IsZero() {
		where += ", preshared key"
	}
	if p.PersistentKeepalive != 0 {
		where += fmt.Sprintf(", keepalive every %d s", p.PersistentKeepalive)
	}
	ips := "no allowed IPs"
	if len(p.AllowedIPs) > 0 {
		ips = join(p.AllowedIPs)
	}
	fmt.Fprintf(b, "    %s %s: %s\n", p.PublicKey, where, ips)
}

func join[T netip.Prefix | netip.Addr](list []T) string {
	var text []string
	for _, v := range list {
		text = append(text, fmt.Sprint(v))
	}
	return strings.Join(text, ", ")
}
