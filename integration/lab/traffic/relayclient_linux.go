// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/peers/disco"
	"golang.org/x/sys/unix"
)

// A RelayClient is a client of a router's relay without a tunnel: a key and a UDP
// socket. Not safe for concurrent use.
type RelayClient struct {
	fd     int
	public disco.Key
	pair   *disco.Pair
	cookie [32]byte
	buf    [disco.MaxFrame]byte
}

// A RelaySession is what the relay keeps for two clients.
type RelaySession struct {
	vni        geneve.VNI
	generation uint64
}

const (
	// relayPatience is how long an answer may take before the question is asked
	// again, and relayAttempts how often it is.
	relayPatience = 300 * time.Millisecond
	relayAttempts = 20
)

// NewRelayClient makes a client with a private key, whose socket is at the IPv4
// address; port 0 is any.
func NewRelayClient(h *lab.Host, private lab.Key, at netip.AddrPort, relayKey lab.Key, relay netip.AddrPort) (*RelayClient, error) {
	id := disco.NewIdentity(disco.Key(private))
	pair, err := id.Pair(disco.DomainRelay, disco.Key(relayKey))
	if err != nil {
		return nil, err
	}
	fd, err := socketAt(h, at)
	if err != nil {
		return nil, err
	}
	c := &RelayClient{fd: fd, public: id.Public(), pair: pair}
	timeout := unix.NsecToTimeval(int64(relayPatience))
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err == nil {
		err = h.Do(func() error { return unix.Connect(fd, sockaddr(relay)) })
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the socket; the relay keeps what it has.
func (c *RelayClient) Close() error { return unix.Close(c.fd) }

// Register registers the client, which takes two questions.
func (c *RelayClient) Register() error {
	for range 2 {
		m, err := c.ask(disco.RelayMessage{Type: disco.TypeRegister, Cookie: c.cookie}, 0)
		if err != nil {
			return err
		}
		c.cookie = m.Cookie
		if m.Type == disco.TypeRegistered {
			return nil
		}
	}
	return errors.New("relay: the cookie of the challenge is not accepted")
}

// Allocate returns the session with another client that is registered.
func (c *RelayClient) Allocate(other *RelayClient) (RelaySession, error) {
	m, err := c.ask(disco.RelayMessage{Type: disco.TypeAllocate, Cookie: c.cookie, Key: other.public}, 0)
	if err != nil {
		return RelaySession{}, err
	}
	if m.Type != disco.TypeAllocated || m.Status != disco.StatusDone {
		return RelaySession{}, fmt.Errorf("relay: no session: %s, %s", m.Type, m.Status)
	}
	vni, err := geneve.MakeVNI(m.VNI)
	return RelaySession{vni: vni, generation: m.Generation}, err
}

// Bind binds the client's leg of the session to where its socket is.
func (c *RelayClient) Bind(s RelaySession) error {
	m := disco.RelayMessage{Type: disco.TypeBind, VNI: s.vni.Value(), Generation: s.generation}
	challenge, err := c.ask(m, s.vni)
	if err != nil {
		return err
	}
	if challenge.Type == disco.TypeBindChallenge {
		m.Type, m.Cookie = disco.TypeBindAnswer, challenge.Cookie
		if challenge, err = c.ask(m, s.vni); err != nil {
			return err
		}
	}
	if challenge.Type != disco.TypeBound {
		return fmt.Errorf("relay: the leg is not bound: %s", challenge.Type)
	}
	return nil
}

// Known reports whether the relay still has the session.
func (c *RelayClient) Known(s RelaySession) (bool, error) {
	m, err := c.ask(disco.RelayMessage{Type: disco.TypeBind, VNI: s.vni.Value(), Generation: s.generation}, s.vni)
	return m.Type != disco.TypeUnknown, err
}

// ask sends a question, over Geneve if the VNI is set, until it is answered.
func (c *RelayClient) ask(m disco.RelayMessage, vni geneve.VNI) (disco.RelayMessage, error) {
	rand.Read(m.TxID[:]) // never fails
	body := m.AppendBody(nil)
	for range relayAttempts {
		var b []byte
		if vni.IsSet() {
			b = make([]byte, geneve.HeaderLen, geneve.HeaderLen+disco.Overhead+len(body))
			if _, err := (geneve.Header{VNI: vni, Protocol: geneve.ProtocolDisco, Control: true}).Put(b); err != nil {
				return m, err
			}
		}
		if _, err := unix.Write(c.fd, c.pair.Seal(b, disco.Epoch(time.Now()), body)); err != nil && err != unix.ECONNREFUSED {
			return m, fmt.Errorf("relay: send: %w", err)
		}
		for until := time.Now().Add(relayPatience); time.Now().Before(until); {
			n, err := unix.Read(c.fd, c.buf[:])
			switch {
			case err == unix.EAGAIN || err == unix.EINTR || err == unix.ECONNREFUSED:
				continue
			case err != nil:
				return m, fmt.Errorf("relay: receive: %w", err)
			}
			if answer, ok := c.open(c.buf[:n]); ok && answer.TxID == m.TxID {
				return answer, nil
			}
		}
	}
	return m, fmt.Errorf("relay: no answer to %s", m.Type)
}

// open returns the message of a datagram, if it is one of the relay.
func (c *RelayClient) open(b []byte) (m disco.RelayMessage, ok bool) {
	var h geneve.Header
	if !disco.IsFrame(b) && h.Decode(b) == nil && h.Control && h.Protocol == geneve.ProtocolDisco {
		b = b[geneve.HeaderLen:]
	}
	body, err := c.pair.Open(nil, b)
	return m, err == nil && m.Decode(body) == nil
}
