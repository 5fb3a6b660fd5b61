// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
)

// tcp listens on the host and connects through the tunnel.
func (t *tunnel) tcp(f forward, log *slog.Logger) error {
	target, err := netip.ParseAddrPort(f.target)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return err
	}
	go accept(l, log, func() (net.Conn, error) { return t.net.DialTCPAddrPort(target) })
	return nil
}

// tcpIn listens in the tunnel and connects to the host's network.
func (t *tunnel) tcpIn(f forward, log *slog.Logger) error {
	port, err := strconv.ParseUint(f.listen, 10, 16)
	if err != nil {
		return err
	}
	l, err := t.net.ListenTCP(&net.TCPAddr{Port: int(port)})
	if err != nil {
		return err
	}
	go accept(l, log, func() (net.Conn, error) { return net.Dial("tcp", f.target) })
	return nil
}

// accept serves a listener for as long as the program runs.
func accept(l net.Listener, log *slog.Logger, dial func() (net.Conn, error)) {
	for {
		c, err := l.Accept()
		if err != nil {
			log.Error("accept", "listener", l.Addr(), "err", err)
			return
		}
		go func() {
			other, err := dial()
			if err != nil {
				log.Warn("connect", "err", err)
				c.Close()
				return
			}
			go move(c, other)
			move(other, c)
		}()
	}
}

// move copies from one connection to the other, and closes both at the end.
func move(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	io.Copy(to, from) // how it ends is the business of the two ends
}
