// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// less returns the packet as it is one hop later.
func less(pkt []byte) []byte { return hopLimit(pkt, hopsOf(pkt)-1) }

func TestWhereAPacketGoes(t *testing.T) {
	const host, direct, dropped = "host", "peer", ""
	tests := []struct {
		name     string
		src, dst netip.Addr
		off, on  string
		isolated string
	}{
		{"to the host", aliceAddr, hostAddr, host, host, host},
		{"to the host, IPv6", alice6, hostAddr6, host, host, host},
		{"to another address of the host", aliceAddr, netip.MustParseAddr("192.168.1.1"), host, host, host},
		{"to an address of the host in a peer's range", bobAddr, netip.MustParseAddr("10.2.255.1"), host, host, host},
		{"to a network of the host", aliceAddr, lanAddr, host, host, host},
		{"to a peer", aliceAddr, bobAddr, host, direct, dropped},
		{"to a peer, IPv6", alice6, bob6, host, direct, dropped},
		{"to a network behind a peer", aliceAddr, netip.MustParseAddr("10.3.1.1"), host, direct, dropped},
		{"from a network behind a peer", netip.MustParseAddr("10.3.1.1"), aliceAddr, host, direct, dropped},
		{"by default to a peer", aliceAddr, anywhere, host, direct, dropped},
		{"from anywhere", anywhere, aliceAddr, host, direct, dropped},
		{"from the way to anywhere back there", carolAddr, anywhere, host, host, host},
		{"back to its sender", aliceAddr, netip.MustParseAddr("10.2.0.9"), host, dropped, dropped},
		{"to itself", aliceAddr, aliceAddr, host, dropped, dropped},
		{"multicast that is a peer's", aliceAddr, netip.MustParseAddr("224.0.0.5"), host, host, host},
		{"multicast", aliceAddr, netip.MustParseAddr("ff02::1"), "-", "-", "-"},
		{"broadcast", aliceAddr, netip.MustParseAddr("255.255.255.255"), host, host, host},
		{"loopback", aliceAddr, netip.MustParseAddr("127.0.0.1"), host, host, host},
		{"link-local", aliceAddr, netip.MustParseAddr("169.254.1.1"), host, host, host},
		{"with the host's source", hostAddr, bobAddr, host, dropped, dropped},
		{"with a source of the host's network", lanAddr, bobAddr, host, dropped, dropped},
		{"IPv6 that is nobody's", alice6, netip.MustParseAddr("2001:db8::1"), host, host, host},
	}
	for _, mode := range []hub.Forwarding{hub.Off, hub.On, hub.Isolated} {
		for _, test := range tests {
			want := map[hub.Forwarding]string{hub.Off: test.off, hub.On: test.on, hub.Isolated: test.isolated}[mode]
			if want == "-" {
				continue
			}
			t.Run(mode.String()+"/"+test.name, func(t *testing.T) {
				l := newLab(t, &hub.Options{Forwarding: mode})
				pkt := udp(test.src, test.dst, 100)
				n := l.write(pkt)
				switch want {
				case host:
					same(t, "host", l.host.take(), pkt)
				case direct:
					same(t, "host", l.host.take())
					same(t, "peer", l.cut(), less(pkt))
				case dropped:
					same(t, "host", l.host.take())
				}
				if taken := want != dropped; (n == 1) != taken {
					t.Errorf("%d packets took effect, want %v", n, taken)
				}
				if l.waiting() != 0 {
					t.Errorf("%d packets wait", l.waiting())
				}
			})
		}
	}
}

func TestDropsAreCounted(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	long := udp(aliceAddr, bobAddr, 50)
	l.write(
		udp(aliceAddr, aliceAddr, 10), // loop
		udp(hostAddr, bobAddr, 10),    // source
		long[:len(long)-1],            // length
		long[:10],                     // short
		func() []byte { p := udp(aliceAddr, bobAddr, 10); p[10] ^= 1; return p }(),        // checksum
		append([]byte{5 << 4}, make([]byte, 40)...),                                       // version
		sum4(func() []byte { p := udp(aliceAddr, bobAddr, 10); p[6] = 0x20; return p }()), // a fragment of 18 bytes with more to follow
		udp(aliceAddr, netip.MustParseAddr("224.0.0.9"), 10),
	)
	s := l.Stats()
	if want := (hub.Drops{Loop: 1, Source: 1}); s.Dropped != want {
		t.Errorf("dropped %+v, want %+v", s.Dropped, want)
	}
	for problem, want := range map[inner.Problem]uint64{inner.Length: 1, inner.Short: 1, inner.Checksum: 1, inner.Version: 1, inner.Header: 1} {
		if got := s.Malformed[problem]; got != want {
			t.Errorf("malformed by %v: %d, want %d", problem, got, want)
		}
	}
	if s.LocalScope != 1 {
		t.Errorf("local scope: %d, want 1", s.LocalScope)
	}
	if got := len(l.host.take()); got != 1 {
		t.Errorf("the host got %d packets, want the multicast one", got)
	}
	l.SetForwarding(hub.Isolated)
	l.write(udp(aliceAddr, bobAddr, 10))
	if got := l.Stats().Dropped.Isolated; got != 1 {
		t.Errorf("isolated: %d, want 1", got)
	}
}

