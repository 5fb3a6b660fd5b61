// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"log/slog"
	"slices"
)

// Changes is what a reload has to do to get from one Config to another. It does
// not say anything about names, paths, warnings, lines and the order of peers.
type Changes struct {
	Added, Removed []Peer       // in the order of the Config that has them
	Changed        []PeerChange // in the order of the new Config
	Interface      InterfaceChanges
	Router         RouterChanges
	// Filter says that names or rules differ. Rules in another order are different,
	// their text does not count.
	Filter bool
	// Proxy says which sections of [Proxy] differ.
	Proxy ProxyChanges
	// Relays says that those in use differ. The same ones in another order are different.
	Relays bool
	// Metrics says that Metrics, MetricsToken or MetricsPeers of [Router] differ.
	Metrics bool
	// RelayServer says what differs in what this router offers itself.
	RelayServer RelayServerChanges
}

// Empty reports whether there is nothing to do.
func (c Changes) Empty() bool {
	return !c.PeersChanged() && c.Interface == InterfaceChanges{} && c.Router == RouterChanges{} && !c.Filter && c.Proxy.Empty() &&
		!c.Relays && !c.Metrics && c.RelayServer == RelayServerChanges{}
}

// PeersChanged reports whether any peer is added, removed or changed.
func (c Changes) PeersChanged() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) > 0 }

// LogValue returns counts and the names of what changed, without values.
func (c Changes) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("peers_added", len(c.Added)),
		slog.Int("peers_removed", len(c.Removed)),
		slog.Int("peers_changed", len(c.Changed)),
		slog.Any("interface", c.Interface.Names()),
		slog.Any("router", c.Router.Names()),
		slog.Bool("filter", c.Filter),
		slog.Any("proxy", c.Proxy.Names()),
		slog.Bool("relays", c.Relays),
		slog.Bool("metrics", c.Metrics),
		slog.Any("relay_server", c.RelayServer.Names()),
	)
}

// InterfaceChanges says which fields of [Interface] differ. Addresses, DNS, search
// domains and hooks in another order are different.
type InterfaceChanges struct {
	PrivateKey, ListenPort, FwMark        bool
	Addresses, DNS, DNSSearch, MTU, Table bool
	PreUp, PostUp, PreDown, PostDown      bool
	SaveConfig                            bool
	CheckAlive, CheckAliveInterval        bool
}

// Names returns the names of the fields that differ.
func (c InterfaceChanges) Names() []string {
	return named([]change{
		{"PrivateKey", c.PrivateKey},
		{"ListenPort", c.ListenPort},
		{"FwMark", c.FwMark},
		{"Addresses", c.Addresses},
		{"DNS", c.DNS},
		{"DNSSearch", c.DNSSearch},
		{"MTU", c.MTU},
		{"Table", c.Table},
		{"PreUp", c.PreUp},
		{"PostUp", c.PostUp},
		{"PreDown", c.PreDown},
		{"PostDown", c.PostDown},
		{"SaveConfig", c.SaveConfig},
		{"CheckAlive", c.CheckAlive},
		{"CheckAliveInterval", c.CheckAliveInterval},
	})
}

// RouterChanges says which fields of [Router] differ.
type RouterChanges struct {
	Mode, Queues, TxQueueLength, PeerForwarding bool
	SubnetRouter, SubnetRouterPerPeer           bool
	TCPRecovery, TCPCongestion                  bool
	Discovery                                   bool
	Sockets, GSO, GRO                           bool
	GSOSegments, GSOBytes, GSOSentinel, GROSlot bool
	FlushTimeout, ReceiveBuffer, SendBuffer     bool
	XDP                                         bool
	ControlSocket                               bool
	LogLevel                                    bool // and LogFormat: what is logged, and how
}

// Names returns the names of the fields that differ.
func (c RouterChanges) Names() []string {
	return named([]change{
		{"Mode", c.Mode},
		{"Queues", c.Queues},
		{"TxQueueLength", c.TxQueueLength},
		{"PeerForwarding", c.PeerForwarding},
		{"SubnetRouter", c.SubnetRouter},
		{"SubnetRouterPerPeer", c.SubnetRouterPerPeer},
		{"TCPRecovery", c.TCPRecovery},
		{"TCPCongestion", c.TCPCongestion},
		{"Discovery", c.Discovery},
		{"Sockets", c.Sockets},
		{"GSO", c.GSO},
		{"GRO", c.GRO},
		{"GSOSegments", c.GSOSegments},
		{"GSOBytes", c.GSOBytes},
		{"GSOSentinel", c.GSOSentinel},
		{"GROSlot", c.GROSlot},
		{"FlushTimeout", c.FlushTimeout},
		{"ReceiveBuffer", c.ReceiveBuffer},
		{"SendBuffer", c.SendBuffer},
		{"XDP", c.XDP},
		{"ControlSocket", c.ControlSocket},
		{"LogLevel", c.LogLevel},
	})
}

