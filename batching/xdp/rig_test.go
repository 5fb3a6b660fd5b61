// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/geneve"
)

// The hosts of the tests.
var (
	ourMAC, farMAC = frame.MAC{2, 0, 0, 0, 0, 1}, frame.MAC{2, 0, 0, 0, 0, 2}

	our4      = netip.MustParseAddr("192.0.2.1")
	far4      = netip.MustParseAddrPort("192.0.2.2:4000")
	our6      = netip.MustParseAddr("2001:db8::1")
	far6      = netip.MustParseAddrPort("[2001:db8::2]:4000")
	ourLL     = netip.MustParseAddr("fe80::1")
	farLL     = netip.MustParseAddrPort("[fe80::2]:4000")
	ourVNI, _ = geneve.MakeVNI(77)
)

const (
	ourPort  = 51820
	ourIndex = 7
	ourName  = "eth7"
	ourMTU   = 1500
)

// routes is a routeTable with one answer for each family.
type routes struct {
	mu     sync.Mutex
	hop4   nexthop.Hop
	hop6   nexthop.Hop
	reason nexthop.Reason
}

func newRoutes() *routes {
	hop := nexthop.Hop{Source: ourMAC, Target: farMAC, MTU: ourMTU, TTL: 64}
	r := &routes{hop4: hop, hop6: hop}
	r.hop4.Src, r.hop6.Src = our4, our6
	return r
}

func (r *routes) Lookup(dst, src netip.Addr) (nexthop.Hop, nexthop.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason != nexthop.OK {
		return nexthop.Hop{}, r.reason
	}
	hop := r.hop6
	if dst.Is4() {
		hop = r.hop4
	}
	if src.IsValid() {
		hop.Src = src
	}
	return hop, nexthop.OK
}

func (r *routes) change(f func(r *routes)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

// A kernelConn is a Kernel that remembers.
type kernelConn struct {
	mu     sync.Mutex
	took   []string
	calls  int
	answer func(n int) (int, error) // nil: all are taken
}

func (k *kernelConn) WriteBatch(bufs [][]byte, offset int, dst *batching.Destination, vni geneve.VNI) (n int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	n = len(bufs)
	if k.answer != nil {
		n, err = k.answer(n)
	}
	for _, b := range bufs[:n] {
		k.took = append(k.took, string(b[offset:]))
	}
	return n, err
}

// A rig is a Conn with a lane on a fake socket.
type rig struct {
	c      *Conn
	site   *site
	routes *routes
	sock   *fake
	lane   *lane
	v4, v6 *kernelConn
}

// newRig returns a rig whose lane is not in use yet.
func newRig(tb testing.TB, frames int) *rig {
	under := newShared()
	r := &rig{c: newConn(0, under), v4: &kernelConn{}, v6: &kernelConn{}}
	under.beside([]Kernel{r.v4}, []Kernel{r.v6})
	r.listen(ourPort)
	r.renew(tb, frames)
	return r
}

// listen is the portable part of [Underlay.Listen].
func (r *rig) listen(port uint16) {
	r.c.under.port.Store(uint32(port))
	if port != 0 {
		r.c.under.last.Store(uint32(port))
	}
}

// renew makes a new site with a new socket.
func (r *rig) renew(tb testing.TB, frames int) {
	r.routes = newRoutes()
	r.site = &site{index: ourIndex, name: ourName, routes: r.routes}
	r.site.host.Store(&host{mac: ourMAC, addrs: map[netip.Addr]struct{}{our4: {}, our6: {}, ourLL: {}}})
	r.sock = newFake(tb, frames)
	r.lane = newLane(r.site, r.sock, batching.Off)
}

// newActiveRig returns a rig whose lane is in use.
func newActiveRig(tb testing.TB, frames int) *rig {
	r := newRig(tb, frames)
	r.c.use(r.lane, r.lane)
	return r
}

// frameOf returns a frame to be received, changed by edit, which may be nil.
func frameOf(src netip.AddrPort, dst netip.Addr, payload []byte, edit func(o *frame.Options)) []byte {
	o := &frame.Options{Source: farMAC, Target: ourMAC, Src: src, Dst: netip.AddrPortFrom(dst, ourPort)}
	if edit != nil {
		edit(o)
	}
	t, err := frame.New(o)
	if err != nil {
		panic(err)
	}
	b := make([]byte, frameBytes)
	n, err := t.Put(b, 1, 0, payload)
	if err != nil {
		panic(err)
	}
	return b[:n]
}

// plain returns a frame of IPv4 to be received.
func plain(payload string) []byte { return frameOf(far4, our4, []byte(payload), nil) }

// numbered returns n payloads that are all different.
func numbered(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("packet %d", i))
	}
	return out
}

// bufsOf returns the payloads with headroom.
func bufsOf(offset int, payloads []string) (out [][]byte) {
	for _, p := range payloads {
		out = append(out, append(make([]byte, offset), p...))
	}
	return out
}

// payloadsOf returns what the frames carry, and fails unless they are to dst.
func payloadsOf(tb testing.TB, frames [][]byte, dst netip.AddrPort) (out []string) {
	tb.Helper()
	for _, b := range frames {
		var d frame.Datagram
		if reason := d.Parse(b); reason != frame.OK {
			tb.Fatalf("sent a frame that is %v: %x", reason, b)
		}
		if d.Dst != dst || d.Source != ourMAC || !d.ChecksumValid(b) {
			tb.Fatalf("sent to %v from %v, want %v from %v, with checksum", d.Dst, d.Source, dst, ourMAC)
		}
		out = append(out, string(d.Payload(b)))
	}
	return out
}

// packet is what was read.
type packet struct {
	batching.Packet
	data string
}

// readOnce is one ReadBatch.
func readOnce(c *Conn, slab, pkts int) (out []packet, err error) {
	s, p := make([]byte, slab), make([]batching.Packet, pkts)
	n, err := c.ReadBatch(s, p)
	for _, p := range p[:n] {
		out = append(out, packet{p, string(s[p.Offset : p.Offset+p.Size])})
	}
	return out, err
}

// readAll reads until an error.
func readAll(c *Conn, slab, pkts int) (out []string, err error) {
	for {
		got, err := readOnce(c, slab, pkts)
		for _, p := range got {
			out = append(out, p.data)
		}
		if err != nil {
			return out, err
		}
	}
}

// kernelCounts returns the packets left to the kernel's sockets, those that are any.
func kernelCounts(c *Conn) map[string]uint64 {
	out := make(map[string]uint64)
	for why := range whys {
		if n := c.tx.kernel[why].Load(); n > 0 {
			out[labelOf(whyName(why))] += n
		}
	}
	return out
}

// dropCounts returns the drops of Stats, those that are any.
func dropCounts(c *Conn) map[string]uint64 {
	out := make(map[string]uint64)
	for reason, n := range c.Stats().Rx.Dropped {
		if n > 0 {
			out[reason] = n
		}
	}
	return out
}

func wantError(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("got error %v, want %v", err, want)
	}
}

// dest returns a destination to which the kernel chooses the source.
func dest(to netip.AddrPort) *batching.Destination {
	return batching.NewDestination(to, netip.Addr{}, 0)
}
