// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bufio"
	"errors"
	"io"
)

// AppendTo appends the text of a set request behind its "set=1" line: key=value
// lines and the blank line that ends it. wireguard-go's IpcSet takes the same
// text.
func (r *SetRequest) AppendTo(b []byte) []byte {
	if r.PrivateKey != nil {
		b = appendKey(b, "private_key", r.PrivateKey)
	}
	if r.ListenPort != nil {
		b = appendUint(b, "listen_port", uint64(*r.ListenPort))
	}
	if r.FwMark != nil {
		b = appendUint(b, "fwmark", uint64(*r.FwMark))
	}
	if r.ReplacePeers {
		b = append(b, "replace_peers=true\n"...)
	}
	for i := range r.Peers {
		b = r.Peers[i].appendTo(b)
	}
	return append(b, '\n')
}

func (p *PeerRequest) appendTo(b []byte) []byte {
	b = appendKey(b, "public_key", &p.PublicKey)
	if p.UpdateOnly {
		b = append(b, "update_only=true\n"...)
	}
	if p.Remove {
		b = append(b, "remove=true\n"...)
	}
	if p.PresharedKey != nil {
		b = appendKey(b, "preshared_key", p.PresharedKey)
	}
	if p.Endpoint != nil {
		b = appendEndpoint(b, *p.Endpoint)
	}
	if p.PersistentKeepalive != nil {
		b = appendUint(b, "persistent_keepalive_interval", uint64(*p.PersistentKeepalive))
	}
	if p.ReplaceAllowedIPs {
		b = append(b, "replace_allowed_ips=true\n"...)
	}
	for _, c := range p.AllowedIPs {
		b = append(b, "allowed_ip="...)
		if c.Remove {
			b = append(b, '-')
		}
		b = append(c.Prefix.AppendTo(b), '\n')
	}
	return b
}

// ParseSet reads the text of a set request behind its "set=1" line, up to and
// including the blank line, and parses it. On error, an [*Error], the result is
// nil and, if the request had a blank line within the limits, r stands behind
// it.
func ParseSet(r *bufio.Reader) (*SetRequest, error) {
	req, bad, fatal := readSet(&lineReader{r: r, maxLine: maxLine, left: defaultMaxRequest})
	if bad != nil {
		return nil, bad
	}
	if fatal != nil {
		return nil, fatal
	}
	return req, nil
}

// readSet reads one request. bad says what is wrong with it; fatal that what
// follows in the stream is not the next request. Either makes req nil.
func readSet(l *lineReader) (req *SetRequest, bad, fatal error) {
	req = new(SetRequest)
	for {
		line, err := l.next()
		switch {
		case errors.Is(err, errLineTooLong):
			err = errorf(ErrnoInvalid, "read request: %w", err)
		case errors.Is(err, errRequestTooLong):
			return nil, nil, errorf(ErrnoInvalid, "read request: %w", err)
		case err != nil:
			return nil, nil, cutOff(err)
		case len(line) == 0:
			return req, nil, nil
		default:
			err = req.parseLine(line)
		}
		if err != nil {
			req = nil // may be large
			if skipErr := l.skip(); skipErr != nil {
				fatal = cutOff(skipErr)
			}
			return nil, err, fatal
		}
	}
}

// cutOff is the error of a request that ends before its blank line. Whoever
// wrote it may have been killed half way, so none of it counts.
func cutOff(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errorf(ErrnoProtocol, "read request: end before its blank line: %w", io.ErrUnexpectedEOF)
	}
	return errorf(ErrnoIO, "read request: %w", err)
}

// parseLine applies one line; a public_key line starts the next peer.
func (r *SetRequest) parseLine(line []byte) error {
	key, value, ok := cutLine(line)
	if !ok {
		return errorf(ErrnoProtocol, "line is not key=value")
	}
	var err error
	switch {
	case string(key) == "public_key":
		var k Key
		if k, err = parseKey(value); err == nil {
			r.Peers = append(r.Peers, PeerRequest{PublicKey: k})
		}
	case len(r.Peers) == 0:
		err = r.parseDeviceLine(key, value)
	default:
		err = r.Peers[len(r.Peers)-1].parseLine(key, value)
	}
	if err != nil {
		return errorf(ErrnoInvalid, "%s: %w", printable(key), err)
	}
	return nil
}

func (r *SetRequest) parseDeviceLine(key, value []byte) error {
	switch string(key) {
	case "private_key":
		k, err := parseKey(value)
		r.PrivateKey = &k
		return err
	case "listen_port":
		n, err := parseUint(value, 16)
		port := uint16(n)
		r.ListenPort = &port
		return err
	case "fwmark":
		n, err := parseUint(value, 32)
		mark := uint32(n)
		r.FwMark = &mark
		return err
	case "replace_peers":
		r.ReplacePeers = true
		return parseTrue(value)
	}
	return errors.New("unknown device key")
}

func (p *PeerRequest) parseLine(key, value []byte) error {
	switch string(key) {
	case "update_only":
		p.UpdateOnly = true
		return parseTrue(value)
	case "remove":
		p.Remove = true
		return parseTrue(value)
	case "preshared_key":
		k, err := parseKey(value)
		p.PresharedKey = &k
		return err
	case "endpoint":
		ap, err := parseEndpoint(value)
		p.Endpoint = &ap
		return err
	case "persistent_keepalive_interval":
		n, err := parseUint(value, 16)
		seconds := uint16(n)
		p.PersistentKeepalive = &seconds
		return err
	case "replace_allowed_ips":
		// Lines apply in order, so what was added before is taken away again.
		p.ReplaceAllowedIPs, p.AllowedIPs = true, nil
		return parseTrue(value)
	case "allowed_ip":
		var c AllowedIPChange
		if len(value) > 0 && value[0] == '-' {
			c.Remove, value = true, value[1:]
		}
		prefix, err := parsePrefix(value)
		c.Prefix = prefix
		p.AllowedIPs = append(p.AllowedIPs, c)
		return err
	case "protocol_version":
		if string(value) != "1" {
			return errVersion
		}
		return nil
	}
	return errors.New("unknown peer key")
}