// A change is a field and whether it differs.
type change struct {
	name string
	yes  bool
}

func named(changes []change) []string {
	var names []string
	for _, c := range changes {
		if c.yes {
			names = append(names, c.name)
		}
	}
	return names
}

// Diff returns what changes from old to new; nil stands for an empty Config. Peers
// are the same peer when their public keys are equal.
func Diff(old, new *Config) Changes {
	if old == nil {
		old = &Config{}
	}
	if new == nil {
		new = &Config{}
	}
	changes := Changes{
		Interface: diffInterface(&old.Interface, &new.Interface),
		Router:    diffRouter(&old.Router, &new.Router),
		Filter:    !old.Filter.equal(&new.Filter),
		Proxy:     diffProxy(&old.Proxy, &new.Proxy),
		Relays:    !sameRelays(old.Relays, new.Relays),
		Metrics:   old.Router.Metrics != new.Router.Metrics,

		RelayServer: diffRelayServer(old, new),
	}
	before := byPublicKey(old.Peers)
	after := byPublicKey(new.Peers)
	for _, p := range old.Peers {
		if _, stays := after[p.PublicKey]; !stays {
			changes.Removed = append(changes.Removed, p)
		}
	}
	for _, p := range new.Peers {
		was, known := before[p.PublicKey]
		if !known {
			changes.Added = append(changes.Added, p)
		} else if c, differs := diffPeer(was, p); differs {
			changes.Changed = append(changes.Changed, c)
		}
	}
	return changes
}

func diffInterface(old, new *Interface) InterfaceChanges {
	return InterfaceChanges{
		PrivateKey: !samePrivateKey(old.PrivateKey, new.PrivateKey),
		ListenPort: old.ListenPort != new.ListenPort,
		FwMark:     old.FwMark != new.FwMark,
		Addresses:  !slices.Equal(old.Addresses, new.Addresses),
		DNS:        !slices.Equal(old.DNS, new.DNS),
		DNSSearch:  !slices.Equal(old.DNSSearch, new.DNSSearch),
		MTU:        old.MTU != new.MTU,
		Table:      old.Table != new.Table,
		PreUp:      !slices.Equal(old.PreUp, new.PreUp),
		PostUp:     !slices.Equal(old.PostUp, new.PostUp),
		PreDown:    !slices.Equal(old.PreDown, new.PreDown),
		PostDown:   !slices.Equal(old.PostDown, new.PostDown),
		SaveConfig: old.SaveConfig != new.SaveConfig,

		CheckAlive:         !slices.Equal(old.CheckAlive, new.CheckAlive),
		CheckAliveInterval: old.CheckAliveInterval != new.CheckAliveInterval,
	}
}

// samePrivateKey compares keys as Curve25519 uses them: bits that clamping sets or
// clears do not count.
func samePrivateKey(a, b Key) bool {
	return a.IsZero() == b.IsZero() && a.clamp() == b.clamp()
}

func diffRouter(old, new *Router) RouterChanges {
	return RouterChanges{
		Mode:           old.Mode != new.Mode,
		Queues:         old.Queues != new.Queues,
		TxQueueLength:  old.TxQueueLength != new.TxQueueLength,
		PeerForwarding: old.PeerForwarding != new.PeerForwarding,
		SubnetRouter:   !old.SubnetRouter.equal(new.SubnetRouter),
		TCPRecovery:    old.TCPRecovery != new.TCPRecovery,
		TCPCongestion:  old.TCPCongestion != new.TCPCongestion,
		Discovery:      (old.Discovery == SwitchOff) != (new.Discovery == SwitchOff),
		Sockets:        old.Sockets != new.Sockets,
		GSO:            old.GSO != new.GSO,
		GRO:            old.GRO != new.GRO,
		GSOSegments:    old.GSOSegments != new.GSOSegments,
		GSOBytes:       old.GSOBytes != new.GSOBytes,
		GSOSentinel:    old.GSOSentinel != new.GSOSentinel,
		GROSlot:        old.GROSlot != new.GROSlot,
		FlushTimeout:   old.FlushTimeout != new.FlushTimeout,
		ReceiveBuffer:  old.ReceiveBuffer != new.ReceiveBuffer,
		SendBuffer:     old.SendBuffer != new.SendBuffer,
		XDP:            old.XDP != new.XDP,
		ControlSocket:  old.ControlSocket != new.ControlSocket,
		LogLevel:       !sameLog(old, new),

		SubnetRouterPerPeer: old.SubnetRouterPerPeer != new.SubnetRouterPerPeer,
	}
}
