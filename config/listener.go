// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// localhost is the one name that a listener may have.
const localhost = "localhost"

// setBindAddress reads HOST:PORT, :PORT or PORT; without HOST it is the loopback address.
func setBindAddress(e *entry) {
	const hint = "write ADDRESS:PORT, for example 127.0.0.1:1080 or [::1]:1080"
	value := e.value
	if strings.Trim(value, "0123456789") == "" {
		value = ":" + value
	}
	bind, ok := e.hostPort(value, 0, hint)
	if !ok {
		return
	}
	switch {
	case bind.Host == "":
		bind.Host = "127.0.0.1"
		e.doubt(fmt.Sprintf("write %s, or 0.0.0.0:%d to listen on all addresses", bind, bind.Port),
			"no address before the port; only programs of this host can connect")
	case sameName(bind.Host, localhost):
		bind.Host = localhost
	case !bind.literal():
		e.wrong("write the address itself, for example 127.0.0.1:1080, or localhost", "%s is not an address of this host", show(bind.Host))
		return
	}
	e.service().bind = bind
}

// setTarget reads HOST:PORT. On the network of the host, no HOST is the host itself.
func setTarget(e *entry) {
	const hint = "write HOST:PORT, for example server.example:443 or [2001:db8::1]:443"
	target, ok := e.hostPort(e.value, 1, hint)
	if !ok {
		return
	}
	switch {
	case target.Host == "" && e.service().kind.tunnel:
		target.Host = localhost
		e.doubt("write "+target.String(), "no host before the port; this host is taken")
	case target.Host == "":
		e.wrong(hint, "no host before the port")
		return
	case !target.literal() && !isHostName(target.Host):
		e.wrong(hint, "%s is neither an address nor a host name", show(target.Host))
		return
	}
	e.service().target = target
}

// literal reports whether the host is an address and not a name.
func (e Endpoint) literal() bool {
	_, ok := e.AddrPort()
	return ok
}

// hostPort reads [HOST]:PORT with a port from low on; HOST may be anything without a
// colon, or an IPv6 address in brackets, which is returned in its normal form.
func (e *entry) hostPort(value string, low uint64, hint string) (Endpoint, bool) {
	if strings.Contains(value, "@") { // what is before it may be a password
		e.wrong("write Username and Password on lines of their own, if the section has them", "an @ does not belong here")
		return Endpoint{}, false
	}
	colon := strings.LastIndexByte(value, ':')
	if colon < 0 || colon == len(value)-1 {
		e.wrong(hint, "%s has no port", show(value))
		return Endpoint{}, false
	}
	host, port := value[:colon], value[colon+1:]
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number < low {
		e.wrong(fmt.Sprintf("write a number from %d to 65535 behind the last colon", low), "%s is not a port", show(port))
		return Endpoint{}, false
	}
	inner, opened := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	addr, err := netip.ParseAddr(inner)
	switch {
	case opened != closed, opened && err != nil, strings.Contains(host, ":") && err != nil:
		e.wrong(hint, "%s is not an IPv6 address", show(host))
		return Endpoint{}, false
	case !opened && strings.Contains(host, ":"):
		e.wrong("write ["+inner+"]:"+port, "IPv6 address without brackets")
		return Endpoint{}, false
	case err == nil && strings.ContainsFunc(addr.Zone(), isMark):
		e.wrong(hint, "%s is not an IPv6 address", show(host))
		return Endpoint{}, false
	case err == nil:
		inner = addr.Unmap().String()
	}
	return Endpoint{Host: inner, Port: uint16(number)}, true
}

// isMark reports whether r ends a value in some file.
func isMark(r rune) bool { return strings.ContainsRune("#;\"'`[]", r) }

// loopback reports whether only programs of the host reach e.
func (e Endpoint) loopback() bool {
	addr, ok := e.AddrPort()
	return !ok && e.Host == localhost || ok && addr.Addr().IsLoopback()
}

