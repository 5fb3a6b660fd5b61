// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

func TestAdviseHost(t *testing.T) {
	h := newHost(t)
	testutil.NeedTool(t, "ethtool", "sysctl")
	asked := hostnet.AdviceOptions{Interface: "wg0", ReceiveBuffer: 1 << 20, SendBuffer: 2 << 20,
		Forwards4: true, Forwards6: true, PolicyRouting: true}
	collect := func() (f *hostnet.Facts) {
		h.Run(func() { f = hostnet.CollectFacts(&asked) })
		return f
	}
	advise := func() string {
		var ids []string
		h.Run(func() {
			for _, a := range hostnet.Advise(asked) {
				ids = append(ids, a.ID)
			}
		})
		return strings.Join(ids, " ")
	}
	h.sh(`
ip link set wg0 txqueuelen 77 up
sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1
sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0`)
	f := collect()
	if release := strings.TrimSpace(h.sh("uname -r")); f.Kernel == "0.0.0" || !strings.HasPrefix(release, f.Kernel) && !strings.HasPrefix(f.Kernel, release) {
		t.Errorf("kernel %s, uname says %s", f.Kernel, release)
	}
	f.Kernel, f.Active, f.Changeable = "", nil, nil
	want := &hostnet.Facts{ReceiveBuffer: 1 << 20, SendBuffer: 2 << 20, NIC: "eth0",
		Forwarding4: new(false), Forwarding6: new(false), TxQueueLen: 77, RPFilterNIC: 1}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	const all = "ip-forward ip6-forward rp-filter tx-queue-length"
	if got := advise(); !strings.HasPrefix(got, all) {
		t.Errorf("got advice %q, want %q first", got, all)
	}

	// Each remedy is the cure of its condition.
	h.sh(`
sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.src_valid_mark=1
ip link set wg0 txqueuelen 1000
ethtool -K eth0 gro on rx-udp-gro-forwarding off rx-gro-list on`)
	if got, want := advise(), "nic-udp-gro-forwarding nic-gro-list"; got != want {
		t.Errorf("got advice %q, want %q", got, want)
	}
	h.sh("ethtool -K eth0 rx-udp-gro-forwarding on rx-gro-list off")
	if got := advise(); got != "" {
		t.Errorf("a host in order gets advice %q", got)
	}

	// For a single interface.
	h.sh("sysctl -q -w net.ipv4.conf.wg0.forwarding=0 net.ipv4.conf.all.src_valid_mark=0 net.ipv4.conf.eth0.src_valid_mark=1")
	if got := advise(); got != "ip-forward" {
		t.Errorf("got advice %q, want ip-forward", got)
	}
	h.sh("sysctl -q -w net.ipv4.conf.wg0.forwarding=1")

	// The default route may be the tunnel's for everything without the mark.
	asked.Mark = 0xca6c
	h.sh(`
ip route add default dev wg0 table 51820; ip -6 route add default dev wg0 table 51820
ip rule add not fwmark 0xca6c table 51820; ip -6 rule add not fwmark 0xca6c table 51820`)
	if f := collect(); f.NIC != "eth0" {
		t.Errorf("with the mark: interface %q", f.NIC)
	}
	asked.Mark = 0
	if f := collect(); f.NIC != "" {
		t.Errorf("without the mark: interface %q", f.NIC)
	}
	asked.Mark = 0xca6c
	h.sh("ip route delete default")
	if f := collect(); f.NIC != "eth0" {
		t.Errorf("with a default route for IPv6 only: interface %q", f.NIC)
	}
	h.sh("ip -6 route delete default")
	if f := collect(); f.NIC != "" {
		t.Errorf("without a default route: interface %q", f.NIC)
	}

	asked.Interface = "none0"
	if f := collect(); f.TxQueueLen != 0 {
		t.Errorf("an interface that is not there: %+v", f)
	}
}

