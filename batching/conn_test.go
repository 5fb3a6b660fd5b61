// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// listen opens a socket on a loopback address of the network, closed by the
// test's cleanup.
func listen(tb testing.TB, network string, o *batching.Options) *batching.Conn {
	tb.Helper()
	ip := "127.0.0.1"
	if network == "udp6" {
		ip = "::1"
	}
	if o == nil {
		o = &batching.Options{}
	}
	opts := *o
	if opts.Logger == nil {
		opts.Logger = testutil.Logger(tb)
	}
	c, err := batching.Listen(network, netip.AddrPortFrom(netip.MustParseAddr(ip), 0), &opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

var someone = netip.MustParseAddrPort("192.0.2.1:51820")

// networks are the families this host has.
func networks(tb testing.TB) []string {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		tb.Logf("no IPv6: %v", err)
		return []string{"udp4"}
	}
	c.Close()
	return []string{"udp4", "udp6"}
}

// variants are all ways to move packets. The first is the fast one.
var variants = []struct {
	name string
	opts batching.Options
}{
	{"offloads", batching.Options{}},
	{"no gso", batching.Options{DisableGSO: true}},
	{"no gro", batching.Options{DisableGRO: true}},
	{"no offloads", batching.Options{DisableGSO: true, DisableGRO: true}},
	{"no batching", batching.Options{DisableBatching: true}},
}

// each runs f for every family and variant.
func each(t *testing.T, f func(t *testing.T, network string, o *batching.Options)) {
	for _, network := range networks(t) {
		for _, v := range variants {
			t.Run(network+"/"+v.name, func(t *testing.T) { f(t, network, &v.opts) })
		}
	}
}

// A received is a packet that was read.
type received struct {
	data string
	batching.Packet
}

// readTimeout ends a test that waits for a packet that was lost. No test depends
// on its length.
const readTimeout = time.Minute

// readN reads n packets.
func readN(c *batching.Conn, n int) (out []received, err error) {
	defer time.AfterFunc(readTimeout, func() { c.Close() }).Stop()
	slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
	for len(out) < n {
		k, err := c.ReadBatch(slab, pkts)
		if err != nil || k < 1 {
			return nil, fmt.Errorf("read: got %d, %w, after %d of %d packets", k, err, len(out), n)
		}
		for _, p := range pkts[:k] {
			out = append(out, received{string(slab[p.Offset : p.Offset+p.Size]), p})
		}
	}
	if len(out) > n {
		return nil, fmt.Errorf("read: got %d packets, want %d", len(out), n)
	}
	return out, nil
}

// read is readN for the test's goroutine.
func read(tb testing.TB, c *batching.Conn, n int) []received {
	tb.Helper()
	out, err := readN(c, n)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// batch returns packets of the given sizes, all different, behind headroom.
func batch(sizes ...int) (bufs [][]byte, packets []string) {
	for i, size := range sizes {
		p := strings.Repeat(string(rune('!'+i%90)), size)
		packets = append(packets, p)
		bufs = append(bufs, append(make([]byte, headroom), p...))
	}
	return bufs, packets
}

func TestLoopback(t *testing.T) {
	vni, err := geneve.MakeVNI(0xABCDEF)
	if err != nil {
		t.Fatal(err)
	}
	var mixed []int
	for i := range batching.MaxBatch {
		mixed = append(mixed, 1+(i*i*37)%1400)
	}
	each(t, func(t *testing.T, network string, o *batching.Options) {
		from, to := listen(t, network, o), listen(t, network, o)
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		for _, shape := range []struct {
			name  string
			sizes []int
		}{
			{"one", []int{1}},
			{"equal", slices.Repeat([]int{1400}, batching.MaxBatch)},
			{"small", slices.Repeat([]int{100}, batching.MaxBatch)},
			{"65", slices.Repeat([]int{100}, 65)},
			{"tail", append(slices.Repeat([]int{1400}, 40), 7)},
			{"mixed", mixed},
			{"more than a batch", slices.Repeat([]int{300}, 300)},
		} {
			for _, v := range []geneve.VNI{0, vni} {
				t.Run(shape.name+"/vni "+v.String(), func(t *testing.T) {
					bufs, want := batch(shape.sizes...)
					n, err := from.WriteBatch(bufs, headroom, dst, v)
					if n != len(bufs) || err != nil {
						t.Fatalf("write: got %d, %v, want %d", n, err, len(bufs))
					}
					for i, p := range read(t, to, len(want)) {
						data := p.data
						if v.IsSet() {
							var h geneve.Header
							if err := h.Decode([]byte(data)); err != nil || h != (geneve.Header{VNI: v, Protocol: geneve.ProtocolWireGuard}) {
								t.Fatalf("packet %d: header %+v, %v", i, h, err)
							}
							data = data[geneve.HeaderLen:]
						}
						if data != want[i] {
							t.Fatalf("packet %d: got %d bytes, want %d; or they differ", i, len(data), len(want[i]))
						}
						if p.Remote != from.LocalAddr() {
							t.Fatalf("packet %d: from %v, want %v", i, p.Remote, from.LocalAddr())
						}
						if runtime.GOOS == "linux" && (p.Local != to.LocalAddr().Addr() || p.IfIndex == 0) {
							t.Fatalf("packet %d: sent to %v on interface %d, want %v", i, p.Local, p.IfIndex, to.LocalAddr().Addr())
						}
					}
				})
			}
		}
	})
}

// Every length that UDP has arrives whole; the empty one is counted.
func TestEveryDatagramSize(t *testing.T) {
	each(t, func(t *testing.T, network string, o *batching.Options) {
		from, to := listen(t, network, o), listen(t, network, o)
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		longest, step := batching.MaxPayload4, 1
		if network == "udp6" {
			longest = batching.MaxPayload6
		}
		if runtime.GOOS != "linux" {
			longest = 9000 // some systems send no more
		}
		if *o != (batching.Options{}) || testing.Short() {
			step = 61
		}
		// Bytes differ from their neighbours and from those of the next size.
		pattern := make([]byte, longest+251)
		for i := range pattern {
			pattern[i] = byte(i % 251)
		}
		slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
		bufs := make([][]byte, 1)
		for size := 0; ; size = min(size+step, longest) {
			want := pattern[size%251:][:size]
			bufs[0] = want
			if n, err := from.WriteBatch(bufs, 0, dst, 0); n != 1 || err != nil {
				t.Fatalf("write %d bytes: got %d, %v", size, n, err)
			}
			if size == 0 {
				continue
			}
			n, err := to.ReadBatch(slab, pkts)
			if n != 1 || err != nil {
				t.Fatalf("read %d bytes: got %d, %v", size, n, err)
			}
			if got := slab[pkts[0].Offset:][:pkts[0].Size]; !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: got %d; or they differ", size, len(got))
			}
			if size == longest {
				break
			}
		}
		if rx := to.Stats().Rx; rx.Dropped["empty"] != 1 {
			t.Errorf("empty datagrams: got %d, want 1", rx.Dropped["empty"])
		}
		// One more than the longest is refused, and the rest of the batch leaves.
		if runtime.GOOS == "linux" {
			n, err := from.WriteBatch([][]byte{make([]byte, longest+1), {1}}, 0, dst, 0)
			if n != 1 || !errors.Is(err, syscall.EMSGSIZE) {
				t.Errorf("write %d bytes: got %d, %v, want 1 and EMSGSIZE", longest+1, n, err)
			}
			if tx := from.Stats().Tx; tx.Dropped["too_long"] != 1 {
				t.Errorf("stats: %+v", tx)
			}
			if got := read(t, to, 1)[0].data; got != "\x01" {
				t.Errorf("got %q, want the other packet", got)
			}
		}
	})
}

// IPv4 and IPv6 sends in turns reach the addresses they are for: wireguard-go's
// bind cuts an IPv6 address after an IPv4 send.
func TestFamiliesInterleaved(t *testing.T) {
	if len(networks(t)) < 2 {
		testutil.Missing(t, "IPv6")
	}
	from4, to4 := listen(t, "udp4", nil), listen(t, "udp4", nil)
	from6, to6 := listen(t, "udp6", nil), listen(t, "udp6", nil)
	mapped := netip.AddrPortFrom(netip.AddrFrom16(to4.LocalAddr().Addr().As16()), to4.LocalAddr().Port())
	dst4 := batching.NewDestination(mapped, netip.Addr{}, 0)
	dst6 := batching.NewDestination(to6.LocalAddr(), netip.Addr{}, 0)
	bufs, want := batch(100, 100, 50)
	for range 100 {
		for _, p := range []struct {
			from, to *batching.Conn
			dst      *batching.Destination
		}{{from4, to4, dst4}, {from6, to6, dst6}} {
			if n, err := p.from.WriteBatch(bufs, headroom, p.dst, 0); n != len(bufs) || err != nil {
				t.Fatalf("write: got %d, %v", n, err)
			}
			for i, r := range read(t, p.to, len(want)) {
				if r.data != want[i] || r.Remote != p.from.LocalAddr() {
					t.Fatalf("packet %d from %v: got %q", i, r.Remote, r.data)
				}
			}
		}
	}
	if n, err := from4.WriteBatch(bufs, headroom, dst6, 0); n != 0 || !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("IPv6 destination on an IPv4 socket: got %d, %v, want EAFNOSUPPORT", n, err)
	}
	if n, err := from6.WriteBatch(bufs, headroom, dst4, 0); n != 0 || !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("IPv4 destination on an IPv6 socket: got %d, %v, want EAFNOSUPPORT", n, err)
	}
}

