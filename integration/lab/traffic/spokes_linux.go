// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// Spokes are many peers of one hub: a load generator that is the same whatever
// the hub is. Each has its own keys, UDP socket and address in the tunnel, and
// no interface: it seals and opens its packets itself. They start every
// handshake and answer none. Not safe for concurrent use.
type Spokes struct {
	host   *lab.Host
	spokes []*spoke
	fds    []int // of the spokes
	size   int   // of the payload of inner packets

	hub       lab.Key
	connected time.Time
	indices   uint32 // of the last handshake

	sink     int // a socket in the hub's namespace; -1 = none
	sinkPort uint16
	next     uint64 // number of the next trial's first packet
}

type spoke struct {
	fd      int
	key     lab.Key
	outer   netip.AddrPort
	inner   netip.Addr
	session *session
	send    innerPacket // to where this trial goes
	expect  innerPacket // from the spoke before
}

// Addresses of the hub's tunnel.
var (
	HubAddress = netip.MustParseAddr("10.88.0.1")
	HubPrefix  = netip.PrefixFrom(HubAddress, 16)
)

// MakeHub makes the host forward between spokes: before the interface is made.
func MakeHub(h *lab.Host) {
	h.Sysctl("net/ipv4/ip_forward", "1")
	for _, name := range []string{"all", "default"} {
		h.Sysctl("net/ipv4/conf/"+name+"/rp_filter", "0")
		// The way from spoke to spoke leaves by the interface that it came in at;
		// the hub should not tell the spokes to go directly.
		h.Sysctl("net/ipv4/conf/"+name+"/send_redirects", "0")
	}
}

// NewSpokes makes n spokes, at least two, with sockets at the address src of the
// host, whose inner packets have size bytes of payload.
func NewSpokes(h *lab.Host, src netip.Addr, n, size int) (*Spokes, error) {
	if n < 2 || n > 250 || size < innerMinimum || size > 1392 {
		return nil, fmt.Errorf("%d spokes with %d bytes of payload", n, size)
	}
	s := &Spokes{host: h, size: size, sink: -1}
	for i := range n {
		fd, err := socket(h, src)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.fds = append(s.fds, fd)
		at, err := unix.Getsockname(fd)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.spokes = append(s.spokes, &spoke{
			fd: fd, key: lab.NewKey(),
			outer: netip.AddrPortFrom(src, uint16(at.(*unix.SockaddrInet4).Port)),
			inner: netip.AddrFrom4([4]byte{10, 88, 1, byte(i + 1)}),
		})
	}
	for i, sp := range s.spokes {
		sp.expect = newInnerPacket(s.before(i).inner, sp.inner, innerPort, size)
	}
	return s, nil
}

func (s *Spokes) before(i int) *spoke { return s.spokes[(i+len(s.spokes)-1)%len(s.spokes)] }
func (s *Spokes) after(i int) *spoke  { return s.spokes[(i+1)%len(s.spokes)] }

// Close closes the sockets.
func (s *Spokes) Close() error {
	var errs []error
	for _, fd := range s.fds {
		errs = append(errs, unix.Close(fd))
	}
	if s.sink >= 0 {
		errs = append(errs, unix.Close(s.sink))
	}
	return errors.Join(errs...)
}

// Peers returns the spokes as the hub's configuration has them.
func (s *Spokes) Peers() []lab.Peer {
	var peers []lab.Peer
	for _, sp := range s.spokes {
		peers = append(peers, lab.Peer{
			PublicKey: sp.key.Public(), Endpoint: sp.outer,
			AllowedIPs: []string{netip.PrefixFrom(sp.inner, 32).String()},
		})
	}
	return peers
}

// Connect makes a session of each spoke with the hub, which has the address
// [HubAddress], and returns when each spoke has received a packet of another. It
// may be called again, for new sessions.
func (s *Spokes) Connect(hub *lab.Host, key lab.Key, endpoint netip.AddrPort) error {
	s.hub = key
	if s.sink < 0 {
		fd, err := socket(hub, HubAddress)
		if err != nil {
			return err
		}
		s.sink = fd
		at, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		s.sinkPort = uint16(at.(*unix.SockaddrInet4).Port)
	}
	for i, sp := range s.spokes {
		if err := s.host.Do(func() error { return unix.Connect(sp.fd, sockaddr(endpoint)) }); err != nil {
			return fmt.Errorf("spoke %d: %w", i, err)
		}
	}
	return s.reconnect()
}

