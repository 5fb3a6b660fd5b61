// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/sys"
	"golang.org/x/sys/unix"
)

// readAll reads until the script ends and returns the packets.
func readAll(t *testing.T, c *batching.Conn, slabLen, descriptors int) (data []string, pkts []batching.Packet) {
	t.Helper()
	slab, got := make([]byte, slabLen), make([]batching.Packet, descriptors)
	for {
		n, err := c.ReadBatch(slab, got)
		if errors.Is(err, unix.EBADF) {
			return data, pkts
		}
		if err != nil || n < 1 {
			t.Fatalf("got %d, %v, want at least 1", n, err)
		}
		for _, p := range got[:n] {
			data = append(data, string(slab[p.Offset:p.Offset+p.Size]))
			pkts = append(pkts, p)
		}
		for _, p := range got[:n] {
			clear(slab[p.Offset:][:p.Size]) // the caller does what it likes
		}
		if p := c.SlabPointers(); p != 0 {
			t.Fatalf("%d pointers to the slab after the call", p)
		}
	}
}

func TestReadBatchMessages(t *testing.T) {
	local, all := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("255.255.255.255")
	v6, multicast := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("ff02::1")
	from6 := netip.MustParseAddrPort("[2001:db8::5]:99")
	var name6 sys.Sockaddr
	n6 := name6.Put(from6, 0)
	type packet struct {
		Data    string
		Remote  netip.AddrPort
		Local   netip.Addr
		IfIndex uint32
	}
	none := netip.Addr{}
	for _, tc := range []struct {
		name string
		in   arrival
		want []packet
		drop string
		long uint64
	}{
		{name: "plain", in: arrival{data: []byte("abc")}, want: []packet{{"abc", someone, none, 0}}},
		{name: "v4 source", in: arrival{data: []byte("abc"), control: pktinfo4(3, local, local)}, want: []packet{{"abc", someone, local, 3}}},
		{name: "v4 broadcast", in: arrival{data: []byte("abc"), control: pktinfo4(3, local, all)}, want: []packet{{"abc", someone, local, 3}}},
		{name: "v6", in: arrival{data: []byte("abc"), name: name6[:n6], control: pktinfo6(4, v6)}, want: []packet{{"abc", from6, v6, 4}}},
		{name: "v6 multicast", in: arrival{data: []byte("abc"), name: name6[:n6], control: pktinfo6(4, multicast)}, want: []packet{{"abc", from6, none, 4}}},
		{name: "gro, and source for each", in: arrival{data: []byte("aabbc"), control: slices.Concat(pktinfo4(3, local, local), gro(2))},
			want: []packet{{"aa", someone, local, 3}, {"bb", someone, local, 3}, {"c", someone, local, 3}}},
		{name: "gro of one", in: arrival{data: []byte("abc"), control: gro(3)}, want: []packet{{"abc", someone, none, 0}}},
		{name: "gro of 0", in: arrival{data: []byte("abc"), control: gro(0)}, want: []packet{{"abc", someone, none, 0}}},
		{name: "gro larger than the message", in: arrival{data: []byte("abc"), control: gro(4)}, want: []packet{{"abc", someone, none, 0}}, long: 1},
		{name: "gro absurd", in: arrival{data: []byte("abc"), control: gro(math.MaxInt32)}, want: []packet{{"abc", someone, none, 0}}, long: 1},

		{name: "gro negative", in: arrival{data: []byte("abc"), control: gro(-1)}, drop: "segment_size"},
		{name: "empty", in: arrival{}, drop: "empty"},
		{name: "empty with gro", in: arrival{control: gro(5)}, drop: "empty"},
		{name: "truncated", in: arrival{data: []byte("abc"), flags: unix.MSG_TRUNC}, drop: "truncated"},
		{name: "longer than the room", in: arrival{data: make([]byte, batching.RingSlot+1)}, drop: "truncated"},
		{name: "length without end", in: arrival{data: []byte("abc"), length: math.MaxUint32}, drop: "truncated"},
		{name: "length beyond the room", in: arrival{data: []byte("abc"), length: batching.RingSlot + 1}, drop: "truncated"},
		{name: "control truncated", in: arrival{data: []byte("abc"), flags: unix.MSG_CTRUNC}, drop: "control"},
		{name: "control malformed", in: arrival{data: []byte("abc"), control: gro(2)[:unix.CmsgLen(4)-1]}, drop: "control"},
		{name: "control too long", in: arrival{data: []byte("abc"), control: make([]byte, batching.RecvControlSpace+1)}, drop: "control"},
		{name: "control of zeros", in: arrival{data: []byte("abc"), control: make([]byte, 32)}, drop: "control"},
		{name: "no address", in: arrival{data: []byte("abc"), name: []byte{}}, drop: "source"},
		{name: "address of another family", in: arrival{data: []byte("abc"), name: []byte{1, 0, '/', 0}}, drop: "source"},
		{name: "address cut", in: arrival{data: []byte("abc"), name: name6[:20]}, drop: "source"},
		{name: "address too long", in: arrival{data: []byte("abc"), name: name6[:n6], nameLen: 100}, drop: "source"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := listen(t, "udp4", nil)
			// With others around it, which are not harmed.
			before, after := arrival{data: []byte("before")}, arrival{data: []byte("after")}
			c.SetReceive(arriving([]arrival{before, tc.in, after}))
			data, pkts := readAll(t, c, wireguardSlab, 128)
			var got []packet
			for i, p := range pkts {
				got = append(got, packet{data[i], p.Remote, p.Local, p.IfIndex})
			}
			want := slices.Concat([]packet{{"before", someone, none, 0}}, tc.want, []packet{{"after", someone, none, 0}})
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
			rx := c.Stats().Rx
			for reason, n := range rx.Dropped {
				if reason == tc.drop && n != 1 || reason != tc.drop && n != 0 {
					t.Errorf("dropped %d as %s, want one as %q", n, reason, tc.drop)
				}
			}
			if rx.LongSegments != tc.long {
				t.Errorf("long segments: got %d, want %d", rx.LongSegments, tc.long)
			}
			if rx.Packets != uint64(len(want)) || rx.Bytes != uint64(len(strings.Join(data, ""))) {
				t.Errorf("stats: %+v", rx)
			}
		})
	}
}

