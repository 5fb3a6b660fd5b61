// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// known answers for a network, and counts how often it is asked.
type known struct {
	network netip.Prefix
	asked   atomic.Int64
	during  func() // called while it is asked
}

func (k *known) has(a netip.Addr) bool {
	k.asked.Add(1)
	if k.during != nil {
		k.during()
	}
	return k.network.Contains(a)
}

// read gives the Device packets of the host and returns what wireguard-go gets.
func (l *lab) read(pkts ...[]byte) (out [][]byte) {
	l.t.Helper()
	marker := udp(hostAddr, aliceAddr, 1)
	l.host.send <- append(pkts, marker)
	slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 128)
	n, err := l.Queues()[0].Read(slab, packets)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, p := range packets[:n] {
		out = append(out, append([]byte(nil), slab[p.Offset:p.Offset+p.Size]...))
	}
	if last := len(out) - 1; last < 0 || string(out[last]) != string(marker) {
		l.t.Fatalf("the last packet has not passed: %x", out)
	}
	return out[:len(out)-1]
}

// Packets that no peer would get are dropped by reason, whatever else the Device does,
// and what was read is what passed and what was dropped.
func TestNoPeer(t *testing.T) {
	for name, forwarding := range map[string]hub.Forwarding{"off": hub.Off, "on": hub.On, "isolated": hub.Isolated} {
		t.Run(name, func(t *testing.T) {
			k := &known{network: netip.MustParsePrefix("10.0.0.0/24")}
			l := newLab(t, &hub.Options{Forwarding: forwarding, HasPeer: k.has})
			good, bad := udp(hostAddr, bobAddr, 10), udp(hostAddr, anywhere, 10)
			bad6 := udp(hostAddr6, bob6, 10)
			other := append([]byte(nil), good...)
			other[0] = 0x55
			long := make([]byte, 65496)
			copy(long, udp(hostAddr, bobAddr, len(long)-28))
			same(t, "read", l.read(good, bad, good, bad6, other, good[:19], long, good), good, good, good)
			s := l.Stats()
			if s.Dropped.NoPeer != 2 || s.Dropped.TooBig != 1 || s.Malformed[inner.Version]+s.Malformed[inner.Short] != 2 {
				t.Errorf("dropped %+v, malformed %v", s.Dropped, s.Malformed)
			}
			if s.ToPeers != 4 {
				t.Errorf("%d packets were read, want 4", s.ToPeers)
			}
			if n := k.asked.Load(); n > 4 {
				t.Errorf("asked %d times about four addresses", n)
			}
		})
	}
}

// While peers change nobody's packets are dropped, and what was remembered is asked
// again after that.
func TestNoPeerWhilePeersChange(t *testing.T) {
	k := &known{network: netip.MustParsePrefix("10.0.0.2/32")}
	l := newLab(t, &hub.Options{HasPeer: k.has})
	pkt := udp(hostAddr, bobAddr, 10)
	if got := l.read(pkt); len(got) != 0 {
		t.Errorf("%d packets pass without a peer", len(got))
	}
	l.BeginChange()
	same(t, "during a change", l.read(pkt), pkt)
	k.network = netip.MustParsePrefix("10.0.0.0/24")
	l.EndChange()
	same(t, "after it", l.read(pkt), pkt)

	// An answer that may be of a change that begins just then does not count.
	k.network = netip.MustParsePrefix("10.0.0.2/32")
	l.BeginChange()
	l.EndChange()
	k.during = sync.OnceFunc(l.BeginChange)
	same(t, "asked during a change", l.read(pkt), pkt)
	k.during = nil
	l.EndChange()
	if got := l.read(pkt); len(got) != 0 {
		t.Errorf("%d packets pass without a peer", len(got))
	}
	if n := l.Stats().Dropped.NoPeer; n != 2 {
		t.Errorf("%d packets without a peer, want 2", n)
	}
}

