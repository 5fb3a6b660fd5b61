// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// An Endpoint is an address or a name, and a port: where a peer or a relay is reached, a
// proxy listens or has its target. The zero Endpoint is none.
type Endpoint struct {
	Host string // a literal address, IPv6 without brackets, or a host name
	Port uint16
}

// IsZero reports whether e is none.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// AddrPort returns the address of e, never in IPv4-in-IPv6 form; ok is false
// when the host is a name that has to be resolved.
func (e Endpoint) AddrPort() (addr netip.AddrPort, ok bool) {
	host, err := netip.ParseAddr(e.Host)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(host.Unmap(), e.Port), true
}

// equal reports whether e and other are the same place, however the address is written.
func (e Endpoint) equal(other Endpoint) bool {
	a, ok := e.AddrPort()
	b, otherOK := other.AddrPort()
	return e == other || ok && otherOK && a == b
}

// String returns the form of configuration files, HOST:PORT or [ADDRESS]:PORT; it is
// empty for the zero Endpoint.
func (e Endpoint) String() string {
	if e.IsZero() {
		return ""
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

func setEndpoint(e *entry) {
	if endpoint, ok := e.endpoint(); ok {
		e.current().peer.Endpoint = endpoint
	}
}

// endpoint reads HOST:PORT. Like wg it takes an IPv6 address without brackets,
// whose last group is then the port.
func (e *entry) endpoint() (Endpoint, bool) {
	const example = "write HOST:PORT, for example vpn.example.com:51820 or [2001:db8::1]:51820"
	host, port, found := "", "", false
	if rest, bracket := strings.CutPrefix(e.value, "["); bracket {
		host, port, found = strings.Cut(rest, "]")
		port, found = strings.CutPrefix(port, ":")
	} else if i := strings.LastIndexByte(e.value, ':'); i >= 0 {
		host, port, found = e.value[:i], e.value[i+1:], true
	}
	if !found || host == "" || port == "" {
		e.wrong(example, "%s is not an endpoint", show(e.value))
		return Endpoint{}, false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		e.wrong("write a number from 1 to 65535 behind the last colon", "%s is not a UDP port", show(port))
		return Endpoint{}, false
	}
	endpoint := Endpoint{Host: host, Port: uint16(number)}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		endpoint.Host = addr.Unmap().String()
		if addr.Is6() && e.value[0] != '[' {
			e.doubt("write "+endpoint.String(), "IPv6 address without brackets; port %d is taken from its end", number)
		}
	case strings.Contains(host, ":"):
		e.wrong(example, "%s is not an IPv6 address", show(host))
		return Endpoint{}, false
	case !isHostName(host):
		e.wrong(example, "%s is neither an address nor a host name", show(host))
		return Endpoint{}, false
	}
	return endpoint, true
}

// isHostName reports whether a resolver may know s: labels of letters of any
// script, digits, - and _ between dots. A last label of digits alone is no top level
// domain but a mistyped IPv4 address (RFC 3696 section 2).
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.IndexFunc(label, notHostRune) >= 0 {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

func notHostRune(r rune) bool {
	return !isLetter(r) && (r < '0' || r > '9') && r != '-' && r != '_' &&
		(r < 0x80 || r == unicode.ReplacementChar || !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r))
}
