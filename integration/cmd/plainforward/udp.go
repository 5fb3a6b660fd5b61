// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	udpBuffer = 64 << 10
	// udpIdle is when a client without an answer is forgotten.
	udpIdle = time.Minute
)

// clients are those of one UDP forward: a socket in the tunnel for each.
type clients struct {
	host *net.UDPConn
	dial func() (net.Conn, error)
	log  *slog.Logger

	mu    sync.Mutex
	conns map[netip.AddrPort]net.Conn
}

// udp listens on the host and sends through the tunnel.
func (t *tunnel) udp(f forward, log *slog.Logger) error {
	listen, err := netip.ParseAddrPort(f.listen)
	if err != nil {
		return err
	}
	target, err := netip.ParseAddrPort(f.target)
	if err != nil {
		return err
	}
	host, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(listen))
	if err != nil {
		return err
	}
	c := &clients{host: host, log: log, conns: make(map[netip.AddrPort]net.Conn)}
	c.dial = func() (net.Conn, error) { return t.net.DialUDPAddrPort(netip.AddrPort{}, target) }
	go c.run()
	return nil
}

// run moves datagrams into the tunnel.
func (c *clients) run() {
	buf := make([]byte, udpBuffer)
	for {
		n, from, err := c.host.ReadFromUDPAddrPort(buf)
		if err != nil {
			c.log.Warn("receive", "err", err)
			continue
		}
		inside, err := c.get(from)
		if err != nil {
			c.log.Warn("connect", "err", err)
			continue
		}
		if _, err := inside.Write(buf[:n]); err != nil {
			c.forget(from, inside)
		}
	}
}

// get returns the client's socket in the tunnel, a new one for a new client.
func (c *clients) get(client netip.AddrPort) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if inside, ok := c.conns[client]; ok {
		return inside, nil
	}
	inside, err := c.dial()
	if err != nil {
		return nil, err
	}
	c.conns[client] = inside
	go c.answer(client, inside)
	return inside, nil
}

// answer moves datagrams out of the tunnel.
func (c *clients) answer(client netip.AddrPort, inside net.Conn) {
	defer c.forget(client, inside)
	buf := make([]byte, udpBuffer)
	for {
		if err := inside.SetReadDeadline(time.Now().Add(udpIdle)); err != nil {
			return
		}
		n, err := inside.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.host.WriteToUDPAddrPort(buf[:n], client); err != nil {
			return
		}
	}
}

// forget ends a client.
func (c *clients) forget(client netip.AddrPort, inside net.Conn) {
	inside.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns[client] == inside {
		delete(c.conns, client)
	}
}
