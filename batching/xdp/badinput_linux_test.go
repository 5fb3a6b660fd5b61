// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An input is frames that are not quite a datagram for the underlay, and what is to
// become of them.
type input struct {
	name    string
	frames  [][]byte
	verdict string // of the program, for each
	dropped string // by the Conn, why
	kernel  string // what the kernel's socket receives
	past    string // what the Conn receives
}

// payload is long enough that no frame of it is padded.
const payload = "a payload that is longer than the shortest frame of Ethernet"

// inputs returns the cases.
func inputs(t *testing.T, w *wire) []input {
	good4 := func() []byte { return w.datagram(t, far4, near4, payload) }
	good6 := func() []byte { return w.datagram(t, far6, near6, payload) }
	be := binary.BigEndian.AppendUint16
	stranger := netip.MustParseAddr("192.0.2.77")
	return []input{
		{name: "IPv4 header cut", frames: [][]byte{good4()[:30]}, verdict: "short"},
		{name: "IPv6 header cut", frames: [][]byte{good6()[:40]}, verdict: "short"},
		{name: "UDP header cut, IPv4", frames: [][]byte{good4()[:udp4At+5]}, verdict: "length"},
		{name: "UDP header cut, IPv6", frames: [][]byte{good6()[:udp6At+5]}, verdict: "length"},
		{name: "IPv4 beyond the frame", frames: [][]byte{with(good4(), etherLen+2, be(nil, 1000)...)}, verdict: "length"},
		{name: "IPv6 beyond the frame", frames: [][]byte{with(good6(), etherLen+4, be(nil, 1000)...)}, verdict: "length"},
		{name: "IPv4 shorter than UDP", frames: [][]byte{with(good4(), etherLen+2, be(nil, 24)...)}, verdict: "length"},
		{name: "UDP beyond IPv4", frames: [][]byte{with(good4(), udp4At+4, be(nil, 1000)...)}, verdict: "length"},
		{name: "UDP beyond IPv6", frames: [][]byte{with(good6(), udp6At+4, be(nil, 1000)...)}, verdict: "length"},
		{name: "UDP shorter than its header", frames: [][]byte{with(good4(), udp4At+4, 0, 7)}, verdict: "length"},
		{name: "UDP shorter than IPv4", frames: [][]byte{with(good4(), udp4At+4, 0, 8+9)}, verdict: "redirected", past: payload[:9]},
		{name: "padding", frames: [][]byte{append(w.datagram(t, far4, near4, "short"), make([]byte, 13)...)}, verdict: "redirected", past: "short"},
		{name: "IPv4 checksum", frames: [][]byte{corrupt(good4(), etherLen+10)}, verdict: "checksum"},
		{name: "UDP checksum over IPv4", frames: [][]byte{with(good4(), udp4At+6, 0x12, 0x34)}, verdict: "redirected", past: payload},
		{name: "no UDP checksum over IPv6", frames: [][]byte{with(good6(), udp6At+6, 0, 0)}, verdict: "checksum"},
		{name: "IPv4 options", frames: [][]byte{options4(good4())}, verdict: "header", kernel: payload},
		{name: "IPv6 options", frames: [][]byte{options6(good6())}, verdict: "protocol", kernel: payload},
		{name: "IPv4 fragments", frames: fragments4(good4()), verdict: "fragment", kernel: payload},
		{name: "IPv6 fragments", frames: fragments6(good6()), verdict: "protocol", kernel: payload},
		{name: "IPv6 in the type of IPv4", frames: [][]byte{corrupt(good4(), etherLen)}, verdict: "header"},
		{name: "Ethernet address of somebody else", frames: [][]byte{with(good4(), 0, 2, 1, 2, 3, 4, 5)}, verdict: "redirected", dropped: "other_host"},
		{name: "Ethernet broadcast", frames: [][]byte{with(good4(), 0, 255, 255, 255, 255, 255, 255)}, verdict: "group", kernel: payload},
		{name: "IPv4 address of somebody else", frames: [][]byte{w.datagram(t, far4, stranger, payload)}, verdict: "address"},
		{name: "IPv4 source is multicast", frames: [][]byte{with(good4(), etherLen+12, 224, 0, 0, 1)}, verdict: "redirected", dropped: "address"},
		{name: "IPv4 source is loopback", frames: [][]byte{with(good4(), etherLen+12, 127, 0, 0, 1)}, verdict: "redirected", dropped: "address"},
		{name: "no payload", frames: [][]byte{w.datagram(t, far4, near4, "")}, verdict: "redirected", dropped: "empty"},
		{name: "another port", frames: [][]byte{with(good4(), udp4At+2, 1, 2)}, verdict: "port"},
		{name: "not UDP", frames: [][]byte{with(good4(), etherLen+9, 6)}, verdict: "protocol"},
		{name: "VLAN", frames: [][]byte{insert(good4(), 12, 0x81, 0, 0, 5)}, verdict: "vlan"},
		{name: "two VLAN tags", frames: [][]byte{insert(good4(), 12, 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6)}, verdict: "tags"},
		{name: "two priorities", frames: [][]byte{insert(good4(), 12, 0x88, 0xa8, 0, 0, 0x81, 0, 0, 0)}, verdict: "tags", kernel: payload},
		{name: "priority", frames: [][]byte{insert(good4(), 12, 0x81, 0, 0xe0, 0)}, verdict: "redirected", past: payload},
	}
}

