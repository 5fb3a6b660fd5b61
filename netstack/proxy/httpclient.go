// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// originIdleTimeout ends connections to origins between two requests.
const originIdleTimeout = 90 * time.Second

// httpListener is the listener of an HTTP service as package http sees it.
type httpListener struct{ h *HTTP }

func (l *httpListener) Accept() (net.Conn, error) {
	c, err := l.h.accept()
	if err != nil {
		return nil, err
	}
	l.h.wg.Add(1)
	return &httpClient{TCPConn: c.(*net.TCPConn), h: l.h}, nil // listenHost's are
}

func (l *httpListener) Addr() net.Addr { return l.h.Addr() }

func (l *httpListener) Close() error { return l.h.listener.Close() }

// httpClient is the connection of a client.
type httpClient struct {
	*net.TCPConn
	h *HTTP

	mu        sync.Mutex // guards below
	begun     bool       // it has sent something
	pending   bool       // it has sent something that did not become a request yet
	requests  uint64
	late      bool
	transport *http.Transport // nil: none needed so far
	closed    bool
}

type clientKeyType struct{}

// withClient makes the client of a connection part of the context of requests.
func withClient(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, clientKeyType{}, unwrapClient(c))
}

func clientOf(ctx context.Context) *httpClient {
	return ctx.Value(clientKeyType{}).(*httpClient) // withClient's is
}

// unwrapClient returns the client of a connection of the server, through TLS.
func unwrapClient(c net.Conn) *httpClient {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	return c.(*httpClient) // httpListener's are
}

// noteState tells a client that something came from it.
func noteState(c net.Conn, state http.ConnState) {
	if state == http.StateActive {
		client := unwrapClient(c)
		client.mu.Lock()
		client.pending = true
		client.mu.Unlock()
	}
}

// handled tells that what came was a request.
func (c *httpClient) handled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = false
	c.requests++
}

// Read looks at the first byte: a client of another protocol gets nothing.
func (c *httpClient) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	var ne net.Error
	if err == nil && c.begun || n == 0 && err == nil {
		return n, err
	}
	c.mu.Lock()
	c.late = c.late || errors.As(err, &ne) && ne.Timeout()
	first := n > 0 && !c.begun
	c.begun = c.begun || first
	c.mu.Unlock()
	if first {
		if !c.h.expects(b[0]) {
			c.stranger(b[0])
			return 0, io.EOF
		}
	}
	return n, err
}

// expects reports whether what a client sends may begin with b: TLS with the
// type of a handshake record (RFC 8446, 5.1), HTTP with a letter or a line feed
// to ignore. What is close to HTTP gets its answer from package http.
func (h *HTTP) expects(b byte) bool {
	if h.tls != nil {
		return b == 0x16
	}
	return b >= ' ' || b == '\r' || b == '\n'
}

// stranger answers a client that forgets TLS.
func (c *httpClient) stranger(first byte) {
	if c.h.tls == nil || first < 'A' || first > 'Z' {
		return
	}
	const answer = "HTTP/1.0 400 Bad Request\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n" +
		"Connection: close\r\n\r\n" +
		"This proxy is reached over TLS. Set it up with https:// in the program that sent this request.\n"
	if _, err := io.WriteString(c.TCPConn, answer); err == nil {
		farewell(c.TCPConn)
	}
}

// Close closes the connection, gives its place back and counts how it ended.
func (c *httpClient) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	t := c.transport
	if !c.h.isStopped() {
		switch {
		case c.late && (c.pending || c.requests == 0):
			c.h.count.timeouts.Add(1)
		case c.pending, c.begun && c.requests == 0:
			c.h.count.badRequests.Add(1)
		}
	}
	c.mu.Unlock()
	if t != nil {
		t.CloseIdleConnections()
	}
	c.h.forget(c.TCPConn)
	c.h.wg.Done()
	return nil
}

// origins returns what makes the client's requests.
func (c *httpClient) origins() *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport == nil {
		c.transport = &http.Transport{
			DialContext:            c.h.dialOrigin,
			DisableCompression:     true, // what the client did not ask for
			MaxIdleConns:           16,   // origins that a client uses by turns
			MaxIdleConnsPerHost:    1,    // a client has one request at a time
			IdleConnTimeout:        originIdleTimeout,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: 1 << 20,
		}
	}
	return c.transport
}

// dialOrigin connects to an origin in the tunnel.
func (h *HTTP) dialOrigin(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := h.dialer.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	if !h.track(c) {
		return nil, net.ErrClosed
	}
	return &originConn{Conn: c, h: h}, nil
}

// originConn is a connection to an origin. It counts bytes.
type originConn struct {
	net.Conn
	h *HTTP
}

func (c *originConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.h.count.bytesIn.Add(uint64(n))
	return n, err
}

func (c *originConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.h.count.bytesOut.Add(uint64(n))
	return n, err
}

// CloseWrite ends the writing side, of an upgraded connection.
func (c *originConn) CloseWrite() error { return closeWrite(c.Conn) }

func (c *originConn) Close() error {
	c.h.untrack(c.Conn)
	return c.Conn.Close()
}