func TestForwardingChangesLive(t *testing.T) {
	l := newLab(t, nil)
	if l.Forwarding() != hub.Off {
		t.Fatalf("forwarding is %v by default", l.Forwarding())
	}
	pkt := udp(aliceAddr, bobAddr, 10)
	l.write(pkt)
	same(t, "host", l.host.take(), pkt)
	l.SetForwarding(hub.On)
	l.write(pkt)
	same(t, "peer", l.cut(), less(pkt))
	l.SetRoutes(&hub.Routes{}) // nobody is anywhere
	l.write(pkt)
	same(t, "host", l.host.take(), pkt)
}

func TestHostDefault(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	r := routes()
	r.HostDefault4 = true
	l.SetRoutes(r)
	pkt := udp(aliceAddr, anywhere, 10)
	l.write(pkt)
	same(t, "host", l.host.take(), pkt)
	back := udp(anywhere, aliceAddr, 10) // the peer may still send from anywhere
	l.write(back)
	same(t, "peer", l.cut(), less(back))
}

// A packet that the host has routed between peers is stopped on its way out.
func TestIsolatedThroughTheHost(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.Isolated})
	read := func(pkts ...[]byte) (out [][]byte) {
		l.host.send <- pkts
		l.host.send <- [][]byte{udp(hostAddr, bobAddr, 1)} // something comes in any case
		slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 128)
		for {
			n, err := l.Read(slab, packets)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range packets[:n] {
				if p.Size == 29 {
					return out
				}
				out = append(out, append([]byte(nil), slab[p.Offset:p.Offset+p.Size]...))
			}
		}
	}
	own, lan, internet := udp(hostAddr, bobAddr, 20), udp(lanAddr, bobAddr, 20), udp(anywhere, bobAddr, 20)
	between, between6 := udp(aliceAddr, bobAddr, 20), udp(alice6, bob6, 20)
	same(t, "to the peers", read(own, between, lan, between6, internet), own, lan, internet)
	if got := l.Stats().Dropped.Isolated; got != 2 {
		t.Errorf("isolated: %d, want 2", got)
	}
	l.SetForwarding(hub.Off)
	same(t, "to the peers", read(own, between), own, between)
}

func TestFilterIsAsked(t *testing.T) {
	for _, mode := range []hub.Forwarding{hub.Off, hub.On} {
		t.Run(mode.String(), func(t *testing.T) {
			f, err := filter.New([]filter.Rule{
				{Action: filter.Allow, From: filter.End{Parties: []filter.Party{alice}}, To: filter.End{Parties: []filter.Party{bob}}},
				{Action: filter.Allow, From: filter.End{Host: true}},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			l := newLab(t, &hub.Options{Forwarding: mode, Filter: f})
			question := testutil.UDP(netip.AddrPortFrom(aliceAddr, 1), netip.AddrPortFrom(bobAddr, 2), []byte("?"))
			answer := testutil.UDP(netip.AddrPortFrom(bobAddr, 2), netip.AddrPortFrom(aliceAddr, 1), []byte("!"))
			if n := l.write(answer); n != 0 {
				t.Error("an answer passed before the question")
			}
			if n := l.write(udp(aliceAddr, hostAddr, 5)); n != 0 {
				t.Error("a packet for the host passed without a rule")
			}
			if n := l.write(question); n != 1 {
				t.Error("the question did not pass")
			}
			if n := l.write(answer); n != 1 {
				t.Error("the answer did not pass")
			}
			if got := l.Stats().Dropped.Filtered; got != 2 {
				t.Errorf("filtered: %d, want 2", got)
			}
		})
	}
}

func TestQueuesOfTheHostStay(t *testing.T) {
	l := newLab(t, nil)
	queues := l.Queues()
	if len(queues) != 3 || queues[2].File() != nil {
		t.Fatalf("queues: %v", queues)
	}
	if name, err := l.Name(); name != "fake0" || err != nil {
		t.Errorf("name %q, %v", name, err)
	}
	if mtu, err := l.MTU(); mtu != 1420 || err != nil {
		t.Errorf("MTU %d, %v", mtu, err)
	}
	if l.BatchSize() != 128 {
		t.Errorf("batch size %d", l.BatchSize())
	}
}

func TestCloseEndsReads(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	errs := make(chan error)
	for _, q := range l.Queues() {
		go func() {
			_, err := q.Read(make([]byte, 131070), make([]tun.ReadPacket, 128))
			errs <- err
		}()
	}
	l.write(udp(aliceAddr, bobAddr, 10))
	if err := <-errs; err != nil {
		t.Fatal(err) // that of the queue for peers
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range len(l.Queues()) - 1 {
		if err := <-errs; !errors.Is(err, os.ErrClosed) {
			t.Errorf("read: %v", err)
		}
	}
	l.Close()
	if _, err := l.WriteTo(0, [][]byte{append(make([]byte, offset), udp(aliceAddr, bobAddr, 10)...)}, offset); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if s := l.Stats(); s.Held != 0 || s.Dropped.Closed != 1 {
		t.Errorf("%d bytes are held, %d packets were dropped", s.Held, s.Dropped.Closed)
	}
}

func TestCloseCountsWhatWaits(t *testing.T) {
	l := newLab(t, &hub.Options{Forwarding: hub.On})
	l.write(udp(aliceAddr, bobAddr, 10), udp(aliceAddr, carolAddr, 10), udp(bobAddr, aliceAddr, 10))
	l.Close()
	if got := l.Stats().Dropped.Closed; got != 3 {
		t.Errorf("%d packets were dropped, want 3", got)
	}
}