// finishServices checks what a single line of the sections of [Proxy] cannot show and
// puts them into the Config.
func (p *parser) finishServices() {
	listeners := map[string]*service{}
	for _, s := range p.services {
		p.checkGiven(s)
		p.checkPairs(s)
		if s.given["BindAddress"]+s.given["ListenPort"] > 0 && s.bind.Port != 0 {
			p.checkListener(s, listeners)
		}
		if s.kind.id == kindResolve && s.strategy == ResolveUnset {
			s.strategy = ResolveAuto
		}
		p.cfg.Proxy.add(s)
	}
}

// checkGiven wants the keys without which a section means nothing.
func (p *parser) checkGiven(s *service) {
	examples := map[string]string{
		"BindAddress": "127.0.0.1:1080", "ListenPort": "8080", "Target": "server.example:443",
	}
	i := slices.IndexFunc(p.sections, func(have section) bool { return have.name == s.kind.section })
	for _, k := range p.sections[i].keys {
		if example := examples[k.name]; example != "" && s.given[k.name] == 0 {
			p.problem(s.line, k.name, "write for example "+k.name+" = "+example+" below this ["+s.kind.section+"]", "missing")
		}
	}
}

// checkPairs checks keys that need each other.
func (p *parser) checkPairs(s *service) {
	pair := func(a, b string, hasA, hasB bool) {
		if hasB && !hasA {
			a, b = b, a
		}
		if hasA != hasB {
			p.problem(s.given[a], a, "write "+b+" as well, or remove "+a, "without "+b)
		}
	}
	// A value that is wrong is there, too.
	bad := func(name string) bool {
		return slices.ContainsFunc(p.problems, func(f Problem) bool { return f.Line == s.given[name] && f.Key == name })
	}
	pair("Username", "Password", s.username != "" || bad("Username"), s.password != "" || bad("Password"))
	pair("CertFile", "KeyFile", s.certFile != "" || bad("CertFile"), s.keyFile != "" || bad("KeyFile"))
	if line := s.given["MaxPerClient"]; s.total > 0 && s.perClient > s.total {
		p.warning(line, "MaxPerClient", fmt.Sprintf("write at most %d, or raise MaxConnections", s.total), "more than MaxConnections has no effect")
	}
	open := s.kind.id == kindSOCKS5 || s.kind.id == kindHTTP
	if open && s.bind.Host != "" && !s.bind.loopback() && s.username == "" {
		p.warning(s.given["BindAddress"], "BindAddress", "write Username and Password, or listen on 127.0.0.1",
			"an open proxy: whoever reaches "+s.bind.String()+" can use the tunnel")
	}
}

// checkListener wants that no other section has the address of s.
func (p *parser) checkListener(s *service, listeners map[string]*service) {
	name, at := "BindAddress", s.bind
	switch {
	case s.kind.tunnel:
		name = "ListenPort"
	case at.Host == localhost:
		at.Host = "127.0.0.1"
	}
	id := fmt.Sprintf("%s %t %s", s.kind.network, s.kind.tunnel, at)
	if other := listeners[id]; other != nil {
		p.problem(s.given[name], name, "choose another port for one of the two",
			fmt.Sprintf("%s already listens on %s port %d", p.serviceAt(other, name), strings.ToUpper(s.kind.network), at.Port))
		return
	}
	listeners[id] = s
}

// serviceAt names a section of [Proxy] in a message, with the line of a key.
func (p *parser) serviceAt(s *service, name string) string {
	if p.memory {
		return s.String()
	}
	return fmt.Sprintf("[%s] in line %d", s.kind.section, s.given[name])
}

// String returns where s is in a Config.
func (s *service) String() string {
	if s.kind.once {
		return "Proxy." + s.kind.field
	}
	return fmt.Sprintf("Proxy.%s[%d]", s.kind.field, s.index)
}
