// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
)

// forwardBuffer is what a response is copied with while it comes in.
const forwardBuffer = 32 << 10

// forwardHeaders are end-to-end headers that ReverseProxy takes out, because it
// is made to stand in front of servers that believe them.
var forwardHeaders = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// newForwarder returns what forwards requests with absolute URLs.
func (h *HTTP) newForwarder() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			for _, k := range forwardHeaders {
				if v, ok := r.In.Header[k]; ok {
					r.Out.Header[k] = v
				}
			}
			r.Out.URL.RawQuery = r.In.URL.RawQuery // whatever it means to the origin
		},
		Transport:     originTransport{},
		FlushInterval: -1, // events must not wait for the next one
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		BufferPool:    &forwardPool{},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // nobody reads it otherwise
				unreachable(w, err)
			}
		},
	}
}

// forward serves a request with an absolute URL.
func (h *HTTP) forward(w http.ResponseWriter, r *http.Request, c *httpClient) {
	defer func() {
		if p := recover(); p != nil {
			// The response broke off. Where its end is the end of the
			// connection, only a reset says so.
			c.SetLinger(0)
			panic(p)
		}
	}()
	// An origin may answer while the client is still sending.
	http.NewResponseController(w).EnableFullDuplex() // HTTP/1 can
	h.forwarder.ServeHTTP(plainWriter{w}, r)
}

// originTransport makes a request over the connections of its client.
type originTransport struct{}

func (originTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return clientOf(r.Context()).origins().RoundTrip(r)
}

// plainWriter keeps package http from guessing the type of what has none.
type plainWriter struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w plainWriter) WriteHeader(code int) {
	if h := w.Header(); code >= 200 && len(h["Content-Type"]) == 0 {
		h["Content-Type"] = nil
	}
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w plainWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// forwardPool lends buffers to ReverseProxy.
type forwardPool struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (p *forwardPool) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, forwardBuffer)
}

// Put implements httputil.BufferPool.
func (p *forwardPool) Put(b []byte) { p.pool.Put(&b) }
