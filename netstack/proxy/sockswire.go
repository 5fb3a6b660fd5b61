// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// Bytes of SOCKS 5 (RFC 1928) and its passwords (RFC 1929).
const (
	socksVersion = 5

	socksNoAuth       = 0x00
	socksPassword     = 0x02
	socksNoMethod     = 0xff
	socksAuthVersion  = 1
	socksAuthAccepted = 0
	socksAuthRefused  = 1

	socksConnect   = 1
	socksBind      = 2
	socksAssociate = 3

	socksIPv4   = 1
	socksDomain = 3
	socksIPv6   = 4
)

// Replies to a request (RFC 1928, section 6).
const (
	socksSucceeded          = 0x00
	socksFailure            = 0x01
	socksNetworkUnreachable = 0x03
	socksHostUnreachable    = 0x04
	socksRefused            = 0x05
	socksTTLExpired         = 0x06
	socksNoCommand          = 0x07
	socksNoAddressType      = 0x08
)

// socksMessageSize is room for the longest message of a client, a password:
// version, length, name, length, password.
const socksMessageSize = 1 + 1 + 255 + 1 + 255

var (
	errSocksVersion = errors.New("socks: not version 5")
	errSocksAuth    = errors.New("socks: not version 1 of username and password")
	errSocksAddress = errors.New("socks: unknown type of address")
	errSocksName    = errors.New("socks: a name without characters")
)

// socksTarget is an address or a name, with a port.
//
//	+------+----------+------+
//	| ATYP | ADDRESS  | PORT |
//	+------+----------+------+
//	|  1   | variable |  2   |
//	+------+----------+------+
//
// The address is 4 (ATYP 1) or 16 bytes (4), or a length and a name (3).
type socksTarget struct {
	addr netip.Addr // invalid: name
	name string
	port uint16
}

// String returns host:port.
func (t socksTarget) String() string {
	host := t.name
	if t.addr.IsValid() {
		host = t.addr.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.port)))
}

// appendTo appends t as it is sent. The name has at most 255 bytes.
func (t socksTarget) appendTo(b []byte) []byte {
	switch {
	case t.addr.Is4():
		a := t.addr.As4()
		b = append(append(b, socksIPv4), a[:]...)
	case t.addr.IsValid():
		a := t.addr.As16()
		b = append(append(b, socksIPv6), a[:]...)
	default:
		b = append(append(b, socksDomain, byte(len(t.name))), t.name...)
	}
	return binary.BigEndian.AppendUint16(b, t.port)
}

// readSocksTarget reads a target and nothing behind it.
func readSocksTarget(r *bufio.Reader) (socksTarget, error) {
	var t socksTarget
	var buf [255]byte
	kind, err := r.ReadByte()
	if err != nil {
		return t, noEOF(err)
	}
	var n int
	switch kind {
	case socksIPv4:
		n = 4
	case socksIPv6:
		n = 16
	case socksDomain:
		length, err := r.ReadByte()
		if err != nil {
			return t, noEOF(err)
		}
		if n = int(length); n == 0 {
			return t, errSocksName
		}
	default:
		return t, errSocksAddress
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return t, noEOF(err)
	}
	var port [2]byte
	if _, err := io.ReadFull(r, port[:]); err != nil {
		return t, noEOF(err)
	}
	if kind == socksDomain {
		t.name = string(buf[:n])
	} else {
		t.addr, _ = netip.AddrFromSlice(buf[:n])
	}
	t.port = binary.BigEndian.Uint16(port[:])
	return t, nil
}

// socksRequest is what a client asks for.
//
//	+-----+-----+-----+--------+
//	| VER | CMD | RSV | TARGET |
//	+-----+-----+-----+--------+
//	|  1  |  1  |  1  |        |
//	+-----+-----+-----+--------+
type socksRequest struct {
	command byte
	target  socksTarget
}

func (q socksRequest) appendTo(b []byte) []byte {
	return q.target.appendTo(append(b, socksVersion, q.command, 0))
}

// readSocksRequest reads a request and nothing behind it.
func readSocksRequest(r *bufio.Reader) (socksRequest, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return socksRequest{}, noEOF(err)
	}
	if head[0] != socksVersion {
		return socksRequest{}, errSocksVersion
	}
	target, err := readSocksTarget(r)
	if err != nil {
		return socksRequest{}, err
	}
	return socksRequest{command: head[1], target: target}, nil
}

// readSocksMethods reads the greeting behind its version byte: a length and the
// methods of authentication the client offers.
func readSocksMethods(r *bufio.Reader) ([]byte, error) {
	n, err := r.ReadByte()
	if err != nil {
		return nil, noEOF(err)
	}
	methods := make([]byte, n)
	_, err = io.ReadFull(r, methods)
	return methods, noEOF(err)
}

// readSocksPassword reads a user name and a password (RFC 1929, section 2).
func readSocksPassword(r *bufio.Reader) (username, password string, err error) {
	version, err := r.ReadByte()
	if err != nil {
		return "", "", noEOF(err)
	}
	if version != socksAuthVersion {
		return "", "", errSocksAuth
	}
	var fields [2]string
	for i := range fields {
		n, err := r.ReadByte()
		if err != nil {
			return "", "", noEOF(err)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return "", "", noEOF(err)
		}
		fields[i] = string(b)
	}
	return fields[0], fields[1], nil
}

// noEOF turns the end of the input into one that is too early.
func noEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // as package io has it
		return io.ErrUnexpectedEOF
	}
	return err
}
