// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// setUDPOption sets an option of a UDP socket.
func setUDPOption(t *testing.T, c *net.UDPConn, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { must(t, unix.SetsockoptInt(int(fd), unix.SOL_UDP, option, value)) }))
}

// TestGenericSeesNothingMerged: the kernel merges what arrives for a socket that asks
// for it, until a program is attached in generic mode, which must see single
// datagrams.
func TestGenericSeesNothingMerged(t *testing.T) {
	const size, segments = 100, 12
	for _, feature := range []string{"rx-gro", "rx-gro-list", "rx-udp-gro-forwarding"} {
		t.Run(feature, func(t *testing.T) {
			testutil.NeedTool(t, "ethtool")
			testutil.LeakCheck(t)
			l := newLab(t, 1)
			set := func(ns *testutil.NS, args ...string) {
				ns.Run(func() {
					if out, err := exec.Command("ethtool", append([]string{"-K"}, args...)...).CombinedOutput(); err != nil {
						t.Fatalf("ethtool -K %v: %v: %s", args, err, out)
					}
				})
			}
			set(l.near, "near", "rx-gro", "on", feature, "on")
			// The sender cuts its packets itself, as one behind a wire.
			set(l.far, "far", "tso", "off", "tx-generic-segmentation", "off", "tx-udp-segmentation", "off", "tx-gso-list", "off")
			kernel := l.listen(t, testPort)
			setUDPOption(t, kernel, unix.UDP_GRO, 1)
			burst := func() {
				l.far.Run(func() {
					c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(our4(), testPort)))
					must(t, err)
					defer c.Close()
					setUDPOption(t, c, unix.UDP_SEGMENT, size)
					_, err = c.Write(slices.Repeat([]byte{'x'}, size*segments))
					must(t, err)
				})
			}
			received := func() (largest int) {
				for left := size * segments; left > 0; {
					n := len(receive(t, kernel))
					largest, left = max(largest, n), left-n
				}
				return largest
			}
			testutil.Eventually(t, 20*time.Second, "something merged without a program", func() error {
				burst()
				if n := received(); n <= size {
					return fmt.Errorf("the largest has %d bytes", n)
				}
				return nil
			})
			p := load(t, &Options{Addresses: []netip.Addr{our4()}})
			_, _, err := l.attach(p, ModeGeneric)
			must(t, err)
			for range 10 {
				burst()
				if n := received(); n != size {
					t.Errorf("kernel's socket received %d bytes at once, %d were sent", n, size)
				}
			}
			r := l.receiver(t, 0)
			must(t, p.Register(0, r.fd))
			must(t, p.SetPort(testPort))
			burst()
			for range segments {
				if n := len(r.receive(t)); n != 14+20+8+size {
					t.Errorf("frame of %d bytes", n)
				}
			}
		})
	}
}
