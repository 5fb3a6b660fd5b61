// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/tunrouter/tunrouter/netstack"
)

const (
	// httpHeaderBytes bounds the headers of a request. Browsers send up to
	// some 16 KiB with many cookies; most servers take less than 64.
	httpHeaderBytes = 64 << 10
	// httpHeaderTimeout is how long a client has to send them.
	httpHeaderTimeout = 10 * time.Second
	// httpIdleTimeout ends connections between two requests.
	httpIdleTimeout = 2 * time.Minute
)

// HTTPOptions configure an [HTTP] service.
type HTTPOptions struct {
	// Listen is the host:port to listen on. An empty host means all
	// addresses, which offers the tunnel to the whole network.
	Listen string

	// Username and Password that clients have to give, each at most 255
	// bytes. Both empty: none is asked for.
	Username, Password string

	// CertFile and KeyFile are PEM files to speak TLS with clients. Both
	// empty: TLS is not spoken.
	CertFile, KeyFile string

	// Limits of connections.
	Limits Limits

	// Logger for changes of state. nil discards.
	Logger *slog.Logger
}

// HTTP is an HTTP proxy into the tunnel: CONNECT, and requests of any method
// for http URLs, upgrades to other protocols included. Names are resolved in the
// tunnel. Hop-by-hop headers are taken out (RFC 9110, 7.6.1); nothing that tells
// who the client is gets added.
//
// What a connection asks for goes over connections of its own to the origins, so
// that clients cannot get at each other's.
type HTTP struct {
	service

	// Immutable.
	dialer    dialer
	login     *login // nil: none
	tls       *tls.Config
	forwarder *httputil.ReverseProxy
	headerFor time.Duration
	idleFor   time.Duration
}

// ListenHTTP listens for HTTP clients of the network in n.
func ListenHTTP(n *netstack.Net, o *HTTPOptions) (*HTTP, error) {
	login, err := newLogin(o.Username, o.Password)
	if err != nil {
		return nil, err
	}
	config, err := loadTLS(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, err
	}
	l, err := listenHost(o.Listen)
	if err != nil {
		return nil, err
	}
	h := &HTTP{login: login, tls: config, headerFor: httpHeaderTimeout, idleFor: httpIdleTimeout}
	h.init("http", l, o.Limits, o.Logger)
	h.dialer = dialer{n.DialContext, connectTimeout, &h.count}
	h.forwarder = h.newForwarder()
	return h, nil
}

// loadTLS returns nil if no files are named.
func loadTLS(certFile, keyFile string) (*tls.Config, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}, nil
}

// Run serves clients until ctx ends or Close is called. It returns an error
// when it was called before.
func (h *HTTP) Run(ctx context.Context) error {
	return h.run(ctx, func(ctx context.Context) error {
		srv := &http.Server{
			Handler:                      http.HandlerFunc(h.serve),
			DisableGeneralOptionsHandler: true,
			ReadHeaderTimeout:            h.headerFor,
			IdleTimeout:                  h.idleFor,
			MaxHeaderBytes:               httpHeaderBytes,
			ConnState:                    noteState,
			ErrorLog:                     slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
			BaseContext:                  func(net.Listener) context.Context { return ctx },
			ConnContext:                  withClient,
		}
		var l net.Listener = &httpListener{h}
		if h.tls != nil {
			l = tls.NewListener(l, h.tls)
		}
		err := srv.Serve(l)
		srv.Close()
		if h.isStopped() || errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
}

// serve serves one request.
func (h *HTTP) serve(w http.ResponseWriter, r *http.Request) {
	c := clientOf(r.Context())
	c.handled()
	if !h.authorized(w, r) {
		return
	}
	switch {
	case r.Method == http.MethodConnect:
		h.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		h.forward(w, r, c)
	case r.URL.Scheme != "":
		h.bad(w, "This proxy takes http URLs; for everything else use CONNECT.")
	default:
		h.bad(w, "This is an HTTP proxy, not a web server. Set it up as the HTTP proxy of a program.")
	}
}

// bad answers a request that cannot be served.
func (h *HTTP) bad(w http.ResponseWriter, text string) {
	h.count.badRequests.Add(1)
	http.Error(w, text, http.StatusBadRequest)
}

// authorized checks the password of a request, and answers it if that is wrong.
func (h *HTTP) authorized(w http.ResponseWriter, r *http.Request) bool {
	if h.login == nil {
		return true
	}
	given := r.Header.Get("Proxy-Authorization")
	if username, password, ok := parseBasic(given); ok && h.login.check(username, password) {
		return true
	}
	h.count.authFailures.Add(1)
	if given != "" && !h.login.penalty(r.Context()) {
		return false
	}
	w.Header().Set("Proxy-Authenticate", `Basic realm="proxy", charset="UTF-8"`)
	http.Error(w, "This proxy asks for a user name and a password.", http.StatusProxyAuthRequired)
	return false
}

// parseBasic takes the credentials of RFC 7617 apart.
func parseBasic(header string) (username, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {header}}}
	return r.BasicAuth()
}

// unreachable answers a request whose target could not be reached or broke off.
func unreachable(w http.ResponseWriter, err error) {
	code := http.StatusBadGateway
	f := dialFailureOf(err)
	if f == dialTimeout {
		code = http.StatusGatewayTimeout
	}
	http.Error(w, f.String(), code)
}
