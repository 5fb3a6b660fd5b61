// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// The addresses of the lab.
var (
	near4 = netip.MustParseAddr("192.0.2.1")
	far4  = netip.MustParseAddr("192.0.2.2")
	near6 = netip.MustParseAddr("2001:db8::1")
	far6  = netip.MustParseAddr("2001:db8::2")
)

const port = 51820

// A lab is two hosts with a veth pair between them: near has an underlay beside
// sockets of the kernel, far has sockets of the kernel only.
type lab struct {
	near, far         *testutil.NS
	nearLink, farLink netlink.Link
	under             *xdp.Underlay
	beside            map[bool]*batching.Conn // of near, by "is IPv4"
	peer              map[bool]*batching.Conn // of far
}

// newHosts makes the hosts with addresses, and a veth pair with that many queues.
func newHosts(t testing.TB, queues int) *lab {
	t.Helper()
	testutil.NeedNetNS(t)
	l := &lab{near: testutil.NewNS(t), far: testutil.NewNS(t)}
	l.connect(t, queues)
	return l
}

// connect makes the veth pair.
func (l *lab) connect(t testing.TB, queues int) {
	t.Helper()
	l.near.Run(func() {
		pair := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0", NumTxQueues: queues, NumRxQueues: queues},
			PeerName:  "far0", PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues),
			PeerNamespace: netlink.NsFd(l.far.File().Fd()),
		}
		must(t, netlink.LinkAdd(pair))
		l.nearLink = up(t, "eth0", near4, near6)
	})
	l.far.Run(func() { l.farLink = up(t, "far0", far4, far6) })
}

func up(t testing.TB, name string, addrs ...netip.Addr) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	for _, a := range addrs {
		addAddr(t, link, a)
	}
	// A link-local address comes late, and makes every route be asked for again.
	must(t, netlink.LinkSetIP6AddrGenMode(link, 1)) // IN6_ADDR_GEN_MODE_NONE
	must(t, netlink.LinkSetUp(link))
	return link
}

// addAddr gives a link of the calling thread's namespace an address, also when it has
// it.
func addAddr(t testing.TB, link netlink.Link, a netip.Addr) {
	t.Helper()
	must(t, netlink.AddrReplace(link, addrOf(a)))
}

// delAddr takes it away.
func delAddr(t testing.TB, link netlink.Link, a netip.Addr) {
	t.Helper()
	must(t, netlink.AddrDel(link, addrOf(a)))
}

func addrOf(a netip.Addr) *netlink.Addr {
	n := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen()-8, a.BitLen())}
	return &netlink.Addr{IPNet: n, Flags: 0x02} // IFA_F_NODAD
}

// programOf returns the number of the XDP program of an interface of the calling
// thread's namespace.
func programOf(t testing.TB, name string) uint32 {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	if x := link.Attrs().Xdp; x != nil {
		return x.ProgId
	}
	return 0
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newLab is newHosts with an underlay that is active and listens.
func newLab(t testing.TB, queues int, o *xdp.Options) *lab {
	t.Helper()
	l := newHosts(t, queues)
	l.openActive(t, o)
	return l
}

// openActive opens an underlay that is active, and resolves.
func (l *lab) openActive(t testing.TB, o *xdp.Options) {
	t.Helper()
	l.open(t, o)
	if st := l.under.Status(); !st.Active {
		t.Fatalf("underlay not active: %s, refused: %v", st.Reason, st.Refusals)
	}
	l.resolve(t)
}

func (l *lab) open(t testing.TB, o *xdp.Options) {
	t.Helper()
	if o == nil {
		o = &xdp.Options{}
	}
	o.Logger = testutil.Logger(t)
	if o.Segment == batching.Auto {
		o.Segment = batching.Off // all that can goes past the kernel
	}
	if o.Interface == "" {
		o.Interface = "eth0"
	}
	l.beside = l.listen(t, l.near)
	l.peer = l.listen(t, l.far)
	l.near.Run(func() {
		var err error
		l.under, err = xdp.Open(o)
		must(t, err)
	})
	t.Cleanup(func() {
		l.under.Listen(0) // so that Close waits for no reader
		must(t, l.under.Close())
	})
	l.under.Beside([]xdp.Kernel{l.beside[true]}, []xdp.Kernel{l.beside[false]})
	l.under.Listen(port)
}

// listen opens sockets of both families in a namespace.
func (l *lab) listen(t testing.TB, ns *testutil.NS) map[bool]*batching.Conn {
	t.Helper()
	out := make(map[bool]*batching.Conn)
	ns.Run(func() {
		for v4, at := range map[bool]struct {
			network string
			addr    netip.Addr
		}{true: {"udp4", netip.IPv4Unspecified()}, false: {"udp6", netip.IPv6Unspecified()}} {
			c, err := batching.Listen(at.network, netip.AddrPortFrom(at.addr, port), nil)
			must(t, err)
			t.Cleanup(func() { must(t, c.Close()) })
			out[v4] = c
		}
	})
	return out
}

// resolve makes near's kernel know far, and waits until the underlay does.
func (l *lab) resolve(t testing.TB) {
	t.Helper()
	for _, addr := range []netip.Addr{far4, far6} {
		dst := destination(addr)
		testutil.Eventually(t, 10*time.Second, "way to "+addr.String(), func() error {
			before := l.under.Conns()[0].Stats().Tx.Packets
			if _, err := l.under.Conns()[0].WriteBatch([][]byte{[]byte("hello")}, 0, dst, 0); err != nil {
				return err
			}
			l.drain(t, l.peer[addr.Is4()])
			if l.under.Conns()[0].Stats().Tx.Packets == before {
				return fmt.Errorf("not past the kernel yet: %v", l.under.Status().Kernel)
			}
			return nil
		})
		l.drain(t, l.peer[addr.Is4()])
	}
}

func destination(addr netip.Addr) *batching.Destination {
	return batching.NewDestination(netip.AddrPortFrom(addr, port), netip.Addr{}, 0)
}

// A reader is what packets are read from.
type reader interface {
	ReadBatch(slab []byte, pkts []batching.Packet) (int, error)
	SetReadDeadline(t time.Time) error
}

// drain reads what is there and returns how many packets that were.
func (l *lab) drain(t testing.TB, c reader) (n int) {
	t.Helper()
	slab, pkts := make([]byte, 1<<16), make([]batching.Packet, batching.MaxBatch)
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	for {
		k, err := c.ReadBatch(slab, pkts)
		if err != nil {
			break
		}
		n += k
	}
	must(t, c.SetReadDeadline(time.Time{}))
	return n
}

// A got is one packet as it was read.
type got struct {
	batching.Packet
	data string
}

// read reads until there are n packets.
func read(t testing.TB, c reader, n int) (out []got) {
	t.Helper()
	slab, pkts := make([]byte, 1<<17), make([]batching.Packet, batching.MaxBatch)
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	for len(out) < n {
		k, err := c.ReadBatch(slab, pkts)
		if err != nil {
			t.Fatalf("%d of %d packets, then %v", len(out), n, err)
		}
		for _, p := range pkts[:k] {
			out = append(out, got{p, string(slab[p.Offset : p.Offset+p.Size])})
		}
	}
	must(t, c.SetReadDeadline(time.Time{}))
	return out
}
