// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"log/slog"
)

// A Config is one configuration file. Slices that the file left empty are nil.
type Config struct {
	// Name is the interface name, taken from the name of the file; empty for a
	// Config that [Parse] read.
	Name string
	// Path is the file that [Load] read, symbolic links resolved; otherwise empty.
	Path string

	// Interface, Peers, Router, Filter and Proxy are sections of the file. Peers are
	// in the order of the file, each public key once.
	Interface Interface
	Peers     []Peer
	Router    Router
	Filter    Filter
	Proxy     Proxy
	// Relays are those that this router may use, in the order of the file, each public
	// key once and at most 8; RelayServer is what it offers itself, nil is nothing.
	Relays      []Relay
	RelayServer *RelayServer

	// Warnings are what the file may not mean, in the order of its lines. They
	// are no part of the configuration: [Diff] and [Config.WriteTo] ignore them.
	Warnings []Problem
}

// hidden stands for a key wherever a value is formatted for a log.
const hidden = "(hidden)"

// LogValue returns a short description without private or preshared keys, so
// that a Config may be logged.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("name", c.Name),
		slog.Any("interface", c.Interface.LogValue()),
		slog.Int("peers", len(c.Peers)),
		slog.String("mode", c.Router.Mode.String()),
		slog.Int("proxies", len(c.Proxy.services())),
		slog.Int("relays", len(c.Relays)),
		slog.Bool("relay_server", c.RelayServer != nil),
	)
}

// LogValue returns the fields without the private key.
func (i Interface) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("private_key", hidden),
		slog.Int("listen_port", int(i.ListenPort)),
		slog.Any("addresses", i.Addresses),
		slog.Int("mtu", i.MTU),
	)
}

// Format writes the fields without the private key, whatever the verb, so that
// printing an Interface or what contains one does not print the key.
func (i Interface) Format(s fmt.State, _ rune) { fmt.Fprint(s, i.LogValue()) }

// LogValue returns the fields without the preshared key.
func (p Peer) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("name", p.Name),
		slog.String("public_key", p.PublicKey.String()),
		slog.String("endpoint", p.Endpoint.String()),
		slog.Any("allowed_ips", p.AllowedIPs),
		slog.Int("persistent_keepalive", int(p.PersistentKeepalive)),
	)
}

// Format writes the fields without the preshared key, whatever the verb.
func (p Peer) Format(s fmt.State, _ rune) { fmt.Fprint(s, p.LogValue()) }
