// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"time"
)

// greet agrees with a client on how it proves who it is, and lets it. It reports
// whether the client may go on.
func (s *SOCKS5) greet(ctx context.Context, c net.Conn, r *bufio.Reader) bool {
	version, err := r.ReadByte()
	if err != nil {
		if err != io.EOF { //nolint:errorlint // a look at the port, no request
			s.failed(err)
		}
		return false
	}
	if version != socksVersion {
		s.count.badRequests.Add(1)
		s.stranger(c, version)
		return false
	}
	methods, err := readSocksMethods(r)
	if err != nil {
		s.failed(err)
		return false
	}
	method := s.choose(methods)
	if _, err := c.Write([]byte{socksVersion, method}); err != nil {
		s.failed(err)
		return false
	}
	switch method {
	case socksNoAuth:
		return true
	case socksPassword:
		return s.authenticate(ctx, c, r)
	}
	s.count.authFailures.Add(1)
	farewell(c)
	return false
}

// choose returns the method to use of those a client offers. Without a login
// any password is right, for clients that cannot do without.
func (s *SOCKS5) choose(methods []byte) byte {
	switch {
	case s.login == nil && bytes.IndexByte(methods, socksNoAuth) >= 0:
		return socksNoAuth
	case bytes.IndexByte(methods, socksPassword) >= 0:
		return socksPassword
	}
	return socksNoMethod
}

// authenticate reads and checks name and password.
func (s *SOCKS5) authenticate(ctx context.Context, c net.Conn, r *bufio.Reader) bool {
	username, password, err := readSocksPassword(r)
	if err != nil {
		s.failed(err)
		return false
	}
	if s.login.check(username, password) {
		_, err := c.Write([]byte{socksAuthVersion, socksAuthAccepted})
		return err == nil
	}
	s.count.authFailures.Add(1)
	if !s.login.penalty(ctx) {
		return false
	}
	c.SetDeadline(time.Now().Add(replyTimeout))
	if _, err := c.Write([]byte{socksAuthVersion, socksAuthRefused}); err == nil {
		farewell(c)
	}
	return false
}

// stranger answers a client that speaks another protocol, by its first byte, so
// that whoever set it up sees what is wrong.
func (s *SOCKS5) stranger(c net.Conn, first byte) {
	var answer string
	switch {
	case first == 4:
		answer = "\x00\x5b\x00\x00\x00\x00\x00\x00" // SOCKS 4: rejected
	case 'A' <= first && first <= 'Z':
		const text = "This is a SOCKS 5 proxy, not an HTTP proxy. Set it up as SOCKS 5 in the program that sent this request.\n"
		answer = "HTTP/1.0 400 Bad Request\r\n" +
			"Content-Type: text/plain; charset=utf-8\r\n" +
			"Connection: close\r\n\r\n" + text
	default:
		return
	}
	if _, err := io.WriteString(c, answer); err == nil {
		farewell(c)
	}
}
