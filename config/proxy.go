// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"
)

// A Proxy is what a router in netstack mode offers to the programs of its host and to
// its peers: one element for each section of the file, in its order. The zero Proxy is
// nothing.
type Proxy struct {
	SOCKS5 []SOCKS5 // [Socks5]
	HTTP   []HTTP   // [http]

	// TCPClient and UDPClient listen on the host and have their target in the tunnel,
	// TCPServer and UDPServer listen in the tunnel and have it on the network of the
	// host: [TCPClientTunnel], [UDPProxyTunnel], [TCPServerTunnel], [UDPServerTunnel].
	TCPClient, TCPServer []TCPForward
	UDPClient, UDPServer []UDPForward

	STDIO   *STDIO  // [STDIOTunnel]; nil is none
	Resolve Resolve // [Resolve]
}

// A SOCKS5 is one [Socks5] section: a SOCKS5 proxy on the host (RFC 1928).
type SOCKS5 struct {
	BindAddress Endpoint // port 0 lets the system choose; the host is an address or localhost
	// Username and Password are what a client has to give (RFC 1929), both or neither.
	Username string
	Password Secret
	UDP      Switch // UDP ASSOCIATE; unset is on
	// MaxConnections and MaxPerClient bound what is open at a time, in all and for
	// each client address; 0 is the default of the proxy.
	MaxConnections, MaxPerClient int
	// Line is where the section begins in the file, 0 when it comes from nowhere. It
	// is no part of the configuration.
	Line int
}

// An HTTP is one [http] section: an HTTP proxy on the host.
type HTTP struct {
	BindAddress Endpoint // as in [SOCKS5]
	// Username and Password are what a client has to give, both or neither.
	Username string
	Password Secret
	// CertFile and KeyFile are PEM files that make it an HTTPS proxy, both or neither.
	// [Load] resolves relative paths.
	CertFile, KeyFile            string
	MaxConnections, MaxPerClient int // as in [SOCKS5]
	Line                         int // as in [SOCKS5]
}

// A TCPForward is one [TCPClientTunnel] or [TCPServerTunnel] section.
type TCPForward struct {
	// BindAddress is where it listens. In the tunnel, the host is empty: every address
	// of the router.
	BindAddress                  Endpoint
	Target                       Endpoint // where connections go, an address or a name
	MaxConnections, MaxPerClient int      // as in [SOCKS5]
	Line                         int      // as in [SOCKS5]
}

// A UDPForward is one [UDPProxyTunnel] or [UDPServerTunnel] section.
type UDPForward struct {
	BindAddress, Target Endpoint // as in [TCPForward]
	// InactivityTimeout ends a flow without datagrams, in whole seconds; 0 is never.
	// It counts only when InactivityTimeoutSet: otherwise 120 s are meant.
	InactivityTimeout            time.Duration
	InactivityTimeoutSet         bool
	MaxConnections, MaxPerClient int // flows; as in [SOCKS5]
	Line                         int // as in [SOCKS5]
}

// A STDIO is the [STDIOTunnel] section: standard input and output of the process are
// connected to a target in the tunnel.
type STDIO struct {
	Target Endpoint // an address or a name
	Line   int      // as in [SOCKS5]
}

// A Resolve is the [Resolve] section: how names are looked up through the tunnel.
type Resolve struct {
	Strategy ResolveStrategy
	Line     int // as in [SOCKS5]
}

// A ResolveStrategy says which addresses of a name come first.
type ResolveStrategy uint8

const (
	// ResolveUnset is a file without [Resolve]; it means the same as ResolveAuto.
	ResolveUnset ResolveStrategy = iota
	// ResolveAuto tries IPv6 first if the tunnel has it.
	ResolveAuto
	// ResolveIPv4 tries IPv4 first.
	ResolveIPv4
	// ResolveIPv6 tries IPv6 first.
	ResolveIPv6
)

// String returns unset, auto, ipv4 or ipv6.
func (s ResolveStrategy) String() string {
	switch s {
	case ResolveUnset:
		return "unset"
	case ResolveAuto:
		return "auto"
	case ResolveIPv4:
		return "ipv4"
	case ResolveIPv6:
		return "ipv6"
	}
	return "ResolveStrategy(" + strconv.Itoa(int(s)) + ")"
}

