// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// A Datagram is a UDP datagram as it was seen on an interface.
type Datagram struct {
	Src, Dst netip.AddrPort
	Payload  []byte
}

// A Sniffer collects the UDP datagrams that pass an interface, in either
// direction.
type Sniffer struct {
	fd   int
	stop func()
	done chan struct{}
	err  error // the goroutine's until done is closed

	mu   sync.Mutex
	seen []Datagram
}

// Sniff starts collecting on an interface of the host.
func Sniff(h *lab.Host, ifname string) (*Sniffer, error) {
	s := &Sniffer{done: make(chan struct{})}
	err := h.Do(func() (err error) {
		link, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return err
		}
		// The reader looks up from time to time whether it should end.
		tv := unix.NsecToTimeval(int64(50 * time.Millisecond))
		return errors.Join(
			unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
			unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
			unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}),
		)
	})
	if err != nil {
		return nil, err
	}
	stop := make(chan struct{})
	go s.run(stop)
	s.stop = sync.OnceFunc(func() { close(stop) })
	return s, nil
}

func (s *Sniffer) run(stop <-chan struct{}) {
	defer close(s.done)
	buf := make([]byte, 1<<16)
	stopped := false
	for {
		flags := 0
		select {
		case <-stop:
			// What the interface has passed by now is in the socket.
			stopped, flags = true, unix.MSG_DONTWAIT
		default:
		}
		n, _, err := unix.Recvfrom(s.fd, buf, flags)
		if err == unix.EINTR || err == unix.EAGAIN && !stopped {
			continue
		}
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			s.err = err
			return
		}
		if d, ok := parseUDP(buf[:n]); ok {
			d.Payload = slices.Clone(d.Payload)
			s.mu.Lock()
			s.seen = append(s.seen, d)
			s.mu.Unlock()
		}
	}
}

// parseUDP finds the UDP datagram in an IP packet without extension headers or
// fragmentation.
func parseUDP(b []byte) (Datagram, bool) {
	var src, dst netip.Addr
	switch {
	case len(b) >= 28 && b[0]>>4 == 4 && b[9] == unix.IPPROTO_UDP:
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[int(b[0]&15)*4:]
	case len(b) >= 48 && b[0]>>4 == 6 && b[6] == unix.IPPROTO_UDP:
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40:]
	default:
		return Datagram{}, false
	}
	if len(b) < 8 {
		return Datagram{}, false
	}
	return Datagram{
		Src:     netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)),
		Dst:     netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:])),
		Payload: b[8:],
	}, true
}

// Stop ends the collection and returns what was seen, in order.
func (s *Sniffer) Stop() ([]Datagram, error) {
	s.stop()
	<-s.done
	return s.seen, errors.Join(s.err, unix.Close(s.fd))
}

// Send sends datagrams from the address and port of the host, any port if 0, as
// they are.
func Send(h *lab.Host, src, dst netip.AddrPort, payloads ...[]byte) error {
	return h.Do(func() error {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(src), net.UDPAddrFromAddrPort(dst))
		if err != nil {
			return err
		}
		defer c.Close()
		for _, p := range payloads {
			if _, err := c.Write(p); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return err
			}
		}
		return nil
	})
}
