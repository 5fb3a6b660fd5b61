// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

const (
	echoRequest4 = 8
	echoRequest6 = 128
	echoHeader   = 8  // type, code, checksum, identifier, sequence number
	echoNonce    = 16 // of our own, to know the answer by
	echoPayload  = 56 // as ping(8)
)

// Ping sends one ICMP echo request to addr and waits for its answer until ctx
// ends. It returns how long the answer took.
func (n *Net) Ping(ctx context.Context, addr netip.Addr) (time.Duration, error) {
	addr = addr.Unmap().WithZone("")
	network := "ping4"
	if addr.Is6() {
		network = "ping6"
	}
	rtt, err := n.ping(ctx, network, addr)
	if err != nil {
		return 0, opError("ping", "sendto", network, nil, &net.IPAddr{IP: addr.AsSlice()}, err)
	}
	return rtt, nil
}

func (n *Net) ping(ctx context.Context, network string, addr netip.Addr) (time.Duration, error) {
	if !addr.IsValid() {
		return 0, net.InvalidAddrError("no address")
	}
	if err := n.check(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c, err := newPingConn(n, network, addr)
	if err != nil {
		return 0, err
	}
	defer c.abort()

	// The endpoint fills in identifier and checksum.
	request := make([]byte, echoHeader+echoPayload)
	request[0] = c.request
	binary.BigEndian.PutUint16(request[6:], 1)
	nonce := request[echoHeader : echoHeader+echoNonce]
	rand.Read(nonce)
	start := time.Now()
	if _, terr := c.ep.Write(bytes.NewReader(request), tcpip.WriteOptions{}); terr != nil {
		return 0, c.closedOr(terr)
	}
	var reply [echoHeader + echoPayload]byte
	for {
		sink := tcpip.SliceWriter(reply[:])
		res, terr := c.ep.Read(&sink, tcpip.ReadOptions{})
		switch terr.(type) {
		case nil:
			if res.Count == len(reply) && bytes.Equal(reply[echoHeader:echoHeader+echoNonce], nonce) {
				return time.Since(start), nil
			}
			continue
		case *tcpip.ErrWouldBlock:
		default:
			return 0, c.closedOr(terr)
		}
		select {
		case <-c.readable:
		case <-n.done:
			return 0, net.ErrClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