// A Secret is a password. The fmt verbs, log/slog and the text encodings hide it;
// string(s) is the password itself.
type Secret string

// Format writes that there is a password, or nothing, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		fmt.Fprint(f, hidden)
	}
}

// LogValue hides s.
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText hides s, so that handlers of log/slog that write JSON do.
func (s Secret) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(s)), nil }

// Empty reports whether p is nothing.
func (p *Proxy) Empty() bool { return len(p.services()) == 0 }

// services returns the sections of p in the form that is common to all, in the order
// in which they are written.
func (p *Proxy) services() []service {
	var all []service
	add := func(kind *serviceKind, index int, s service) {
		s.kind, s.index = kind, index
		all = append(all, s)
	}
	for i, s := range p.SOCKS5 {
		add(&kinds[kindSOCKS5], i, service{line: s.Line, bind: s.BindAddress, username: s.Username, password: s.Password,
			udp: s.UDP, total: s.MaxConnections, perClient: s.MaxPerClient})
	}
	for i, s := range p.HTTP {
		add(&kinds[kindHTTP], i, service{line: s.Line, bind: s.BindAddress, username: s.Username, password: s.Password,
			certFile: s.CertFile, keyFile: s.KeyFile, total: s.MaxConnections, perClient: s.MaxPerClient})
	}
	for _, list := range []struct {
		kind     int
		forwards []TCPForward
	}{{kindTCPClient, p.TCPClient}, {kindTCPServer, p.TCPServer}} {
		for i, s := range list.forwards {
			add(&kinds[list.kind], i, service{line: s.Line, bind: s.BindAddress, target: s.Target,
				total: s.MaxConnections, perClient: s.MaxPerClient})
		}
	}
	for _, list := range []struct {
		kind     int
		forwards []UDPForward
	}{{kindUDPClient, p.UDPClient}, {kindUDPServer, p.UDPServer}} {
		for i, s := range list.forwards {
			add(&kinds[list.kind], i, service{line: s.Line, bind: s.BindAddress, target: s.Target, timeout: s.InactivityTimeout,
				timeoutSet: s.InactivityTimeoutSet, total: s.MaxConnections, perClient: s.MaxPerClient})
		}
	}
	if p.STDIO != nil {
		add(&kinds[kindSTDIO], 0, service{line: p.STDIO.Line, target: p.STDIO.Target})
	}
	if p.Resolve.Strategy != ResolveUnset {
		add(&kinds[kindResolve], 0, service{line: p.Resolve.Line, strategy: p.Resolve.Strategy})
	}
	return all
}

// add puts s where it belongs in p.
func (p *Proxy) add(s *service) {
	tcp := TCPForward{BindAddress: s.bind, Target: s.target, MaxConnections: s.total, MaxPerClient: s.perClient, Line: s.line}
	udp := UDPForward{BindAddress: s.bind, Target: s.target, InactivityTimeout: s.timeout, InactivityTimeoutSet: s.timeoutSet,
		MaxConnections: s.total, MaxPerClient: s.perClient, Line: s.line}
	switch s.kind.id {
	case kindSOCKS5:
		p.SOCKS5 = append(p.SOCKS5, SOCKS5{BindAddress: s.bind, Username: s.username, Password: s.password, UDP: s.udp,
			MaxConnections: s.total, MaxPerClient: s.perClient, Line: s.line})
	case kindHTTP:
		p.HTTP = append(p.HTTP, HTTP{BindAddress: s.bind, Username: s.username, Password: s.password, CertFile: s.certFile,
			KeyFile: s.keyFile, MaxConnections: s.total, MaxPerClient: s.perClient, Line: s.line})
	case kindTCPClient:
		p.TCPClient = append(p.TCPClient, tcp)
	case kindTCPServer:
		p.TCPServer = append(p.TCPServer, tcp)
	case kindUDPClient:
		p.UDPClient = append(p.UDPClient, udp)
	case kindUDPServer:
		p.UDPServer = append(p.UDPServer, udp)
	case kindSTDIO:
		p.STDIO = &STDIO{Target: s.target, Line: s.line}
	case kindResolve:
		p.Resolve = Resolve{Strategy: s.strategy, Line: s.line}
	}
}
