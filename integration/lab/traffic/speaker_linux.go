// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// A Speaker is one WireGuard peer without an interface or an IP stack: it sends
// any bytes as a packet of the tunnel, and says what it gets. It starts
// handshakes and answers none. Not safe for concurrent use.
type Speaker struct {
	host    *lab.Host
	fd      int
	key     lab.Key
	outer   netip.AddrPort
	session *session
}

// NewSpeaker makes a speaker with a socket at the address src of the host.
func NewSpeaker(h *lab.Host, src netip.Addr) (*Speaker, error) {
	fd, err := socket(h, src)
	if err != nil {
		return nil, err
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Speaker{
		host: h, fd: fd, key: lab.NewKey(),
		outer: netip.AddrPortFrom(src, uint16(at.(*unix.SockaddrInet4).Port)),
	}, nil
}

// Close closes the socket.
func (s *Speaker) Close() error { return unix.Close(s.fd) }

// PublicKey returns the speaker's public key.
func (s *Speaker) PublicKey() lab.Key { return s.key.Public() }

// Peer returns the speaker as the other end's configuration has it.
func (s *Speaker) Peer(allowedIPs ...string) lab.Peer {
	return lab.Peer{PublicKey: s.key.Public(), Endpoint: s.outer, AllowedIPs: allowedIPs}
}

// Connect makes a session with the other end. It is good for two minutes.
func (s *Speaker) Connect(remote lab.Key, endpoint netip.AddrPort) error {
	if err := s.host.Do(func() error { return unix.Connect(s.fd, sockaddr(endpoint)) }); err != nil {
		return err
	}
	timeout := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	last := errors.New("not tried")
	for index, deadline := uint32(1), time.Now().Add(lab.Patience); time.Now().Before(deadline); index++ {
		h, msg, err := newInitiation(s.key, remote, index, time.Now())
		if err != nil {
			return err
		}
		if _, err := unix.Write(s.fd, msg); err != nil && err != unix.ECONNREFUSED {
			return err
		}
		if s.session, last = awaitResponse(s.fd, h); last == nil {
			// An empty packet confirms the session; the other end may not use it before.
			return s.Send(nil)
		}
	}
	return fmt.Errorf("no handshake: %w", last)
}

// Send sends packets as they are, padded as WireGuard pads them.
func (s *Speaker) Send(packets ...[]byte) error {
	for _, p := range packets {
		padded := make([]byte, (len(p)+innerPadding-1)/innerPadding*innerPadding)
		copy(padded, p)
		if _, err := unix.Write(s.fd, s.session.seal(nil, padded)); err != nil {
			return err
		}
	}
	return nil
}

// ReceiveUntil returns the packets that arrive, without their padding, before the
// first that is the last one. It is an error when that does not come.
func (s *Speaker) ReceiveUntil(last func(packet []byte) bool) ([][]byte, error) {
	var all [][]byte
	for deadline := time.Now().Add(lab.Patience); time.Now().Before(deadline); {
		packet, err := s.receive()
		if err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return all, err
		}
		if last(packet) {
			return all, nil
		}
		all = append(all, packet)
	}
	return all, fmt.Errorf("%d packets, and not the last one", len(all))
}

// Warm sends a packet every second until one arrives at the other speaker that is
// right: the first packets of a session may be lost. Others that arrive before it
// are forgotten.
func (s *Speaker) Warm(to *Speaker, packet []byte, right func(packet []byte) bool) error {
	for deadline := time.Now().Add(lab.Patience); time.Now().Before(deadline); {
		if err := s.Send(packet); err != nil {
			return err
		}
		for {
			got, err := to.receive()
			if err == unix.EAGAIN {
				break
			}
			if err != nil || right(got) {
				return err
			}
		}
	}
	return errors.New("no packet arrives")
}

// receive returns the next packet; keepalives and handshakes are none.
func (s *Speaker) receive() ([]byte, error) {
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(s.fd, buf)
		switch {
		case err == unix.EINTR || err == unix.ECONNREFUSED:
			continue
		case err != nil:
			return nil, err
		}
		if packet, ok := s.session.open(buf[:n]); ok && len(packet) > 0 {
			return trim(packet), nil
		}
	}
}

// trim returns the packet without its padding, if its length makes sense.
func trim(packet []byte) []byte {
	n := len(packet)
	switch {
	case packet[0]>>4 == 4 && n >= ipHeader:
		n = int(binary.BigEndian.Uint16(packet[2:]))
	case packet[0]>>4 == 6 && n >= ip6Header:
		n = ip6Header + int(binary.BigEndian.Uint16(packet[4:]))
	}
	if n > len(packet) {
		return packet
	}
	return packet[:n]
}
