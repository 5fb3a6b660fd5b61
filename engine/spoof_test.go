// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// A liar is a TUN device whose host sends packets with any source, as fast as they
// are taken, and counts what it gets.
type liar struct {
	own, own6 netip.Addr // sources that are true, of one packet in honest
	targets   []netip.Addr
	sending   atomic.Bool
	got       atomic.Uint64 // packets
	forged    atomic.Uint64 // those that are not of a true source
	truth     []netip.Addr

	rng    *rand.Rand
	events chan tun.Event
	closed chan struct{}
	once   sync.Once
}

// honest is how many packets there are for one with a true source.
const honest = 1000

func newLiar(truth ...netip.Addr) *liar {
	l := &liar{truth: truth, rng: rand.New(rand.NewPCG(7, 11)), events: make(chan tun.Event, 1), closed: make(chan struct{})}
	l.events <- tun.EventUp
	return l
}

func (l *liar) File() *os.File           { return nil }
func (l *liar) MTU() (int, error)        { return 1420, nil }
func (l *liar) Name() (string, error)    { return "liar0", nil }
func (l *liar) Events() <-chan tun.Event { return l.events }
func (l *liar) BatchSize() int           { return 128 }
func (l *liar) Close() error {
	l.once.Do(func() { close(l.closed); close(l.events) })
	return nil
}

func (l *liar) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	for !l.sending.Load() {
		select {
		case <-l.closed:
			return 0, os.ErrClosed
		case <-time.After(10 * time.Millisecond):
		}
	}
	select {
	case <-l.closed:
		return 0, os.ErrClosed
	default:
	}
	at := tun.ReadPacketSpacing
	for i := range packets {
		n := l.packet(slab[at:])
		packets[i] = tun.ReadPacket{Offset: at, Size: n}
		at += n + tun.ReadPacketSpacing
	}
	return len(packets), nil
}

// packet makes a UDP packet of 60 to 123 bytes.
func (l *liar) packet(b []byte) int {
	random := l.rng.Uint64()
	dst := l.targets[random%uint64(len(l.targets))]
	size := 60 + int(random>>8%64)
	truthful := random>>16%honest == 0
	clear(b[:48])
	if dst.Is4() {
		b[0], b[8], b[9] = 4<<4|5, 64, 17
		binary.BigEndian.PutUint16(b[2:], uint16(size))
		binary.BigEndian.PutUint32(b[12:], l.rng.Uint32())
		if truthful {
			copy(b[12:], l.own.AsSlice())
		} else if b[12] == 10 {
			// Half of them near the truth: other peers, the hub, the network.
			b[13], b[14] = 9, 0
		}
		if !truthful && [4]byte(b[12:16]) == l.own.As4() {
			b[15]++
		}
		copy(b[16:], dst.AsSlice())
		sum := uint32(0)
		for i := 0; i < 20; i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
		return size
	}
	b[0], b[6], b[7] = 6<<4, 17, 64
	binary.BigEndian.PutUint16(b[4:], uint16(size-40))
	src := l.own6.As16()
	if !truthful {
		if random>>32%2 == 0 {
			binary.BigEndian.PutUint64(src[:], l.rng.Uint64())
		}
		src[15] += 1 + byte(random>>40%255)
	}
	copy(b[8:], src[:])
	copy(b[24:], dst.AsSlice())
	return size
}

func (l *liar) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		pkt := b[offset:]
		var src netip.Addr
		if pkt[0]>>4 == 4 {
			src = netip.AddrFrom4([4]byte(pkt[12:16]))
		} else {
			src = netip.AddrFrom16([16]byte(pkt[8:24]))
		}
		l.got.Add(1)
		if src != l.truth[0] && src != l.truth[1] {
			l.forged.Add(1)
		}
	}
	return len(bufs), nil
}

// A peer sends ten million packets with sources that are not its own, among a few
// that are: none of them reaches another peer or the host, whose addresses they
// bear or not.
func TestForgedSources(t *testing.T) {
	testutil.LeakCheck(t)
	total := uint64(10_000_000)
	if testing.Short() || raceEnabled {
		total = 300_000
	}
	hub, sender, receiver := newSite(t, 1), newSite(t, 2), newSite(t, 3)
	exit := newSite(t, 4) // the rest of the world is behind it
	hub.cfg.Router.PeerForwarding = config.ForwardingOn
	hub.knows(sender)
	hub.knows(receiver)
	hub.knows(exit)
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	hub.cfg.Peers[2].AllowedIPs = everything
	start := func(s *site, l *liar) {
		t.Helper()
		e, err := engine.New(s.cfg, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}, Device: l})
		if err != nil {
			t.Fatal(err)
		}
		s.Engine = e
		t.Cleanup(func() { e.Close() })
		testutil.Eventually(t, patience, "the device comes up with its link", func() error {
			if e.ListenPort() == 0 {
				return errors.New("no port")
			}
			return nil
		})
	}
	host, from := newLiar(sender.inner, sender.inner6), newLiar(hub.inner, hub.inner6)
	to, out := newLiar(sender.inner, sender.inner6), newLiar(sender.inner, sender.inner6)
	from.own, from.own6 = sender.inner, sender.inner6
	from.targets = []netip.Addr{
		receiver.inner, receiver.inner6, hub.inner, hub.inner6,
		netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1"),
	}
	start(hub, host)
	for _, s := range []struct {
		*site
		liar *liar
	}{{sender, from}, {receiver, to}, {exit, out}} {
		s.knows(hub)
		s.cfg.Peers[0].AllowedIPs = everything
		s.cfg.Peers[0].PersistentKeepalive = 25
		start(s.site, s.liar)
		testutil.Eventually(t, patience, "there is a session", func() error {
			if hub.peerStatus(s.key.Public()).LastHandshake.IsZero() {
				return fmt.Errorf("no handshake with %v", s.inner)
			}
			return nil
		})
	}
	from.sending.Store(true)
	testutil.Eventually(t, 4*time.Minute, "the hub has all packets", func() error {
		if got := hub.Stats().Network.RxPackets; got < total {
			return fmt.Errorf("%d packets of %d", got, total)
		}
		return nil
	})
	from.sending.Store(false)
	for name, l := range map[string]*liar{"the receiver": to, "the exit": out, "the host": host} {
		testutil.Eventually(t, patience, "what is true arrives", func() error {
			if l.got.Load() == 0 {
				return fmt.Errorf("%s got nothing at all", name)
			}
			return nil
		})
		if n := l.forged.Load(); n > 0 {
			t.Errorf("%s got %d forged packets of %d", name, n, l.got.Load())
		}
	}
	if got := from.got.Load(); got > 0 {
		t.Errorf("the sender got %d packets", got)
	}
	s := hub.Stats()
	t.Logf("%d packets; forwarded %d; dropped %+v", s.Network.RxPackets, s.Hub.Cut.Packets, s.Hub.Dropped)
}
