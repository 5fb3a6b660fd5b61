// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Options configure a [Server].
type Options struct {
	// Listen is ADDRESS:PORT with an IP address or localhost, or unix:PATH. Without
	// an address (":9586") it means all of them. Other addresses than loopback need
	// Token or AllowRemote.
	Listen string
	// AllowRemote lets everybody who reaches the address ask without a token.
	AllowRemote bool
	// Token is asked for by everything but /healthz, and the page itself, which shows
	// nothing until it has been given the token: as a bearer token, or as the password
	// of HTTP basic authentication, with any user, which browsers can do. Empty: none
	// is asked for.
	Token string
	// Hosts are names that clients may call the server by, beside IP addresses,
	// localhost and the one in Listen. They are compared without port.
	Hosts []string

	// Metrics answers /metrics. nil: 404.
	Metrics http.Handler
	// Status returns what /api/v1/status shows as JSON, without secrets. It is
	// called by one goroutine at a time. nil: 404.
	Status func() (any, error)
	// Page returns what the page shows, without secrets. It is called by one
	// goroutine at a time, every two seconds or less often, from Run on; the result
	// is not changed and may be kept. nil: 404, also for the page.
	Page func() (*PageData, error)
	// Ready returns what is missing, nothing when the router is ready. nil: ready
	// when it serves.
	Ready func() []NotReady

	// Logger for changes of state. nil discards.
	Logger *slog.Logger

	timing timing // by tests
}

// A NotReady is a reason why a router is not ready.
type NotReady struct {
	// Peer is the public key of the peer that it is about, empty if it is about
	// none; Name is what people call it.
	Peer string `json:"peer,omitempty"`
	Name string `json:"name,omitempty"`
	// Reason is for people.
	Reason string `json:"reason"`
}

// timing bounds how long things may take.
type timing struct {
	header time.Duration // from the first byte of a request to the end of its header
	write  time.Duration // from there to the end of the answer
	idle   time.Duration // between two requests
	sample time.Duration // between two questions for the page
	status time.Duration // for which a status is good
}

const (
	// maxConns bounds connections: a few browsers with six each, and scrapers.
	maxConns = 64
	// maxRequests bounds requests under way.
	maxRequests = 16
	// maxHeader bounds the header of a request in bytes; net/http adds 4096. A
	// browser with many cookies of localhost sends some 8 KiB.
	maxHeader = 16 << 10
	// maxQuery bounds the query in bytes. The page asks with 40, a scraper that
	// chooses metrics by name with some hundreds.
	maxQuery = 2 << 10
)

// withDefaults checks o and returns a copy with defaults filled in.
func (o *Options) withDefaults() (Options, error) {
	out := *o
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	for i := range len(out.Token) {
		if c := out.Token[i]; c <= ' ' || c > '~' {
			return out, errors.New("the token must be of printable ASCII characters without spaces")
		}
	}
	t := &out.timing
	for _, d := range []struct {
		at      *time.Duration
		initial time.Duration
	}{
		{&t.header, 5 * time.Second},
		{&t.write, 20 * time.Second}, // a scrape of 10,000 peers takes a part of a second
		{&t.idle, 90 * time.Second},  // scrapers come every 15 to 60 s
		{&t.sample, 2 * time.Second},
		{&t.status, time.Second},
	} {
		if *d.at == 0 {
			*d.at = d.initial
		}
	}
	return out, nil
}

// unixPrefix begins a Listen that is a path.
const unixPrefix = "unix:"

// place says where to listen: at path, or at address.
type place struct {
	path    string
	address string // for net.Listen
	host    string // of the address
}

// place reads o.Listen and refuses what would be open to others without a token.
func (o *Options) place() (place, error) {
	if path, ok := strings.CutPrefix(o.Listen, unixPrefix); ok {
		if path == "" {
			return place{}, errors.New("no path after unix:")
		}
		return place{path: path}, nil
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return place{}, fmt.Errorf("want ADDRESS:PORT or unix:PATH: %w", err)
	}
	p := place{address: o.Listen, host: host}
	if isLocalhost(host) {
		return p, nil
	}
	local := false
	if host != "" {
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return place{}, fmt.Errorf("want an IP address or localhost: %w", err)
		}
		local = ip.Unmap().IsLoopback()
	}
	if !local && o.Token == "" && !o.AllowRemote {
		return place{}, errors.New("others can reach that address: set a token, or listen on 127.0.0.1, [::1] or unix:PATH")
	}
	return p, nil
}

// isLocalhost reports whether a name is localhost, which browsers and resolvers take
// for loopback without asking anybody (RFC 6761, 6.3).
func isLocalhost(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
