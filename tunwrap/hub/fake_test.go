// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hub_test

import (
	"bytes"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// offset is wireguard-go's.
const offset = 16

// A fakeHost is the device inside: it remembers what is written and reads what the
// test gives it.
type fakeHost struct {
	mtu    int
	mu     sync.Mutex
	got    [][]byte
	flows  []int
	quiet  bool // do not remember
	send   chan [][]byte
	closed chan struct{}
	once   sync.Once
}

func newFakeHost() *fakeHost {
	return &fakeHost{mtu: 1420, send: make(chan [][]byte, 8), closed: make(chan struct{})}
}

func (f *fakeHost) File() *os.File                       { return nil }
func (f *fakeHost) MTU() (int, error)                    { return f.mtu, nil }
func (f *fakeHost) Name() (string, error)                { return "fake0", nil }
func (f *fakeHost) Events() <-chan tun.Event             { return nil }
func (f *fakeHost) BatchSize() int                       { return 128 }
func (f *fakeHost) Queues() []tun.Queue                  { return []tun.Queue{f, f} }
func (f *fakeHost) Close() error                         { f.once.Do(func() { close(f.closed) }); return nil }
func (f *fakeHost) Write(b [][]byte, o int) (int, error) { return f.WriteTo(0, b, o) }

func (f *fakeHost) WriteTo(flow int, bufs [][]byte, offset int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.quiet {
		return len(bufs), nil
	}
	for _, b := range bufs {
		f.got = append(f.got, bytes.Clone(b[offset:]))
		f.flows = append(f.flows, flow)
	}
	return len(bufs), nil
}

func (f *fakeHost) Read(slab []byte, packets []tun.ReadPacket) (int, error) {
	select {
	case batch := <-f.send:
		at := tun.ReadPacketSpacing
		for i, p := range batch {
			copy(slab[at:], p)
			packets[i] = tun.ReadPacket{Offset: at, Size: len(p)}
			at += len(p) + tun.ReadPacketSpacing
		}
		return len(batch), nil
	case <-f.closed:
		return 0, os.ErrClosed
	}
}

// take returns what was written since the last call.
func (f *fakeHost) take() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.got
	f.got, f.flows = nil, nil
	return out
}

// The network of the tests: three peers, the third of which is the way to
// everywhere else, and a host with another network.
const (
	alice filter.Party = iota + 1
	bob
	carol
)

var (
	hostAddr  = netip.MustParseAddr("10.0.0.1")
	hostAddr6 = netip.MustParseAddr("fd00::1")
	aliceAddr = netip.MustParseAddr("10.0.0.2")
	alice6    = netip.MustParseAddr("fd00::2")
	bobAddr   = netip.MustParseAddr("10.0.0.3")
	bob6      = netip.MustParseAddr("fd00::3")
	carolAddr = netip.MustParseAddr("10.0.0.4")
	lanAddr   = netip.MustParseAddr("192.168.1.7")
	anywhere  = netip.MustParseAddr("203.0.113.9")
)

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func routes() *hub.Routes {
	return &hub.Routes{
		Peers: []hub.Peer{
			{Party: alice, AllowedIPs: prefixes("10.0.0.2/32", "10.2.0.0/16", "fd00::2/128")},
			{Party: bob, AllowedIPs: prefixes("10.0.0.3/32", "10.3.0.0/16", "fd00::3/128")},
			{Party: carol, AllowedIPs: prefixes("10.0.0.4/32", "0.0.0.0/0", "224.0.0.0/8")},
		},
		Addresses: []netip.Addr{hostAddr, hostAddr6},
		Local:     prefixes("127.0.0.0/8", "192.168.1.1/32", "10.2.255.1/32"),
		Networks:  prefixes("192.168.1.0/24", "0.0.0.0/0"),
	}
}

// lab is a Device with its host.
type lab struct {
	*hub.Device
	host  *fakeHost
	queue tun.Queue // for packets between peers
	t     testing.TB
}

func newLab(t testing.TB, o *hub.Options) *lab {
	t.Helper()
	host := newFakeHost()
	d, err := hub.New(host, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	d.SetRoutes(routes())
	queues := d.Queues()
	return &lab{Device: d, host: host, queue: queues[len(queues)-1], t: t}
}

// write gives the packets to the Device as wireguard-go does and returns copies of
// them as they were before.
func (l *lab) write(pkts ...[]byte) int {
	l.t.Helper()
	bufs := make([][]byte, len(pkts))
	for i, p := range pkts {
		bufs[i] = append(make([]byte, offset), p...)
	}
	n, err := l.WriteTo(7, bufs, offset)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// cut reads one batch of the queue for packets between peers. There must be one.
func (l *lab) cut() [][]byte {
	l.t.Helper()
	slab, packets := make([]byte, 131070), make([]tun.ReadPacket, 128)
	n, err := l.queue.Read(slab, packets)
	if err != nil {
		l.t.Fatal(err)
	}
	out := make([][]byte, n)
	at := 0
	for i, p := range packets[:n] {
		if p.Offset < at+tun.ReadPacketSpacing || p.Offset+p.Size+tun.ReadPacketSpacing > len(slab) {
			l.t.Fatalf("packet %d at %d, %d bytes, lacks room after %d", i, p.Offset, p.Size, at)
		}
		at = p.Offset + p.Size
		out[i] = bytes.Clone(slab[p.Offset:at])
	}
	return out
}

// waiting returns how many packets wait for all peers.
func (l *lab) waiting() (n uint64) {
	s := l.Stats()
	for _, lane := range s.Lanes {
		n += lane.Packets
	}
	return n - s.Cut.Packets
}

func udp(src, dst netip.Addr, payload int) []byte {
	return testutil.UDP(netip.AddrPortFrom(src, 1000), netip.AddrPortFrom(dst, 2000), make([]byte, payload))
}

// hopLimit returns a copy of the packet with another hop limit.
func hopLimit(pkt []byte, n byte) []byte {
	pkt = bytes.Clone(pkt)
	if pkt[0]>>4 == 6 {
		pkt[7] = n
		return pkt
	}
	pkt[8] = n
	return sum4(pkt)
}

// sum4 corrects the checksum of an IPv4 header.
func sum4(pkt []byte) []byte {
	header := int(pkt[0]&15) * 4
	pkt[10], pkt[11] = 0, 0
	sum := ^inner.Sum(pkt[:header], 0)
	pkt[10], pkt[11] = byte(sum>>8), byte(sum)
	return pkt
}

func hopsOf(pkt []byte) byte {
	if pkt[0]>>4 == 6 {
		return pkt[7]
	}
	return pkt[8]
}

// same reports an error unless got are the packets want.
func same(t testing.TB, what string, got [][]byte, want ...[]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d packets, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s, packet %d:\n got %x\nwant %x", what, i, got[i], want[i])
		}
	}
}