// Many destinations share the places that they are remembered at: each gets its own
// answer.
func TestNoPeerManyDestinations(t *testing.T) {
	k := &known{network: netip.MustParsePrefix("10.0.0.0/9")}
	l := newLab(t, &hub.Options{HasPeer: k.has})
	var want, dropped int
	for i := range uint32(2000) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24|i*0x9e3779b1>>8)
		addr := netip.AddrFrom4(b)
		has := k.network.Contains(addr)
		if got := l.read(udp(hostAddr, addr, 1), udp(hostAddr, addr, 2)); len(got) != map[bool]int{true: 2, false: 0}[has] {
			t.Fatalf("%v: %d packets pass, has a peer: %v", addr, len(got), has)
		}
		if has {
			want += 2
		} else {
			dropped += 2
		}
	}
	if s := l.Stats(); s.ToPeers != uint64(want+2000) || s.Dropped.NoPeer != uint64(dropped) || dropped == 0 {
		t.Errorf("%d read, %d without a peer, want %d and %d", s.ToPeers, s.Dropped.NoPeer, want+2000, dropped)
	}
}

// What peers sent is counted, whatever becomes of it.
func TestFromPeers(t *testing.T) {
	l := newLab(t, nil)
	l.write(udp(aliceAddr, bobAddr, 1), udp(aliceAddr, hostAddr, 1))
	l.SetForwarding(hub.On)
	l.write(udp(aliceAddr, hostAddr, 1), udp(aliceAddr, bobAddr, 1), udp(aliceAddr, aliceAddr, 1), []byte{0x45})
	if _, err := l.WriteTo(-1, [][]byte{make([]byte, offset+1)}, offset); err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.FromPeers != 7 {
		t.Errorf("%d packets from peers, want 7", s.FromPeers)
	}
	l.cut()
	if s = l.Stats(); s.ToPeers != 1 {
		t.Errorf("%d packets to peers, want 1", s.ToPeers)
	}
}

// A steady is a host whose queue always has the same batch.
type steady struct {
	*fakeHost
	batch [][]byte
}

func (s *steady) Queues() []tun.Queue { return []tun.Queue{s} }

func (s *steady) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	at := tun.ReadPacketSpacing
	for i, p := range s.batch {
		copy(slab[at:], p)
		packets[i] = tun.ReadPacket{Offset: at, Size: len(p)}
		at += len(p) + tun.ReadPacketSpacing
	}
	return len(s.batch), nil
}

func (s *steady) File() *os.File { return nil }

func newSteady(t testing.TB, destinations int, o *hub.Options) *hub.Device {
	s := &steady{fakeHost: newFakeHost()}
	for i := range 64 {
		dst := netip.AddrFrom4([4]byte{10, 3, byte(i * 7 % destinations), 1})
		s.batch = append(s.batch, udp(hostAddr, dst, 32))
	}
	d, err := hub.New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestHostReadNoAllocs(t *testing.T) {
	d := newSteady(t, 64, &hub.Options{HasPeer: func(netip.Addr) bool { return true }})
	slab, packets, q := make([]byte, 131070), make([]tun.ReadPacket, 128), d.Queues()[0]
	read := func() {
		if n, err := q.Read(slab, packets); n != 64 || err != nil {
			t.Fatal(n, err)
		}
	}
	read()
	if allocs := testing.AllocsPerRun(100, read); allocs > 0 && !raceEnabled {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkHostRead is what a packet of the host costs with forwarding off: nothing
// asked, all to one address, and to 64 in turn.
func BenchmarkHostRead(b *testing.B) {
	yes := func(netip.Addr) bool { return true }
	for _, c := range []struct {
		name         string
		destinations int
		has          func(netip.Addr) bool
	}{{"unasked", 1, nil}, {"one", 1, yes}, {"64", 64, yes}} {
		b.Run(c.name, func(b *testing.B) {
			d := newSteady(b, c.destinations, &hub.Options{HasPeer: c.has})
			slab, packets, q := make([]byte, 131070), make([]tun.ReadPacket, 128), d.Queues()[0]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := q.Read(slab, packets); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/packet")
		})
	}
}
