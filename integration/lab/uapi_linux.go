// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// answer is what the control socket says to one request.
type answer struct {
	pairs []pair
	errno int
}

type pair struct{ key, value string }

// uapi sends a request, which ends with an empty line, to the control socket
// and reads the answer. The lab has a client of its own, that knows nothing of
// the server under test.
func uapi(path, request string) (answer, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		return answer{}, err
	}
	if _, err := c.Write([]byte(request)); err != nil {
		return answer{}, err
	}
	var a answer
	errno := ""
	for s := bufio.NewScanner(c); s.Scan(); {
		if s.Text() == "" {
			a.errno, err = strconv.Atoi(errno)
			return a, err
		}
		key, value, ok := strings.Cut(s.Text(), "=")
		if !ok || strings.Contains(value, "=") {
			return a, fmt.Errorf("line %q is not key=value", s.Text())
		}
		if key == "errno" {
			errno = value
			continue
		}
		a.pairs = append(a.pairs, pair{key, value})
	}
	return a, errors.New("the answer does not end with an empty line")
}

// status reads the answer to get=1.
func (a answer) status() (Status, error) {
	s := Status{Peers: make(map[Key]PeerStatus), Extra: make(map[string]string)}
	var public *Key
	for _, p := range a.pairs {
		if p.key == "public_key" {
			k, err := parseHex(p.value)
			if err != nil {
				return s, err
			}
			public = &k
			s.Peers[k] = PeerStatus{Extra: make(map[string]string)}
			continue
		}
		var err error
		if public == nil {
			err = s.read(p)
		} else {
			peer := s.Peers[*public]
			err = peer.read(p)
			s.Peers[*public] = peer
		}
		if err != nil {
			return s, fmt.Errorf("%s=%s: %w", p.key, p.value, err)
		}
	}
	return s, nil
}

func (s *Status) read(p pair) error {
	switch p.key {
	case "listen_port":
		n, err := strconv.ParseUint(p.value, 10, 16)
		s.ListenPort = uint16(n)
		return err
	case "fwmark":
		n, err := strconv.ParseUint(p.value, 0, 32)
		s.FwMark = uint32(n)
		return err
	case "private_key":
	default:
		s.Extra[p.key] = p.value
	}
	return nil
}

func (s *PeerStatus) read(p pair) (err error) {
	switch p.key {
	case "preshared_key":
		s.PresharedKey, err = parseHex(p.value)
	case "endpoint":
		s.Endpoint, err = netip.ParseAddrPort(p.value)
	case "last_handshake_time_sec", "last_handshake_time_nsec":
		var n int64
		n, err = strconv.ParseInt(p.value, 10, 64)
		if n == 0 {
			break
		}
		if s.Handshake.IsZero() {
			s.Handshake = time.Unix(0, 0)
		}
		if strings.HasSuffix(p.key, "nsec") {
			s.Handshake = s.Handshake.Add(time.Duration(n))
		} else {
			s.Handshake = s.Handshake.Add(time.Duration(n) * time.Second)
		}
	case "tx_bytes":
		s.Tx, err = strconv.ParseInt(p.value, 10, 64)
	case "rx_bytes":
		s.Rx, err = strconv.ParseInt(p.value, 10, 64)
	case "allowed_ip":
		s.AllowedIPs = append(s.AllowedIPs, p.value)
	case "protocol_version", "persistent_keepalive_interval":
	default:
		s.Extra[p.key] = p.value
	}
	return err
}

func parseHex(s string) (Key, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(Key{}) {
		return Key{}, fmt.Errorf("%q is not a key", s)
	}
	return Key(b), nil
}