func TestWriteBatchContract(t *testing.T) {
	vni, err := geneve.MakeVNI(0)
	if err != nil {
		t.Fatal(err)
	}
	c := listen(t, "udp4", nil)
	dst := batching.NewDestination(c.LocalAddr(), netip.Addr{}, 0)
	for _, tc := range []struct {
		name   string
		bufs   [][]byte
		offset int
		vni    geneve.VNI
		dst    *batching.Destination
		want   error
	}{
		{"no headroom", [][]byte{make([]byte, 100)}, 7, vni, dst, batching.ErrHeadroom},
		{"no headroom at all", nil, 0, vni, dst, batching.ErrHeadroom},
		{"short packet", [][]byte{make([]byte, 8), make([]byte, 7)}, 8, 0, dst, batching.ErrOffset},
		{"negative offset", [][]byte{make([]byte, 8)}, -1, 0, dst, batching.ErrOffset},
		{"no destination", [][]byte{make([]byte, 8)}, 0, 0, batching.NewDestination(netip.AddrPort{}, netip.Addr{}, 0), syscall.EAFNOSUPPORT},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, err := c.WriteBatch(tc.bufs, tc.offset, tc.dst, tc.vni)
			var sendErr *batching.SendError
			if n != 0 || !errors.Is(err, tc.want) || !errors.As(err, &sendErr) || sendErr.Remote != tc.dst.Remote() {
				t.Errorf("got %d, %v, want a SendError of %v", n, err, tc.want)
			}
		})
	}
	if tx := c.Stats().Tx; tx.Packets != 0 || tx.Calls != 0 {
		t.Errorf("something was sent: %+v", tx)
	}
}

