// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lab is a namespace with a veth pair, "near" and "far", of two queues each.
type lab struct {
	ns    *testutil.NS
	index int // of near
}

func newLab(t *testing.T) *lab {
	t.Helper()
	testutil.NeedNetNS(t)
	l := &lab{ns: testutil.NewNS(t)}
	l.ns.Run(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues = "near", 2, 2
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far"}))
		near, err := netlink.LinkByName("near")
		must(t, err)
		l.index = near.Attrs().Index
		addr, err := netlink.ParseAddr("10.9.0.1/24")
		must(t, err)
		must(t, netlink.AddrAdd(near, addr))
		must(t, netlink.LinkSetUp(near))
		far, err := netlink.LinkByName("far")
		must(t, err)
		must(t, netlink.LinkSetUp(far))
	})
	return l
}

func (l *lab) run(t *testing.T, o *Options) (r *Report) {
	t.Helper()
	l.ns.Run(func() {
		var err error
		r, err = Run(o)
		must(t, err)
	})
	return r
}

// program returns what is attached to near.
func (l *lab) program(t *testing.T) *netlink.LinkXdp {
	t.Helper()
	var x *netlink.LinkXdp
	l.ns.Run(func() {
		near, err := netlink.LinkByName("near")
		must(t, err)
		x = near.Attrs().Xdp
	})
	return x
}

func TestRunVeth(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t)
	for _, try := range []bool{false, true} {
		r := l.run(t, &Options{Interface: "near", Try: try})
		if r.Verdict != NativeCopy || r.Tried != try || r.Driver != "veth" || r.Queues != 2 || r.Available != 2 {
			t.Errorf("try %v: %+v", try, r)
		}
		for _, f := range r.Findings {
			if f.Level != OK && f.Level != Note {
				t.Errorf("try %v: %+v", try, f)
			}
		}
		if try {
			expect(t, r, OK, "native", "works")
			expect(t, r, Note, "zero-copy", "no zero-copy")
			expect(t, r, OK, "copy", "works")
		}
	}
	if x := l.program(t); x != nil && x.Attached {
		t.Errorf("a program is left behind: %+v", x)
	}
	r := l.run(t, &Options{Interface: "near", Queues: 1})
	expect(t, r, Limits, "queues", "1 of 2")
	// The name is that of the default route.
	l.ns.Run(func() {
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: l.index, Gw: netip.MustParseAddr("10.9.0.2").AsSlice()}))
	})
	if r := l.run(t, nil); r.Interface != "near" || r.Verdict != NativeCopy {
		t.Errorf("default route: %+v", r)
	}
}

// TestTryRefused has an MTU for which veth refuses native mode.
func TestTryRefused(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t)
	l.ns.Run(func() {
		far, err := netlink.LinkByName("far")
		must(t, err)
		must(t, netlink.LinkSetMTU(far, 9000))
	})
	r := l.run(t, &Options{Interface: "near", Try: true})
	expect(t, r, Stops, "native", "the MTU of the device or of its peer is too large")
	if r.Verdict != Kernel || !r.Tried {
		t.Errorf("%s, tried %v", r, r.Tried)
	}
	if x := l.program(t); x != nil && x.Attached {
		t.Errorf("a program is left behind: %+v", x)
	}
}

// TestTryGeneric takes the veth for hardware, where generic mode is used.
func TestTryGeneric(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t)
	r := &Report{Verdict: Unknown}
	l.ns.Run(func() {
		far, err := netlink.LinkByName("far")
		must(t, err)
		must(t, netlink.LinkSetMTU(far, 9000))
		try(r, &linkFacts{device: &deviceFacts{name: "near", kind: kindReal, index: l.index}})
	})
	expect(t, r, Limits, "native", "numerical result out of range")
	expect(t, r, Limits, "generic", "generic mode works")
	expect(t, r, OK, "copy", "works")
	if r.Verdict != Generic {
		t.Errorf("%s", r)
	}
	// A VLAN that there cannot be: the program is refused before anything is attached.
	r = &Report{Verdict: Unknown}
	l.ns.Run(func() { try(r, &linkFacts{vlan: 4095, device: &deviceFacts{kind: kindReal, index: l.index}}) })
	expect(t, r, Stops, "program", "VLAN 4095")
	if x := l.program(t); x != nil && x.Attached {
		t.Errorf("a program is left behind: %+v", x)
	}
}

// TestTaken has the program of a router, and one of somebody else, on the interface.
func TestTaken(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t)
	p, err := redirect.Load(nil)
	must(t, err)
	l.ns.Run(func() { _, _, err = p.Attach(l.index, redirect.ModeNative) })
	must(t, err)
	r := l.run(t, &Options{Interface: "near", Try: true})
	expect(t, r, Stops, "program", "a router's XDP program")
	if r.Tried || !p.Attached() {
		t.Errorf("tried %v, the other's program attached %v", r.Tried, p.Attached())
	}
	must(t, p.Close())
	if r := l.run(t, &Options{Interface: "near"}); r.Verdict != NativeCopy {
		t.Errorf("after it has gone: %s", r)
	}
}

