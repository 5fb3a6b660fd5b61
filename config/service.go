// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"strings"
	"time"
)

// A service is one section of [Proxy] while it is read or written, with the fields of
// all kinds of them.
type service struct {
	kind  *serviceKind
	index int            // among those of its kind
	line  int            // of the section
	given map[string]int // line of each of its keys

	bind, target      Endpoint
	username          string
	password          Secret
	udp               Switch
	certFile, keyFile string
	timeout           time.Duration
	timeoutSet        bool
	strategy          ResolveStrategy
	total, perClient  int
}

// Kinds of services, indices of kinds.
const (
	kindSOCKS5 = iota
	kindHTTP
	kindTCPClient
	kindTCPServer
	kindUDPClient
	kindUDPServer
	kindSTDIO
	kindResolve
)

// A serviceKind is what is particular to one kind of section.
type serviceKind struct {
	id      int
	section string
	field   string // of [Proxy]
	network string // what it listens on: tcp, udp or nothing
	tunnel  bool   // it listens in the tunnel
	once    bool   // a file may have one
}

// kinds are the kinds of sections, named as wireproxy does where it has them.
var kinds = [...]serviceKind{
	{id: kindSOCKS5, section: "Socks5", field: "SOCKS5", network: "tcp"},
	{id: kindHTTP, section: "http", field: "HTTP", network: "tcp"},
	{id: kindTCPClient, section: "TCPClientTunnel", field: "TCPClient", network: "tcp"},
	{id: kindTCPServer, section: "TCPServerTunnel", field: "TCPServer", network: "tcp", tunnel: true},
	{id: kindUDPClient, section: "UDPProxyTunnel", field: "UDPClient", network: "udp"},
	{id: kindUDPServer, section: "UDPServerTunnel", field: "UDPServer", network: "udp", tunnel: true},
	{id: kindSTDIO, section: "STDIOTunnel", field: "STDIO", once: true},
	{id: kindResolve, section: "Resolve", field: "Resolve", once: true},
}

// kindOf returns the kind of the section called name, or nil.
func kindOf(name string) *serviceKind {
	for i := range kinds {
		if sameName(kinds[i].section, name) {
			return &kinds[i]
		}
	}
	return nil
}

const (
	// maxConnections is beyond what the descriptors of a process allow.
	maxConnections = 1000000
	// maxTimeout is 68 years.
	maxTimeout = 1<<31 - 1
	// maxCredential is what a length byte of RFC 1929 counts.
	maxCredential = 255
)

// serviceSections are the sections of [Proxy] with their keys, in the order in which
// they are written.
func serviceSections() []section {
	bind := key{name: "BindAddress", set: setBindAddress}
	port := key{name: "ListenPort", set: setServicePort}
	target := key{name: "Target", set: setTarget}
	timeout := key{name: "InactivityTimeout", set: setInactivityTimeout}
	limits := []key{
		setLimit("MaxConnections", func(s *service) *int { return &s.total }),
		setLimit("MaxPerClient", func(s *service) *int { return &s.perClient }),
	}
	credentials := []key{
		{name: "Username", set: setUsername, spaced: true, empty: true, text: true},
		{name: "Password", set: setPassword, spaced: true, empty: true, text: true, secret: true},
	}
	with := func(kind int, keys ...key) section {
		return section{name: kinds[kind].section, keys: keys}
	}
	join := func(first []key, rest ...[]key) []key {
		for _, r := range rest {
			first = append(first, r...)
		}
		return first
	}
	return []section{
		with(kindSOCKS5, join([]key{bind}, credentials, []key{{name: "UDP", set: setServiceUDP}}, limits)...),
		with(kindHTTP, join([]key{bind}, credentials, []key{
			setFile("CertFile", func(s *service) *string { return &s.certFile }),
			setFile("KeyFile", func(s *service) *string { return &s.keyFile }),
		}, limits)...),
		with(kindTCPClient, join([]key{bind, target}, limits)...),
		with(kindTCPServer, join([]key{port, target}, limits)...),
		with(kindUDPClient, join([]key{bind, target, timeout}, limits)...),
		with(kindUDPServer, join([]key{port, target, timeout}, limits)...),
		with(kindSTDIO, target),
		with(kindResolve, key{name: "ResolveStrategy", set: setResolveStrategy}),
	}
}

// beginService begins a section of [Proxy].
func (p *parser) beginService(line int, kind *serviceKind) {
	s := &service{kind: kind, line: line, given: map[string]int{}}
	for _, other := range p.services {
		if other.kind != kind {
			continue
		}
		s.index++
		if kind.once && s.index == 1 {
			p.problem(line, "["+kind.section+"]", "remove one of the two", fmt.Sprintf("there is another one in line %d", other.line))
		}
	}
	p.given = s.given
	p.services = append(p.services, s)
}

// service returns the section that the line belongs to.
func (e *entry) service() *service { return e.services[len(e.services)-1] }

func setServicePort(e *entry) {
	if n, ok := e.number(1, 65535, "a port", "write a number from 1 to 65535"); ok {
		e.service().bind.Port = uint16(n)
	}
}

func setInactivityTimeout(e *entry) {
	hint := fmt.Sprintf("write seconds up to %d, 0 for never, or leave it out for 120", maxTimeout)
	if n, ok := e.number(0, maxTimeout, "a number of seconds", hint); ok {
		e.service().timeout, e.service().timeoutSet = time.Duration(n)*time.Second, true
	}
}

// setLimit is a key whose value is a number of connections, 0 being the default.
func setLimit(name string, field func(*service) *int) key {
	return key{name: name, set: func(e *entry) {
		hint := fmt.Sprintf("write a number up to %d, or leave it out for the default", maxConnections)
		if n, ok := e.number(0, maxConnections, "a number of connections", hint); ok {
			*field(e.service()) = int(n)
		}
	}}
}

// setUsername and setPassword repeat nothing of the value: the two may be in the wrong order.
func setUsername(e *entry) {
	if !e.credential("user name") {
		return
	}
	if e.service().kind.id == kindHTTP && strings.Contains(e.value, ":") {
		e.wrong("choose another name", "a colon ends the user name in HTTP (RFC 7617)")
		return
	}
	e.service().username = e.value
}

func setPassword(e *entry) {
	if e.credential("password") {
		e.service().password = Secret(e.value)
	}
}

func (e *entry) credential(what string) bool {
	if len(e.value) > maxCredential {
		e.wrong(fmt.Sprintf("write at most %d", maxCredential), "%d bytes are too long for a %s", len(e.value), what)
		return false
	}
	return true
}

// setFile is a key whose value is the path of a file.
func setFile(name string, field func(*service) *string) key {
	return key{name: name, spaced: true, empty: true, text: true, set: func(e *entry) {
		*field(e.service()) = e.path(e.value)
	}}
}

func setServiceUDP(e *entry) {
	if n, ok := e.choice("on", "off"); ok {
		e.service().udp = []Switch{SwitchOn, SwitchOff}[n]
	}
}

func setResolveStrategy(e *entry) {
	if n, ok := e.choice(ResolveAuto.String(), ResolveIPv4.String(), ResolveIPv6.String()); ok {
		e.service().strategy = ResolveAuto + ResolveStrategy(n)
	}
}
