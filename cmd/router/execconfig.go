// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/sandbox"
)

// forCommand changes cfg to what it means for a command, and logs what is left out.
func forCommand(cfg *config.Config, log *slog.Logger) {
	if ignored := cfg.Interface.HostKeys(); len(ignored) > 0 {
		log.Warn("keys that configure the host mean nothing for a command", "ignored", strings.Join(ignored, ", "))
	}
	if !cfg.Proxy.Empty() {
		log.Warn("proxies and forwards of the file are left out: the command's own connections go through the tunnel")
		cfg.Proxy = config.Proxy{}
	}
	if cfg.RelayServer != nil {
		log.Warn("the relay of the file is left out: it is not for the time of a command")
		cfg.RelayServer = nil
	}
	cfg.Router.Mode = config.ModeTUN
}

// network sets what is around the command.
func network(o *sandbox.Options, cfg *config.Config, log *slog.Logger) {
	in := &cfg.Interface
	o.FwMark = in.FwMark
	o.Network = sandbox.Network{
		Interface:  cfg.Name,
		Addresses:  in.Addresses,
		MTU:        in.MTU,
		Queues:     cfg.Router.Queues,
		TxQueueLen: cfg.Router.TxQueueLength,
		DNS:        in.DNS,
		DNSSearch:  in.DNSSearch,
	}
	for i := range cfg.Peers {
		p := &cfg.Peers[i]
		o.Routes = append(o.Routes, p.AllowedIPs...)
		if addr, ok := p.Endpoint.AddrPort(); ok {
			o.Endpoints = append(o.Endpoints, addr.Addr())
		}
	}
	for _, server := range in.DNS {
		reached := func(p netip.Prefix) bool { return p.Contains(server) }
		if !slices.ContainsFunc(o.Routes, reached) && !slices.ContainsFunc(o.Addresses, reached) {
			log.Warn("a name server is out of the command's reach: no peer has it in AllowedIPs", "server", server)
		}
	}
}