// TestQueueTaken has a socket of somebody else on the first queue.
func TestQueueTaken(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t)
	var s *xsk.Socket
	l.ns.Run(func() {
		var err error
		s, err = xsk.Open(l.index, &xsk.Options{})
		must(t, err)
	})
	r := l.run(t, &Options{Interface: "near", Try: true})
	must(t, s.Close())
	expect(t, r, Limits, "copy", "device or resource busy")
	if r.Verdict != Kernel || !slices.Contains(r.Because, "no socket could be opened") {
		t.Errorf("%s", r)
	}
}

// TestRunOthers looks at what is there without privilege.
func TestRunOthers(t *testing.T) {
	testutil.LeakCheck(t)
	for name, want := range map[string]string{"lo": "lo is the loopback interface", "nosuch0": "there is no interface nosuch0", strings.Repeat("x", 300): "there is no interface x"} {
		r, err := Run(&Options{Interface: name, Try: true})
		if err != nil || r.Verdict != Kernel || !strings.Contains(r.String(), want) || r.Tried {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if _, err := Run(&Options{Queues: MaxQueues + 1}); err == nil {
		t.Error("too many queues: no error")
	}
}

// TestRunNetns has interfaces of other kinds.
func TestRunNetns(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t)
	expect(t, l.run(t, nil), Stops, "interface", "there is no default route")
	l.ns.Run(func() {
		bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
		bridge.Name = "br0"
		must(t, netlink.LinkAdd(bridge))
		must(t, netlink.LinkSetUp(bridge))
		far, err := netlink.LinkByName("far")
		must(t, err)
		must(t, netlink.LinkSetMaster(far, bridge))
		tap := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TUN}
		tap.Name = "tun0"
		must(t, netlink.LinkAdd(tap))
	})
	expect(t, l.run(t, &Options{Interface: "br0"}), Stops, "interface", "br0 is a bridge")
	r := l.run(t, &Options{Interface: "far"})
	expect(t, r, Note, "interface", "port of bridge br0")
	expect(t, r, Stops, "addresses", "far has no address")
	expect(t, l.run(t, &Options{Interface: "tun0"}), Stops, "interface", "no Ethernet")
	l.ns.Run(func() {
		near, err := netlink.LinkByName("near")
		must(t, err)
		must(t, netlink.LinkSetDown(near))
	})
	expect(t, l.run(t, &Options{Interface: "near"}), Stops, "interface", "near is down")
}

// TestOffloads reads those of the loopback device, which every namespace has.
func TestOffloads(t *testing.T) {
	active, changeable := features("lo")
	if !active["loopback"] || changeable["loopback"] || !changeable["rx-gro"] {
		t.Errorf("active %v, changeable %v", active, changeable)
	}
	if active, _ := features("nosuch0"); active != nil {
		t.Errorf("of nothing: %v", active)
	}
}

func TestDamagedAttributes(t *testing.T) {
	for _, tt := range []struct {
		b    []byte
		want int
	}{
		{nil, 0}, {[]byte{1}, 0}, {attribute(8, 1), 0}, {attribute(3, 1), 0}, {attribute(0, 0), 0}, {attribute(65535, 1, 1), 0},
		{attribute(4, 1), 1}, {attribute(5, 1, 1), 1},
		{append(attribute(5, 1, 1, 0, 0, 0), attribute(4, 2)...), 2}, {append(attribute(4, 2), 1), 1},
	} {
		if a := nested(tt.b); len(a) != tt.want || a.uint32(1) != 0 {
			t.Errorf("%x: %v, want %d", tt.b, a, tt.want)
		}
	}
}

// attribute returns one that says to be of the size.
func attribute(size, kind uint16, value ...byte) []byte {
	return append(binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, size), kind), value...)
}

// FuzzAttributes: values do not overlap and are part of what was read.
func FuzzAttributes(f *testing.F) {
	f.Add(append(attribute(5, 1, 1, 0, 0, 0), attribute(8, 2, 1, 2, 3, 4)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		used := 0
		each(b, func(_ uint16, value []byte) {
			used += unix.SizeofNlAttr + len(value)
			if len(value) > 0 && &value[0] != &b[used-len(value)] {
				t.Errorf("%x: value at another place", b)
			}
			used = min((used+3)&^3, len(b))
		})
		if used > len(b) {
			t.Errorf("%d of %d bytes used", used, len(b))
		}
		bitset(b)
	})
}

func TestParseRelease(t *testing.T) {
	for s, want := range map[string][2]int{
		"6.18.44-fc": {6, 18}, "5.9": {5, 9}, "5.10-rc1": {5, 10}, "7.0.0": {7, 0},
		"": {}, "6": {}, "6.": {}, "x.1": {}, "6.x": {}, ".6": {},
	} {
		if major, minor := parseRelease(s); major != want[0] || minor != want[1] {
			t.Errorf("%q: %d.%d, want %v", s, major, minor, want)
		}
	}
}

// TestCollectProcess compares with what the tests know of themselves.
func TestCollectProcess(t *testing.T) {
	testutil.LeakCheck(t)
	f := collectProcess()
	if f.major < 5 || !strings.HasPrefix(f.release, "5.") && f.major == 5 {
		t.Errorf("%+v", f)
	}
	if os.Geteuid() != 0 && f.sysAdmin {
		t.Errorf("not root, and CAP_SYS_ADMIN: %+v", f)
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		must(t, unix.Close(fd))
	}
	if !errors.Is(f.socketErr, err) {
		t.Errorf("socket: %v, want %v", f.socketErr, err)
	}
}