// corrupt returns b with the bits of one byte changed, no checksum mended.
func corrupt(b []byte, at int) []byte {
	b[at] ^= 0x24
	return b
}

// options4 adds four bytes of options that do nothing.
func options4(b []byte) []byte {
	b = insert(b, udp4At, 1, 1, 1, 1)
	b[etherLen] = 0x46
	return with(b, etherLen+2, binary.BigEndian.AppendUint16(nil, uint16(len(b)-etherLen))...)
}

// options6 adds a header of destination options, padding only.
func options6(b []byte) []byte {
	b = insert(b, udp6At, b[etherLen+6], 0, 1, 4, 0, 0, 0, 0)
	b[etherLen+6] = 60
	binary.BigEndian.PutUint16(b[etherLen+4:], uint16(len(b)-udp6At))
	return b
}

// split is where fragments of the tests are cut, a multiple of 8.
const split = 32

func fragments4(b []byte) [][]byte {
	first, second := bytes.Clone(b[:udp4At+split]), append(bytes.Clone(b[:udp4At]), b[udp4At+split:]...)
	for i, f := range [][]byte{first, second} {
		binary.BigEndian.PutUint16(f[etherLen+2:], uint16(len(f)-etherLen))
		binary.BigEndian.PutUint16(f[etherLen+4:], 4711)
		with(f, etherLen+6, [][]byte{{0x20, 0}, {0, split / 8}}[i]...)
	}
	return [][]byte{first, second}
}

func fragments6(b []byte) [][]byte {
	header := func(offset uint16) []byte {
		return []byte{17, 0, byte(offset >> 8), byte(offset), 0, 0, 0x12, 0x67}
	}
	first := insert(bytes.Clone(b[:udp6At+split]), udp6At, header(1)...) // more follow
	second := insert(append(bytes.Clone(b[:udp6At]), b[udp6At+split:]...), udp6At, header(split)...)
	for _, f := range [][]byte{first, second} {
		f[etherLen+6] = 44
		binary.BigEndian.PutUint16(f[etherLen+4:], uint16(len(f)-udp6At))
	}
	return [][]byte{first, second}
}

// TestBadInput has frames come that are not quite datagrams for the underlay: each ends
// at the kernel or in a counter, and the next good one is received.
func TestBadInput(t *testing.T) {
	for _, mode := range []redirect.Mode{redirect.ModeNative, redirect.ModeGeneric} {
		t.Run(mode.String(), func(t *testing.T) {
			testutil.LeakCheck(t)
			l := newLab(t, 1, &xdp.Options{Attach: mode})
			w := l.wire(t)
			for i, in := range inputs(t, w) {
				t.Run(in.name, func(t *testing.T) { testInput(t, l, w, &in, fmt.Sprintf("good %d", i)) })
			}
			t.Run("longer than the device takes", func(t *testing.T) { testTooLong(t, l, w) })
			t.Run("ARP and ping", func(t *testing.T) { testAnswers(t, l, w) })
			for _, c := range l.beside {
				if n := l.drain(t, c); n != 0 {
					t.Errorf("%d more packets reached the kernel's socket", n)
				}
			}
		})
	}
}