// A call that brings nothing but rubbish goes on waiting.
func TestReadBatchOnlyDropped(t *testing.T) {
	c := listen(t, "udp4", nil)
	c.SetReceive(arriving([]arrival{{}, {}}, []arrival{{data: []byte("x"), flags: unix.MSG_TRUNC}}, []arrival{{data: []byte("good")}}))
	if data, _ := readAll(t, c, wireguardSlab, 128); len(data) != 1 || data[0] != "good" {
		t.Errorf("got %q, want one packet", data)
	}
	if rx := c.Stats().Rx; rx.Dropped["empty"] != 2 || rx.Dropped["truncated"] != 1 {
		t.Errorf("stats: %+v", rx)
	}
}

func TestReadBatchOverflow(t *testing.T) {
	c := listen(t, "udp4", nil)
	one := func(control []byte) []arrival { return []arrival{{data: []byte("x"), control: control}} }
	var got []uint64
	c.SetReceive(arriving(
		one(nil), one(overflow(3)), one(overflow(3)), one(overflow(10)), one(nil), one(overflow(math.MaxUint32)), one(overflow(4)),
		// Several in one call, and with a message that is dropped.
		[]arrival{{data: []byte("x"), control: overflow(5)}, {control: overflow(6)}, {data: []byte("x"), control: overflow(8)}},
	))
	slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, 128)
	for range 8 {
		if _, err := c.ReadBatch(slab, pkts); err != nil {
			t.Fatal(err)
		}
		got = append(got, c.ReadOverflow()) // the socket itself has dropped nothing
	}
	want := []uint64{0, 3, 3, 10, 10, math.MaxUint32, math.MaxUint32 + 5, math.MaxUint32 + 9}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("overflow (-want +got):\n%s", diff)
	}
}

// Whatever arrives in whatever pieces is described once and in order, for any
// slab and any number of descriptors; what waits for a later call is not lost when
// more arrives.
func TestReadBatchCarryOver(t *testing.T) {
	for _, tc := range []struct{ slab, descriptors int }{
		{wireguardSlab, 128}, {wireguardSlab, 1}, {wireguardSlab, 7}, {70_000, 128}, {5000, 128}, {1500, 3},
	} {
		t.Run(fmt.Sprintf("%d/%d", tc.slab, tc.descriptors), func(t *testing.T) {
			c := listen(t, "udp4", nil)
			var (
				calls [][]arrival
				want  []string
				next  int
			)
			for i := range 60 {
				var call []arrival
				for j := range 1 + i%17 {
					size := []int{100, 1400, 1, 1500}[(i+j)%4]
					n := size * []int{1, 46, 3, 40}[j%4]
					n = min(n+n%3, 65_000)
					a := arrival{data: make([]byte, n)}
					if n > size {
						a.control = gro(int32(size))
					} else {
						size = n
					}
					for b := a.data; len(b) > 0; {
						p := b[:min(size, len(b))]
						for k := range p {
							p[k] = byte(next >> (k % 3 * 8))
						}
						next++
						want = append(want, string(p))
						b = b[len(p):]
					}
					call = append(call, a)
				}
				calls = append(calls, call)
			}
			c.SetReceive(arriving(calls...))
			got, _ := readAll(t, c, tc.slab, tc.descriptors)
			if !slices.Equal(got, want) {
				t.Errorf("packets differ: got %d, want %d", len(got), len(want))
			}
			if rx := c.Stats().Rx; rx.Packets != uint64(len(want)) {
				t.Errorf("stats: %+v, want %d packets", rx, len(want))
			}
		})
	}
}

