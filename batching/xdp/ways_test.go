// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
)

// sendOne sends one packet past the kernel and returns its frame.
func (r *rig) sendOne(t *testing.T, dst *batching.Destination) (b []byte, d frame.Datagram) {
	t.Helper()
	before := len(r.sock.sent)
	if n, err := r.c.WriteBatch([][]byte{[]byte("x")}, 0, dst, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if len(r.sock.sent) != before+1 {
		t.Fatalf("not past the kernel: %v", kernelCounts(r.c))
	}
	b = r.sock.sent[before]
	if reason := d.Parse(b); reason != frame.OK || !d.ChecksumValid(b) {
		t.Fatalf("%v: %x", reason, b)
	}
	return b, d
}

// What the next hop, the port and the place are is in the very next frame.
func TestWayFollows(t *testing.T) {
	for _, to := range []netip.AddrPort{far4, far6} {
		r := newActiveRig(t, 8)
		dst := dest(to)
		hop := &r.routes.hop4
		if to.Addr().Is6() {
			hop = &r.routes.hop6
		}
		check := func(what string, want frame.Datagram) {
			t.Helper()
			_, got := r.sendOne(t, dst)
			want.Dst, want.Size, want.Offset = to, 1, got.Offset
			if got != want {
				t.Errorf("%s: got %+v\nwant %+v", what, got, want)
			}
		}
		want := frame.Datagram{Source: ourMAC, Target: farMAC, Src: netip.AddrPortFrom(hop.Src, ourPort), TTL: 64}
		check("first", want)
		check("again", want)
		want.Target = frame.MAC{2, 3, 4, 5, 6, 7}
		r.routes.change(func(*routes) { hop.Target = want.Target })
		check("address of the next hop", want)
		want.Source = frame.MAC{2, 3, 4, 5, 6, 8}
		r.routes.change(func(*routes) { hop.Source = want.Source })
		check("own address", want)
		want.TTL = 3
		r.routes.change(func(*routes) { hop.TTL = 3 })
		check("TTL", want)
		want.Src = netip.AddrPortFrom(want.Src.Addr().Next(), ourPort)
		r.routes.change(func(*routes) { hop.Src = want.Src.Addr() })
		check("source", want)
		want.Src = netip.AddrPortFrom(want.Src.Addr(), 9)
		r.listen(9)
		check("port", want)
		same := r.routes
		r.renew(t, 8)
		r.routes, r.site.routes = same, same
		want.Tag = frame.Tag{Type: frame.TypeCTag, TCI: 5}
		r.site.tag = want.Tag
		r.c.use(r.lane, r.lane)
		check("place", want)
		local := want.Src.Addr().Next()
		dst = batching.NewDestination(to, local, 0)
		want.Src = netip.AddrPortFrom(local, 9)
		check("local", want)
	}
}

// A smaller MTU of the route holds at once.
func TestWayMTU(t *testing.T) {
	r := newActiveRig(t, 8)
	dst := dest(far4)
	bufs := [][]byte{make([]byte, 1000)}
	for i, mtu := range []int{1028, 1027, 1028} {
		r.routes.change(func(r *routes) { r.hop4.MTU = mtu })
		if n, err := r.c.WriteBatch(bufs, 0, dst, 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if past := len(r.sock.sent); past != 1+i/2 {
			t.Errorf("MTU %d: %d past the kernel", mtu, past)
		}
	}
}

// Without a port, nothing goes past the kernel: there is no source port.
func TestWayNoPort(t *testing.T) {
	r := newActiveRig(t, 8)
	r.listen(0)
	if n, err := r.c.WriteBatch(bufsOf(0, []string{"x"}), 0, dest(far4), 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if got := kernelCounts(r.c)["inactive"]; got != 1 {
		t.Errorf("counted %v", kernelCounts(r.c))
	}
}

// Each IPv4 packet has another identification, also of several calls; IPv6 packets
// of one flow have one flow label, which is not that of another flow.
func TestWayIdentification(t *testing.T) {
	const packets = 3000
	r := newActiveRig(t, 100)
	for range packets / 100 {
		if n, err := r.c.WriteBatch(bufsOf(0, numbered(100)), 0, dest(far4), 0); n != 100 || err != nil {
			t.Fatal(n, err)
		}
	}
	ids := make(map[uint16]bool)
	for _, b := range r.sock.sent {
		ids[binary.BigEndian.Uint16(b[18:])] = true
	}
	if len(ids) != packets {
		t.Errorf("%d identifications of %d packets", len(ids), packets)
	}
	labels := make(map[uint32]bool)
	for i := range 20 {
		to := netip.AddrPortFrom(far6.Addr(), 100+uint16(i))
		first, _ := r.sendOne(t, dest(to))
		second, _ := r.sendOne(t, dest(to))
		a, b := binary.BigEndian.Uint32(first[14:])&0xfffff, binary.BigEndian.Uint32(second[14:])&0xfffff
		if a != b || a == 0 {
			t.Errorf("flow labels %#x and %#x", a, b)
		}
		labels[a] = true
	}
	if len(labels) < 15 { // of 20 out of half a million
		t.Errorf("only %d flow labels", len(labels))
	}
}

// What a Conn remembers is bounded, and what it forgot it learns again.
func TestWayEviction(t *testing.T) {
	r := newActiveRig(t, 8)
	r.sock.quiet = true
	buf := [][]byte{[]byte("x")}
	const many = maxWays + 500
	for round := range 2 {
		for i := range many {
			to := netip.AddrPortFrom(far4.Addr(), 1000+uint16(i))
			if n, err := r.c.WriteBatch(buf, 0, dest(to), 0); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if n := len(r.c.tx.ways); n != maxWays {
			t.Errorf("%d ways, want %d", n, maxWays)
		}
		if n := r.c.Stats().Tx.Packets; n != uint64(many*(round+1)) {
			t.Errorf("%d packets past the kernel", n)
		}
	}
	r.routes.change(func(r *routes) { r.hop4.TTL++ })
	if n, err := r.c.WriteBatch(buf, 0, dest(far4), 0); n != 1 || err != nil || len(r.c.tx.ways) != maxWays {
		t.Errorf("%d, %v, %d ways", n, err, len(r.c.tx.ways))
	}
}

// Every reason has a name of its own, as counters write it.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	check := func(name string) {
		t.Helper()
		for _, c := range name {
			if c != '_' && (c < 'a' || c > 'z') {
				t.Errorf("%q is no name of a counter", name)
			}
		}
		if seen[name] || name == "" {
			t.Errorf("%q is empty or taken", name)
		}
		seen[name] = true
	}
	for why := int(nexthop.OK) + 1; why < whys; why++ {
		check(labelOf(whyName(why)))
	}
	clear(seen)
	for reason := int(frame.OK) + 1; reason < drops; reason++ {
		check(labelOf(dropName(reason)))
	}
}
