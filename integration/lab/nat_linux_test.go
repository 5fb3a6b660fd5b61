// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// natLab is a machine behind a NAT, and two public ones that have two sockets each.
type natLab struct {
	*lab.Internet
	in         *lab.Site
	machine    *net.UDPConn      // port lab.Port
	out        [2][2]*udpSpeaker // by site and socket
	t          *testing.T
	lastNumber int
}

// A udpSpeaker is a public socket.
type udpSpeaker struct {
	*net.UDPConn
	at netip.AddrPort
}

func newNATLab(t *testing.T, kind lab.NAT, ipv6 bool) *natLab {
	t.Helper()
	n := &natLab{t: t, Internet: lab.InternetOptions{IPv6: ipv6, Sites: []lab.SiteSpec{{Name: "in", NAT: kind}, {Name: "x"}, {Name: "y"}}}.Build(t)}
	n.in = n.Site("in")
	n.machine = listen(t, n.in.Host, lab.Port)
	for i, name := range []string{"x", "y"} {
		for j := range n.out[i] {
			s, port := n.Site(name), 7000+j
			a := s.Outer()
			if ipv6 {
				a = s.Outer6()
			}
			n.out[i][j] = &udpSpeaker{listen(t, s.Host, port), netip.AddrPortFrom(a, uint16(port))}
		}
	}
	return n
}

func listen(t *testing.T, h *lab.Host, port int) (c *net.UDPConn) {
	t.Helper()
	if err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends from the machine and returns where it is seen from.
func (n *natLab) ask(to *udpSpeaker) netip.AddrPort {
	n.t.Helper()
	text := n.number()
	if _, err := n.machine.WriteToUDPAddrPort([]byte(text), to.at); err != nil {
		n.t.Fatal(err)
	}
	got, from := n.read(to.UDPConn, lab.Patience)
	if got != text {
		n.t.Fatalf("%s got %q, want %q", to.at, got, text)
	}
	return from
}

// number returns a text unlike any before it.
func (n *natLab) number() string {
	n.lastNumber++
	return fmt.Sprint("datagram ", n.lastNumber)
}

func (n *natLab) read(c *net.UDPConn, patience time.Duration) (string, netip.AddrPort) {
	n.t.Helper()
	buf := make([]byte, 100)
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		n.t.Fatal(err)
	}
	got, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		n.t.Fatal(err)
	}
	return string(buf[:got]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// wantIn checks whether what a public socket sends to an address gets to the machine.
func (n *natLab) wantIn(what string, from *udpSpeaker, to netip.AddrPort, in bool) {
	n.t.Helper()
	refused, text := n.in.Refused(), n.number()
	if _, err := from.WriteToUDPAddrPort([]byte(text), to); err != nil {
		n.t.Fatal(err)
	}
	if in {
		if got, at := n.read(n.machine, lab.Patience); got != text || at != from.at {
			n.t.Errorf("%s: the machine got %q from %s, want %q", what, got, at, text)
		}
		return
	}
	lab.Wait(n.t, lab.Patience, what+" is refused", func() error {
		if n.in.Refused() != refused+1 {
			return errors.New("it is not")
		}
		return nil
	})
}

// TestNATKinds checks with plain sockets that each kind of NAT does what its name
// says, and nothing else.
func TestNATKinds(t *testing.T) {
	need(t)
	for _, kind := range []lab.NAT{lab.EasyNAT, lab.ConeNAT, lab.HardNAT} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			n := newNATLab(t, kind, false)
			x, otherX, y := n.out[0][0], n.out[0][1], n.out[1][0]
			cone, hard := kind == lab.ConeNAT, kind == lab.HardNAT

			seen := n.ask(x)
			if seen.Addr() != n.in.Outer() || seen.Port() == lab.Port {
				t.Errorf("seen as %s, want another port of %s than %d", seen, n.in.Outer(), lab.Port)
			}
			if !hard && seen != n.in.Mapped() {
				t.Errorf("seen as %s, want %s", seen, n.in.Mapped())
			}
			n.wantIn("an answer", x, seen, true)
			n.wantIn("another port", otherX, seen, cone)
			n.wantIn("a stranger", y, seen, cone)
			if again := n.ask(x); again != seen {
				t.Errorf("seen as %s, and then as %s", seen, again)
			}
			second := n.ask(y)
			if (second == seen) == hard {
				t.Errorf("seen as %s by one and as %s by another", seen, second)
			}
			n.wantIn("an answer of the second", y, second, true)
			n.wantIn("one at the mapping of another", y, seen, !hard)

			for what, change := range map[string]func(){"rebinding": n.in.Rebind, "move": n.in.Move} {
				old := n.ask(x)
				change()
				if what != "move" { // the old address is gone then
					n.wantIn("the old mapping after "+what, x, old, false)
				}
				now := n.ask(x)
				if now == old || now.Addr() != n.in.Outer() {
					t.Errorf("seen as %s after %s, before as %s", now, what, old)
				}
				n.wantIn("an answer after "+what, x, now, true)
			}

			n.in.SetMappingTimeout(1)
			seen = n.ask(x)
			lab.Wait(t, lab.Patience, "the mapping ends", func() error {
				if m := n.in.Mappings(); m != 0 {
					return fmt.Errorf("%d", m)
				}
				return nil
			})
			n.wantIn("a late answer", x, seen, cone)
		})
	}
}

// TestFirewallIPv6 checks that the gateway does not translate IPv6 and lets in what
// was asked for.
func TestFirewallIPv6(t *testing.T) {
	need(t)
	t.Parallel()
	n := newNATLab(t, lab.HardNAT, true)
	x, y := n.out[0][0], n.out[1][0]
	want := netip.AddrPortFrom(n.in.Outer6(), lab.Port)
	n.wantIn("a stranger", x, want, false)
	if seen := n.ask(x); seen != want {
		t.Errorf("seen as %s, want %s", seen, want)
	}
	n.wantIn("an answer", x, want, true)
	n.wantIn("another stranger", y, want, false)
}

// TestCut cuts the path between two sites while both reach a third.
func TestCut(t *testing.T) {
	need(t)
	t.Parallel()
	n := newNATLab(t, lab.EasyNAT, false)
	x, y, site := n.out[0][0], n.out[1][0], n.Site("x")
	seen := n.ask(x)
	n.ask(y)
	send := func(from *udpSpeaker, to netip.AddrPort) {
		t.Helper()
		if _, err := from.WriteToUDPAddrPort([]byte("cut"), to); err != nil {
			t.Fatal(err)
		}
	}
	wantCut := func(want int64) {
		t.Helper()
		lab.Wait(t, lab.Patience, "packets are dropped", func() error {
			if got := n.CutPackets(); got != want {
				return fmt.Errorf("%d, want %d", got, want)
			}
			return nil
		})
	}
	n.Cut(n.in, site)
	send(x, seen)
	wantCut(1)
	send(&udpSpeaker{n.machine, seen}, x.at)
	wantCut(2)
	n.wantIn("the third", y, seen, true)
	n.Repair(n.in, site)
	n.wantIn("after the repair", x, seen, true)

	n.CutOneWay(site, n.in)
	passed := n.Passed(n.in, site)
	n.ask(x)
	send(x, seen)
	wantCut(3)
	n.RepairOneWay(site, n.in)
	n.wantIn("after the second repair", x, seen, true)
	if got := n.Passed(n.in, site); got != passed+1 {
		t.Errorf("%d packets passed, want one", got-passed)
	}
}