func (s *Spokes) reconnect() error {
	for i, sp := range s.spokes {
		if err := s.handshake(sp); err != nil {
			return fmt.Errorf("spoke %d: %w", i, err)
		}
	}
	s.connected = time.Now()
	for deadline := time.Now().Add(lab.Patience); ; {
		// Slow enough for anything: two packets of each spoke.
		const rate = 1000
		t, err := s.try(rate, time.Duration(2*len(s.spokes))*time.Second/rate, false)
		if err != nil || t.Received == t.Sent {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the hub does not forward: %s", t)
		}
	}
}

// handshake makes a session, and confirms it with a packet without content, as
// the hub may not use it before.
func (s *Spokes) handshake(sp *spoke) error {
	timeout := unix.NsecToTimeval(int64(time.Second))
	if err := unix.SetsockoptTimeval(sp.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	var last error
	for deadline := time.Now().Add(lab.Patience); time.Now().Before(deadline); {
		s.indices++
		h, msg, err := newInitiation(sp.key, s.hub, s.indices, time.Now())
		if err != nil {
			return err
		}
		if _, err := unix.Write(sp.fd, msg); err != nil && err != unix.ECONNREFUSED {
			return err
		}
		if sp.session, last = awaitResponse(sp.fd, h); last == nil {
			_, err := unix.Write(sp.fd, sp.session.seal(nil, nil))
			return err
		}
	}
	return fmt.Errorf("no handshake: %w", last)
}

// awaitResponse reads until the response comes or nothing for a second.
func awaitResponse(fd int, h *initiation) (*session, error) {
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == responseSize && buf[0] == 2 {
			return h.finish(buf[:n])
		}
	}
}

// ToPeers makes all spokes at once send packets to the next spoke, through the
// hub's kernel: rate packets a second of all together, in turn.
func (s *Spokes) ToPeers(rate int, d time.Duration) (Trial, error) { return s.fresh(rate, d, false) }

// ToHub makes all spokes at once send packets to a socket of the hub.
func (s *Spokes) ToHub(rate int, d time.Duration) (Trial, error) { return s.fresh(rate, d, true) }

func (s *Spokes) fresh(rate int, d time.Duration, toHub bool) (Trial, error) {
	// Keys are good for 180 s, and the hub would want new ones before that.
	if time.Since(s.connected)+d > 90*time.Second {
		if err := s.reconnect(); err != nil {
			return Trial{}, err
		}
	}
	return s.try(rate, d, toHub)
}

func (s *Spokes) try(rate int, d time.Duration, toHub bool) (Trial, error) {
	n := int64(len(s.spokes))
	for i, sp := range s.spokes {
		if toHub {
			sp.send = newInnerPacket(sp.inner, HubAddress, s.sinkPort, s.size)
		} else {
			sp.send = newInnerPacket(sp.inner, s.after(i).inner, innerPort, s.size)
		}
	}
	t := newTrial(rate, d)
	// Packet i is of spoke i modulo their number, which begins with a packet
	// that belongs to spoke 0.
	c := newCounter(len(s.spokes), s.next, t.count)
	var receive *drain
	if toHub {
		expect := &s.spokes[0].expect // of another flow: the content is the same
		receive = newDrain([]int{s.sink}, 2048, tick, func(_ int, payload []byte) {
			if len(payload) != s.size || !expect.sameContent(payload) {
				c.corrupt++
				return
			}
			c.packet(payload, s.size)
		})
	} else {
		// Every other tick: there are many sockets to ask.
		receive = newDrain(s.fds, 2048, 2*tick, func(i int, msg []byte) { s.spokes[i].arrived(msg, c) })
	}
	buf := make([]byte, 0, 2048)
	err := t.run(func(first, count int64) (int64, error) {
		for i := range count {
			sp := s.spokes[(first+i)%n]
			if _, err := unix.Write(sp.fd, sp.session.seal(buf, sp.send.number(s.next+uint64(first+i)))); err != nil {
				return i, err
			}
		}
		return count, nil
	}, receive, c)
	s.next += uint64(t.count)
	return t.Trial, err
}

// arrived counts what a spoke received. Keepalives and handshakes are no
// packets.
func (sp *spoke) arrived(msg []byte, c *counter) {
	packet, ok := sp.session.open(msg)
	if !ok || len(packet) == 0 {
		return
	}
	seq, ok := sp.expect.same(packet)
	if !ok {
		c.corrupt++
		return
	}
	c.account(seq)
}