// TestGrantedBuffers asks with and without the capability that lifts the limits.
func TestGrantedBuffers(t *testing.T) {
	limit := func(name string) int {
		b, err := os.ReadFile("/proc/sys/net/core/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	receive, send := limit("rmem_max"), limit("wmem_max")
	check := func(name string, askReceive, askSend, wantReceive, wantSend int) {
		t.Helper()
		if r, s := hostnet.GrantedBuffers(askReceive, askSend); r != wantReceive || s != wantSend {
			t.Errorf("%s: asked %d and %d, got %d and %d, want %d and %d", name, askReceive, askSend, r, s, wantReceive, wantSend)
		}
	}
	check("nothing", 0, 0, 0, 0)
	check("receive only", 65536, 0, 65536, 0)
	err := testutil.OnThrowawayThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return os.NewSyscallError("capset", err)
		}
		check("at the limit", receive, send, receive, send)
		check("beyond the limit", receive+4096, send+8192, receive, send)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNICFeaturesRecorded(t *testing.T) {
	active, changeable := hostnet.DecodeNICFeatures(recorded(t, "features-virtio-6.18.bin"))
	wantActive := []string{"highdma", "rx-checksum", "rx-gro", "rx-gro-hw", "tx-checksum-ip-generic", "tx-generic-segmentation",
		"tx-gso-robust", "tx-scatter-gather", "tx-tcp-segmentation", "tx-tcp6-segmentation"}
	wantChangeable := []string{"rx-gro", "rx-gro-list", "rx-udp-gro-forwarding", "tx-checksum-ip-generic", "tx-generic-segmentation",
		"tx-nocache-copy", "tx-scatter-gather", "tx-tcp-mangleid-segmentation", "tx-tcp-segmentation", "tx-tcp6-segmentation"}
	if diff := cmp.Diff(wantActive, active); diff != "" {
		t.Errorf("active: %s", diff)
	}
	if diff := cmp.Diff(wantChangeable, changeable); diff != "" {
		t.Errorf("changeable: %s", diff)
	}
}

// TestNICFeaturesEthtool compares with what ethtool shows.
func TestNICFeaturesEthtool(t *testing.T) {
	h := newHost(t)
	testutil.NeedTool(t, "ethtool")
	h.sh("ethtool -K eth0 gro on rx-udp-gro-forwarding on")
	var f *hostnet.Facts
	h.Run(func() { f = hostnet.CollectFacts(&hostnet.AdviceOptions{Interface: "wg0"}) })
	shown := h.sh("ethtool -k eth0")
	for _, name := range []string{"rx-gro-list", "rx-udp-gro-forwarding", "tx-udp-segmentation", "tx-scatter-gather"} {
		_, rest, _ := strings.Cut(shown, name+": ")
		want := strings.HasPrefix(rest, "on")
		if got := strings.Contains(" "+strings.Join(f.Active, " ")+" ", " "+name+" "); got != want {
			t.Errorf("%s: active %t, ethtool says %t", name, got, want)
		}
	}
	if !strings.Contains(strings.Join(f.Active, " "), "rx-udp-gro-forwarding") {
		t.Errorf("what was switched on is not in %v", f.Active)
	}
}

// attribute is a netlink attribute with the given contents.
func attribute(kind uint16, contents ...[]byte) []byte {
	value := bytes.Join(contents, nil)
	b := binary.LittleEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.LittleEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// bit is one bit of a set by name.
func bit(name string, on bool) []byte {
	contents := attribute(unix.ETHTOOL_A_BITSET_BIT_NAME, []byte(name+"\x00"))
	if on {
		contents = append(contents, attribute(unix.ETHTOOL_A_BITSET_BIT_VALUE)...)
	}
	return attribute(unix.NLA_F_NESTED|unix.ETHTOOL_A_BITSET_BITS_BIT, contents)
}

func bits(list ...[]byte) []byte {
	return attribute(unix.NLA_F_NESTED|unix.ETHTOOL_A_BITSET_BITS, list...)
}

// TestNICFeaturesSets decodes sets that are lists, sets that have a mask, and answers
// that are not whole.
func TestNICFeaturesSets(t *testing.T) {
	header := []byte{unix.ETHTOOL_MSG_FEATURES_GET_REPLY, 1, 0, 0}
	list := attribute(unix.ETHTOOL_A_BITSET_NOMASK)
	hw := attribute(unix.NLA_F_NESTED|unix.ETHTOOL_A_FEATURES_HW, list, bits(bit("one", false), bit("two", false), bit("three", false)))
	active := attribute(unix.NLA_F_NESTED|unix.ETHTOOL_A_FEATURES_ACTIVE, bits(bit("one", true), bit("two", false), bit("four", true)))
	fixed := attribute(unix.NLA_F_NESTED|unix.ETHTOOL_A_FEATURES_NOCHANGE, list, bits(bit("three", false)))
	for _, test := range []struct {
		name               string
		answer             [][]byte
		active, changeable []string
	}{
		{"whole", [][]byte{header, hw, active, fixed}, []string{"four", "one"}, []string{"one", "two"}},
		{"nothing fixed", [][]byte{header, hw, active}, []string{"four", "one"}, []string{"one", "three", "two"}},
		{"not what is active", [][]byte{header, hw, fixed}, nil, nil},
		{"not what is changeable", [][]byte{header, active, fixed}, nil, nil},
		{"another message", [][]byte{{unix.ETHTOOL_MSG_FEATURES_NTF, 1, 0, 0}, hw, active, fixed}, nil, nil},
		{"short header", [][]byte{header[:3]}, nil, nil},
		{"damaged in the middle", [][]byte{header, hw, {3, 0, 4, 0}, active}, nil, nil},
		{"cut", [][]byte{header, hw, active[:len(active)-4]}, nil, nil},
	} {
		active, changeable := hostnet.DecodeNICFeatures(bytes.Join(test.answer, nil))
		if !slices.Equal(active, test.active) || !slices.Equal(changeable, test.changeable) {
			t.Errorf("%s: got %q and %q, want %q and %q", test.name, active, changeable, test.active, test.changeable)
		}
	}
}

// FuzzNICFeatures checks that the answer is left as it was, and that no names come
// up that are not in it.
func FuzzNICFeatures(f *testing.F) {
	f.Add(recorded(f, "features-virtio-6.18.bin"))
	f.Add([]byte{unix.ETHTOOL_MSG_FEATURES_GET_REPLY, 1, 0, 0, 3, 0, 4, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		active, changeable := hostnet.DecodeNICFeatures(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the answer was changed")
		}
		for _, name := range append(active, changeable...) {
			if name == "" || !bytes.Contains(b, []byte(name)) {
				t.Fatalf("%q is not in the answer", name)
			}
		}
	})
}

func BenchmarkAdvise(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		hostnet.Advise(gateway())
	}
}