func testInput(t *testing.T, l *lab, w *wire, in *input, good string) {
	c := l.under.Conns()[0]
	before, dropped := l.under.Status().Program, c.Stats().Rx.Dropped
	for _, b := range in.frames {
		w.send(t, b)
	}
	if in.past != "" {
		if g := read(t, c, 1)[0]; g.data != in.past {
			t.Errorf("received %q, want %q", g.data, in.past)
		}
	}
	if in.kernel != "" {
		is6 := in.frames[0][12] == 0x86
		if g := read(t, l.beside[!is6], 1)[0]; g.data != in.kernel {
			t.Errorf("the kernel's socket received %q", g.data)
		}
	}
	want := before[in.verdict] + uint64(len(in.frames))
	testutil.Eventually(t, 20*time.Second, in.verdict, func() error {
		now := l.under.Status().Program
		// ARP and neighbour discovery may come at any time.
		if n := now[in.verdict]; n == want || n > want && (in.verdict == "protocol" || in.verdict == "group") {
			return nil
		}
		return fmt.Errorf("program: %v, before: %v", now, before)
	})
	w.send(t, w.datagram(t, far4, near4, good))
	if g := read(t, c, 1)[0]; g.data != good || g.Remote != netip.AddrPortFrom(far4, port) || g.Local != near4 {
		t.Errorf("then received %q from %v to %v", g.data, g.Remote, g.Local)
	}
	for reason, n := range c.Stats().Rx.Dropped {
		if expected := reason == in.dropped; n-dropped[reason] != map[bool]uint64{true: 1}[expected] {
			t.Errorf("dropped as %s: %d, before: %d", reason, n, dropped[reason])
		}
	}
}

// testTooLong sends a frame that is longer than near's MTU: a veth device drops it, and
// counts.
func testTooLong(t *testing.T, l *lab, w *wire) {
	l.far.Run(func() { must(t, netlink.LinkSetMTU(l.farLink, 3000)) })
	rxDropped := func() (n uint64) {
		l.near.Run(func() {
			link, err := netlink.LinkByName("eth0")
			must(t, err)
			n = link.Attrs().Statistics.RxDropped
		})
		return n
	}
	before := rxDropped()
	if _, err := w.file.Write(w.datagram(t, far4, near4, string(make([]byte, 1600)))); err != nil && !errors.Is(err, unix.ENOBUFS) {
		t.Fatal(err) // ENOBUFS: dropped on the way
	}
	testutil.Eventually(t, 20*time.Second, "frame dropped by the device", func() error {
		if n := rxDropped(); n != before+1 {
			return fmt.Errorf("%d, before %d", n, before)
		}
		return nil
	})
	// The longest that it takes, which has a tag's length more than the MTU allows.
	const longest = 1500 + etherLen + 4 - udp4At - 8
	data := string(bytes.Repeat([]byte("long"), longest/4+1)[:longest])
	w.send(t, w.datagram(t, far4, near4, data))
	if g := read(t, l.under.Conns()[0], 1)[0]; g.data != data {
		t.Errorf("received %d bytes, want %d", len(g.data), len(data))
	}
}

// testAnswers has near's kernel answer to what is not for the underlay.
func testAnswers(t *testing.T, l *lab, w *wire) {
	before := l.under.Status().Program
	arp := append(append(bytes.Repeat([]byte{255}, 6), w.far[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	arp = append(append(arp, w.far[:]...), far4.AsSlice()...)
	arp = append(append(arp, make([]byte, 6)...), near4.AsSlice()...)
	arp = append(arp, make([]byte, 60-len(arp))...)
	w.send(t, with(arp, 0, w.near[:]...)) // to near only, as a kernel refreshes an entry
	w.await(t, "answer to ARP", func(b []byte) bool {
		return frame.MAC(b[6:]) == w.near && bytes.Equal(b[12:22], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}) && bytes.Equal(b[28:32], near4.AsSlice())
	})
	for _, a := range [][2]netip.Addr{{far4, near4}, {far6, near6}} {
		echo := testutil.Echo(a[0], a[1], 77, 1, []byte(payload))
		head := append(append([]byte{}, w.near[:]...), w.far[:]...)
		reply := byte(0)
		if a[0].Is4() {
			head = append(head, 8, 0)
		} else {
			head, reply = append(head, 0x86, 0xdd), 129
		}
		at := len(head) + len(echo) - len(payload) - 8
		w.send(t, append(head, echo...))
		w.await(t, "answer to ping", func(b []byte) bool {
			return frame.MAC(b[6:]) == w.near && len(b) == len(head)+len(echo) && b[at] == reply && bytes.HasSuffix(b, []byte(payload))
		})
	}
	after := l.under.Status().Program
	if after["ethertype"] == before["ethertype"] || after["protocol"] < before["protocol"]+2 {
		t.Errorf("program: %v, before: %v", after, before)
	}
	_, err := l.peer[true].WriteBatch([][]byte{[]byte("bye")}, 0, destination(near4), 0)
	must(t, err)
	read(t, l.under.Conns()[0], 1)
}
