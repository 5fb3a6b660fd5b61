// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A guard decides which requests are answered.
type guard struct {
	anyHost bool                // a Unix socket: no name leads there
	hosts   map[string]struct{} // in lower case, without port
	token   *[sha256.Size]byte  // nil: none is asked for
}

func newGuard(o *Options, p place) *guard {
	g := &guard{anyHost: p.path != "", hosts: make(map[string]struct{})}
	for _, h := range o.Hosts {
		g.hosts[canonicalHost(h)] = struct{}{}
	}
	if o.Token != "" {
		sum := sha256.Sum256([]byte(o.Token))
		g.token = &sum
	}
	return g
}

// check answers a request that is refused, and reports whether it may pass.
func (g *guard) check(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "nothing can be changed here")
	case !g.knows(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "this name is not known here; use the IP address or localhost")
	case embedded(r):
		refuse(w, http.StatusForbidden, "not for other sites")
	case len(r.URL.RawQuery) > maxQuery:
		refuse(w, http.StatusRequestURITooLong, "the query is too long")
	case r.ContentLength != 0: // -1 with chunks
		refuse(w, http.StatusRequestEntityTooLarge, "a request has no body here")
	case r.URL.Path != healthPath && r.URL.Path != pagePath && !g.authorized(r):
		w.Header().Add("WWW-Authenticate", `Bearer realm="router"`)
		if r.URL.Path != dataPath { // the page asks for the token itself, not the browser in a dialog
			w.Header().Add("WWW-Authenticate", `Basic realm="router", charset="UTF-8"`)
		}
		refuse(w, http.StatusUnauthorized, "a token is needed: as a bearer token, or as the password with any user")
	default:
		return true
	}
	return false
}

// knows reports whether a Host header names this server. What leads here without a
// name, by address, cannot have been bent by a name server.
func (g *guard) knows(host string) bool {
	if g.anyHost {
		return true
	}
	host = canonicalHost(host)
	if isLocalhost(host) {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, ok := g.hosts[host]
	return ok
}

// canonicalHost returns a host in lower case without its port, its brackets and a
// final dot.
func canonicalHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// embedded reports whether a browser asks because another site told it to, other than
// by a link to the page (Fetch Metadata). Other clients do not say.
func embedded(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return r.URL.Path != pagePath || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// authorized reports whether the request has the token. Hashes are compared, in
// constant time, so that the length of the token does not show either.
func (g *guard) authorized(r *http.Request) bool {
	if g.token == nil {
		return true
	}
	given := ""
	if scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "bearer") {
		given = strings.TrimSpace(rest)
	} else if _, password, ok := r.BasicAuth(); ok {
		given = password
	}
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// refuse answers with a short text and ends the connection, as what follows a request
// that is refused is not worth reading.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Connection", "close")
	http.Error(w, text, code)
}
