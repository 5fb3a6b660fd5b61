// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// AppendTo appends the keys of a get reply, without its errno line and blank
// line, in the order in which wireguard-go prints them. Pairs in Extra that
// would not come back as they are, because of a line break, a second "=" or the
// name of a key of the protocol, are left out.
func (d *Device) AppendTo(b []byte) []byte {
	if d.PrivateKey != (Key{}) {
		b = appendKey(b, "private_key", &d.PrivateKey)
	}
	if d.ListenPort != 0 {
		b = appendUint(b, "listen_port", uint64(d.ListenPort))
	}
	if d.FwMark != 0 {
		b = appendUint(b, "fwmark", uint64(d.FwMark))
	}
	b = appendExtra(b, d.Extra)
	for i := range d.Peers {
		b = d.Peers[i].appendTo(b)
	}
	return b
}

func (p *Peer) appendTo(b []byte) []byte {
	b = appendKey(b, "public_key", &p.PublicKey)
	b = appendKey(b, "preshared_key", &p.PresharedKey)
	b = append(b, "protocol_version=1\n"...)
	if p.Endpoint.IsValid() {
		b = appendEndpoint(b, p.Endpoint)
	}
	var sec, nsec uint64 // a time before 1970 cannot be written and is "never"
	if s := p.LastHandshake.Unix(); s >= 0 {
		sec, nsec = uint64(s), uint64(p.LastHandshake.Nanosecond())
	}
	b = appendUint(b, "last_handshake_time_sec", sec)
	b = appendUint(b, "last_handshake_time_nsec", nsec)
	b = appendUint(b, "tx_bytes", p.TxBytes)
	b = appendUint(b, "rx_bytes", p.RxBytes)
	b = appendUint(b, "persistent_keepalive_interval", uint64(p.PersistentKeepalive))
	for _, prefix := range p.AllowedIPs {
		b = append(b, "allowed_ip="...)
		b = append(prefix.AppendTo(b), '\n')
	}
	return appendExtra(b, p.Extra)
}

func appendExtra(b []byte, extra []KeyValue) []byte {
	for _, kv := range extra {
		if kv.valid() {
			b = append(append(append(append(b, kv.Key...), '='), kv.Value...), '\n')
		}
	}
	return b
}

// valid reports whether the pair survives the text form.
func (kv KeyValue) valid() bool {
	switch kv.Key {
	case "", "errno", "private_key", "listen_port", "fwmark", "public_key", "preshared_key", "protocol_version",
		"endpoint", "last_handshake_time_sec", "last_handshake_time_nsec", "tx_bytes", "rx_bytes",
		"persistent_keepalive_interval", "allowed_ip":
		return false
	}
	return !strings.ContainsAny(kv.Key, "=\r\n") && !strings.ContainsAny(kv.Value, "=\r\n") &&
		len(kv.Key)+len(kv.Value)+2 <= maxReplyLine
}

// ParseDevice reads the text of a get reply up to its blank line or the end of
// r, whichever comes first, so that it also takes what wireguard-go's IpcGet
// returns. It may read beyond the blank line. A reply with an errno that is not
// 0 is an [*Error]. On error the result is nil.
func ParseDevice(r io.Reader) (*Device, error) {
	d, err := readDevice(bufio.NewReader(r))
	if err != nil && !errors.Is(err, errNoErrno) {
		return nil, err
	}
	return d, nil
}

// errNoErrno is a reply that ended before its errno line: complete for IpcGet,
// cut off for a socket.
var errNoErrno = errors.New("reply ends before its errno")

// readDevice reads one reply. With errNoErrno the device is not nil.
func readDevice(r *bufio.Reader) (*Device, error) {
	l := &lineReader{r: r, maxLine: maxReplyLine, left: unlimited}
	d := new(Device)
	p := deviceParser{d: d}
	for {
		line, err := l.next()
		if err == io.EOF || err == nil && len(line) == 0 {
			break
		}
		if err != nil {
			return nil, errorf(ErrnoIO, "read reply: %w", err)
		}
		if err := p.parseLine(line); err != nil {
			return nil, err
		}
	}
	p.finishPeer()
	switch {
	case !p.sawErrno:
		return d, errNoErrno
	case p.errno != 0:
		return nil, replyError(p.errno, "")
	}
	return d, nil
}

// A deviceParser holds what a get reply said so far.
type deviceParser struct {
	d         *Device
	peer      *Peer // the current peer; nil before the first
	sec, nsec int64 // its handshake time, in two lines
	errno     int64
	sawErrno  bool
}

// finishPeer puts the two halves of the handshake time together.
func (p *deviceParser) finishPeer() {
	if p.peer != nil && (p.sec != 0 || p.nsec != 0) {
		p.peer.LastHandshake = time.Unix(p.sec, p.nsec)
	}
	p.sec, p.nsec = 0, 0
}

func (p *deviceParser) parseLine(line []byte) error {
	key, value, ok := cutLine(line)
	if !ok {
		return errorf(ErrnoProtocol, "parse reply: line is not key=value")
	}
	var err error
	switch {
	case string(key) == "errno":
		p.sawErrno = true
		p.errno, err = strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			err = errNumber
		}
	case string(key) == "public_key":
		p.finishPeer()
		p.d.Peers = append(p.d.Peers, Peer{})
		p.peer = &p.d.Peers[len(p.d.Peers)-1]
		p.peer.PublicKey, err = parseKey(value)
	case p.peer == nil:
		err = p.parseDeviceLine(key, value)
	default:
		err = p.parsePeerLine(key, value)
	}
	if err != nil {
		return errorf(ErrnoProtocol, "parse reply: %s: %w", printable(key), err)
	}
	return nil
}

func (p *deviceParser) parseDeviceLine(key, value []byte) (err error) {
	var n uint64
	switch string(key) {
	case "private_key":
		p.d.PrivateKey, err = parseKey(value)
	case "listen_port":
		n, err = parseUint(value, 16)
		p.d.ListenPort = uint16(n)
	case "fwmark":
		n, err = parseUint(value, 32)
		p.d.FwMark = uint32(n)
	default:
		p.d.Extra = append(p.d.Extra, KeyValue{string(key), string(value)})
	}
	return err
}

func (p *deviceParser) parsePeerLine(key, value []byte) (err error) {
	var n uint64
	switch string(key) {
	case "preshared_key":
		p.peer.PresharedKey, err = parseKey(value)
	case "protocol_version":
	case "endpoint":
		p.peer.Endpoint, err = parseEndpoint(value)
	case "last_handshake_time_sec":
		n, err = parseUint(value, 63)
		p.sec = int64(n)
	case "last_handshake_time_nsec":
		n, err = parseUint(value, 30)
		p.nsec = int64(n)
		if p.nsec >= int64(time.Second) {
			err = errNumber
		}
	case "tx_bytes":
		p.peer.TxBytes, err = parseUint(value, 64)
	case "rx_bytes":
		p.peer.RxBytes, err = parseUint(value, 64)
	case "persistent_keepalive_interval":
		n, err = parseUint(value, 16)
		p.peer.PersistentKeepalive = uint16(n)
	case "allowed_ip":
		prefix, perr := parsePrefix(value)
		p.peer.AllowedIPs = append(p.peer.AllowedIPs, prefix)
		err = perr
	default:
		p.peer.Extra = append(p.peer.Extra, KeyValue{string(key), string(value)})
	}
	return err
}