// A packet that no call can take is dropped, those around it are not.
func TestReadBatchSmallSlab(t *testing.T) {
	c := listen(t, "udp4", nil)
	c.SetReceive(arriving([]arrival{{data: []byte("a")}}, []arrival{{data: make([]byte, 101)}}, []arrival{{data: bytes.Repeat([]byte("b"), 100)}}))
	data, _ := readAll(t, c, 100, 128)
	if diff := cmp.Diff([]string{"a", strings.Repeat("b", 100)}, data); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if rx := c.Stats().Rx; rx.Dropped["slab"] != 1 {
		t.Errorf("stats: %+v", rx)
	}
}

// An error leaves the socket usable.
func TestReadBatchError(t *testing.T) {
	c := listen(t, "udp4", nil)
	c.SetReceive(func([]unix.Mmsghdr) (int, error) { return 0, unix.ENOMEM })
	slab, pkts := make([]byte, 2000), make([]batching.Packet, 1)
	if n, err := c.ReadBatch(slab, pkts); n != 0 || !errors.Is(err, unix.ENOMEM) {
		t.Errorf("got %d, %v, want ENOMEM", n, err)
	}
	c.SetReceive(arriving([]arrival{{data: []byte("x")}}))
	if n, err := c.ReadBatch(slab, pkts); n != 1 || err != nil {
		t.Errorf("got %d, %v, want 1", n, err)
	}
}

// FuzzReadBatch lets a hostile kernel write what it likes into the buffers it was
// given, lengths included.
func FuzzReadBatch(f *testing.F) {
	f.Add([]byte("aabbc"), []byte(nil), gro(2), int32(0), uint32(0), uint(128), uint(wireguardSlab))
	f.Add([]byte("abc"), []byte{2, 0, 1, 2, 3, 4, 5, 6}, overflow(1), int32(unix.MSG_TRUNC), uint32(math.MaxUint32), uint(1), uint(1))
	f.Add(make([]byte, 3000), []byte(nil), slices.Concat(gro(1400), overflow(9)), int32(0), uint32(0), uint(2), uint(2000))
	c := listen(f, "udp4", &batching.Options{})
	f.Fuzz(func(t *testing.T, data, name, control []byte, flags int32, length uint32, descriptors, slabLen uint) {
		if len(name) == 0 {
			name = nil
		}
		a := arrival{data: data, name: name, control: control, flags: flags, length: length}
		c.SetReceive(arriving([]arrival{a, a, {data: []byte("end")}}))
		before := c.Stats().Rx
		got, pkts := readAll(t, c, int(slabLen%140_000)+3, int(descriptors%200)+1)
		after := c.Stats().Rx
		if len(got) == 0 || got[len(got)-1] != "end" {
			t.Fatalf("the last packet is missing: %d packets", len(got))
		}
		var dropped uint64
		for reason := range after.Dropped {
			dropped += after.Dropped[reason] - before.Dropped[reason]
		}
		if len(got) == 1 && dropped == 0 {
			t.Fatal("nothing delivered and nothing counted")
		}
		if after.Packets-before.Packets != uint64(len(got)) {
			t.Fatalf("counted %d packets, got %d", after.Packets-before.Packets, len(got))
		}
		for _, p := range pkts {
			if p.Size < 1 || !p.Remote.IsValid() || p.Remote.Addr().Is4In6() {
				t.Fatalf("packet %+v", p)
			}
		}
		// When all was taken as it came, all bytes are there, in order.
		if dropped == 0 && length == 0 {
			if want := string(data) + string(data) + "end"; strings.Join(got, "") != want {
				t.Fatalf("got %d bytes, want %d", len(strings.Join(got, "")), len(want))
			}
		}
	})
}