func TestSendErrorText(t *testing.T) {
	err := &batching.SendError{Op: "sendmmsg", Remote: netip.MustParseAddrPort("192.0.2.1:51820"), Err: syscall.ENETUNREACH}
	if got, want := err.Error(), "sendmmsg to 192.0.2.1:51820: "+syscall.ENETUNREACH.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadBatchContract(t *testing.T) {
	c := listen(t, "udp4", nil)
	if n, err := c.ReadBatch(nil, make([]batching.Packet, 1)); n != 0 || !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("no slab: got %d, %v, want %v", n, err, io.ErrShortBuffer)
	}
	if n, err := c.ReadBatch(make([]byte, 1), nil); n != 0 || !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("no descriptors: got %d, %v, want %v", n, err, io.ErrShortBuffer)
	}
}

func TestListen(t *testing.T) {
	opts := batching.Options{Logger: testutil.Logger(t)}
	before := opts
	c, err := batching.Listen("udp4", netip.AddrPort{}, &opts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if opts != before {
		t.Errorf("options were changed: %+v", opts)
	}
	if a := c.LocalAddr(); a.Addr() != netip.IPv4Unspecified() || a.Port() == 0 {
		t.Errorf("address: got %v, want 0.0.0.0 and a port", a)
	}
	if _, err := batching.Listen("udp4", c.LocalAddr(), nil); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), c.LocalAddr().String()) {
		t.Errorf("busy port: got %v, want EADDRINUSE with the address", err)
	}
	for _, tc := range []struct{ network, addr string }{
		{"udp4", "[::1]:0"}, {"udp6", "127.0.0.1:0"}, {"udp6", "[::ffff:127.0.0.1]:0"}, {"udp", "127.0.0.1:0"}, {"tcp4", "127.0.0.1:0"},
	} {
		if c, err := batching.Listen(tc.network, netip.MustParseAddrPort(tc.addr), nil); err == nil {
			t.Errorf("listen %s %s: got %v, want an error", tc.network, tc.addr, c.LocalAddr())
			c.Close()
		}
	}
}

// A udp6 socket leaves the port to a udp4 one.
func TestListenBothFamilies(t *testing.T) {
	if len(networks(t)) < 2 {
		testutil.Missing(t, "IPv6")
	}
	for try := 0; ; try++ {
		c6, err := batching.Listen("udp6", netip.AddrPort{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c4, err := batching.Listen("udp4", netip.AddrPortFrom(netip.Addr{}, c6.LocalAddr().Port()), nil)
		c6.Close()
		if err == nil {
			c4.Close()
			return
		}
		// Somebody else may have the port; hardly ten times.
		if try == 10 {
			t.Fatal(err)
		}
	}
}

func TestCapabilities(t *testing.T) {
	each(t, func(t *testing.T, network string, o *batching.Options) {
		gso, gro, reasons := listen(t, network, o).Capabilities()
		var got []string
		for _, r := range reasons {
			name, reason, ok := strings.Cut(r, ": ")
			if !ok || reason == "" {
				t.Errorf("reason %q, want a feature and why", r)
			}
			if name == "gso" || name == "gro" {
				got = append(got, name)
			}
		}
		var want []string
		if !gso {
			want = append(want, "gso")
		}
		if !gro {
			want = append(want, "gro")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("reasons (-want +got):\n%s", diff)
		}
		if o.DisableBatching && (gso || gro) || o.DisableGSO && gso || o.DisableGRO && gro {
			t.Errorf("gso %v, gro %v in spite of %+v", gso, gro, o)
		}
	})
}
