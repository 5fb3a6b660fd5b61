// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The kernel answers EIO to a segmented message in one place (udp_send_skb in
// net/ipv4/udp.c, Linux 6.11 and later): when the route goes through a transform,
// or the socket is UDP-Lite. TestEIO makes the first where the kernel has a
// transform to offer, else the second, and proves that the same packets arrive
// one by one, once and in order, and that only that destination is marked.
func TestEIO(t *testing.T) {
	inNS(t, func(lo netlink.Link) {
		from, to := transformed(t)
		if from == nil {
			t.Log("the kernel has no ESP: UDP-Lite")
			from, to = udpLite(t), udpLite(t)
		}
		now := time.Now()
		from.SetClock(func() time.Time { return now })
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		bufs, want := batch(append(slices.Repeat([]int{700}, 30), 300)...)
		for round, fallbacks := range []uint64{1, 1, 2} {
			before := from.Stats().Tx.Messages
			if n, err := from.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
				t.Fatalf("round %d: got %d, %v, want %d", round, n, err, len(bufs))
			}
			for i, r := range read(t, to, len(want)) {
				if r.data != want[i] {
					t.Fatalf("round %d: packet %d: got %d bytes, want %d; or they differ", round, i, len(r.data), len(want[i]))
				}
			}
			tx := from.Stats().Tx
			if tx.Fallbacks["eio"] != fallbacks || tx.Fallbacks["einval"]+tx.Fallbacks["emsgsize"] != 0 {
				t.Errorf("round %d: fallbacks %v, want %d for eio", round, tx.Fallbacks, fallbacks)
			}
			if got := tx.Messages - before; got != uint64(len(bufs)) {
				t.Errorf("round %d: %d messages, want %d", round, got, len(bufs))
			}
			if dst.Segmented(now) {
				t.Errorf("round %d: the destination is not marked", round)
			}
			if round == 1 {
				now = now.Add(time.Minute + time.Second) // it is tried again
			}
		}
		if other := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0); !other.Segmented(now) {
			t.Error("another destination is marked")
		}
	})
}

// transformed returns two sockets between which IPsec is in the way, without
// encryption; nil when the kernel has no ESP.
func transformed(t *testing.T) (from, to *batching.Conn) {
	for _, knob := range []string{"disable_xfrm", "disable_policy"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/lo/"+knob, []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
	}
	ip := net.IPv4(127, 0, 0, 1)
	state := &netlink.XfrmState{
		Src: ip, Dst: ip, Proto: netlink.XFRM_PROTO_ESP, Mode: netlink.XFRM_MODE_TRANSPORT, Spi: 0x100,
		Crypt: &netlink.XfrmStateAlgo{Name: "ecb(cipher_null)"},
		Auth:  &netlink.XfrmStateAlgo{Name: "digest_null"},
	}
	err := netlink.XfrmStateAdd(state)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	host := &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}
	if err := netlink.XfrmPolicyAdd(&netlink.XfrmPolicy{
		Src: host, Dst: host, Proto: unix.IPPROTO_UDP, Dir: netlink.XFRM_DIR_OUT,
		Tmpls: []netlink.XfrmPolicyTmpl{{Src: ip, Dst: ip, Proto: netlink.XFRM_PROTO_ESP, Mode: netlink.XFRM_MODE_TRANSPORT, Spi: 0x100}},
	}); err != nil {
		t.Fatal(err)
	}
	return listen(t, "udp4", nil), listen(t, "udp4", nil)
}

// udpLite returns a Conn on a UDP-Lite socket.
func udpLite(t *testing.T) *batching.Conn {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDPLITE)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "udplite")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	pc, err := net.FilePacketConn(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := batching.Adopt("udp4", pc.(*net.UDPConn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
