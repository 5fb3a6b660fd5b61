// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/net/dns/dnsmessage"
)

// Topology of the tests of the router without an interface and privileges:
//
//	a (the router, as nobody) eth0 ─── eth0 b (a peer with an interface)
//	  eth1 10.99.0.1/24 ─── eth0 10.99.0.2/24 c (knows of no tunnel)

// Addresses of host c, and that of host a beside it.
var (
	inside4, inside6 = netip.MustParseAddr("10.99.0.2"), netip.MustParseAddr("fd99::2")
	insideA4         = netip.MustParseAddr("10.99.0.1")
	insidePrefixes   = []string{"10.99.0.0/24", "fd99::/64"}
)

// A netstackLab is that topology with a device at b.
type netstackLab struct {
	bin     string
	a, b, c *lab.Host
	options lab.DeviceOptions // of the router
	far     *lab.Device       // at b
}

// newNetstackLab starts a device of the named implementation at b, which routes
// what is behind a into the tunnel.
func newNetstackLab(t *testing.T, far string) *netstackLab {
	t.Helper()
	bin := router(t)
	testutil.NeedTool(t, "setpriv")
	n := lab.Topology{Links: []lab.Link{
		lab.TwoHosts(1500).Links[0],
		{
			A: lab.End{Host: "a", Interface: "eth1", Addresses: []string{"10.99.0.1/24", "fd99::1/64"}},
			B: lab.End{Host: "c", Interface: "eth0", Addresses: []string{"10.99.0.2/24", "fd99::2/64"}},
		},
	}}.Build(t)
	l := &netstackLab{bin: bin, a: n.Host("a"), b: n.Host("b"), c: n.Host("c")}
	// As systemd has it for all.
	l.a.Sysctl("net/ipv4/ping_group_range", "0 2147483647")
	var device lab.DeviceOptions
	l.options, device = lab.TunnelOptions{OuterA: lab.A4, OuterB: lab.B4}.Ends()
	device.Peers[0].AllowedIPs = append(device.Peers[0].AllowedIPs, insidePrefixes...)
	l.far = lab.StartDevice(l.b, implementation(t, far), device)
	return l
}

// start runs the router with the sections, and waits until packets pass.
func (l *netstackLab) start(t *testing.T, sections string) *lab.Process {
	t.Helper()
	p := lab.StartNetstack(l.a, l.bin, l.options, sections)
	wantUnprivileged(t, p)
	traffic.WaitPing(t, l.b, lab.TunnelA4)
	return p
}

// wantUnprivileged checks that a program is nobody and has no capabilities.
func wantUnprivileged(t *testing.T, p *lab.Process) {
	t.Helper()
	status := p.Status()
	for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("the program is not unprivileged: no %q in\n%s", want, status)
		}
	}
}

// listenIn opens a listener in a host, which ends with the test.
func listenIn(t *testing.T, h *lab.Host, at netip.AddrPort) (l net.Listener) {
	t.Helper()
	h.Run(func() {
		var err error
		if l, err = net.Listen("tcp", at.String()); err != nil {
			t.Errorf("host %s: %v", h.Name, err)
		}
	})
	if l == nil {
		t.FailNow()
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve runs f in a goroutine of its own for each connection, and closes it.
func serve(t *testing.T, h *lab.Host, at netip.AddrPort, f func(c *net.TCPConn)) {
	l := listenIn(t, h, at)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if err := c.SetDeadline(time.Now().Add(lab.Patience)); err == nil {
					f(c.(*net.TCPConn))
				}
			}()
		}
	}()
}

// dialIn connects in a host.
func dialIn(h *lab.Host, network, to string) (c net.Conn, err error) {
	err = h.Do(func() (err error) {
		d := net.Dialer{Timeout: lab.Patience}
		c, err = d.Dial(network, to)
		return err
	})
	return c, err
}

// echoUDP answers every datagram with itself.
func echoUDP(t *testing.T, h *lab.Host, at netip.AddrPort) {
	t.Helper()
	answerUDP(t, h, at, func(b []byte) []byte { return b })
}

func answerUDP(t *testing.T, h *lab.Host, at netip.AddrPort, f func([]byte) []byte) {
	t.Helper()
	var c *net.UDPConn
	h.Run(func() {
		var err error
		if c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
			t.Errorf("host %s: %v", h.Name, err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				c.WriteToUDPAddrPort(f(buf[:n]), from)
			}
		}
	}()
}

// askUDP sends a datagram until an answer comes, which it returns.
func askUDP(h *lab.Host, to string, b []byte) ([]byte, error) {
	c, err := dialIn(h, "udp", to)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	buf := make([]byte, 1<<16)
	for deadline := time.Now().Add(lab.Patience); time.Now().Before(deadline); {
		if _, err := c.Write(b); err != nil {
			return nil, err
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return nil, err
		}
		n, err := c.Read(buf)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			continue
		}
		return buf[:n], err
	}
	return nil, errors.New("no answer")
}

// serveNames is a name server for the names, over UDP and TCP: of each its
// addresses, and no others.
func serveNames(t *testing.T, h *lab.Host, at netip.Addr, names map[string][]netip.Addr) {
	t.Helper()
	answer := func(query []byte) []byte {
		b, err := answerNames(query, names)
		if err != nil {
			return nil
		}
		return b
	}
	answerUDP(t, h, netip.AddrPortFrom(at, 53), answer)
	serve(t, h, netip.AddrPortFrom(at, 53), func(c *net.TCPConn) {
		for {
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			query := make([]byte, int(size[0])<<8|int(size[1]))
			if _, err := io.ReadFull(c, query); err != nil {
				return
			}
			b := answer(query)
			if _, err := c.Write(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)); err != nil {
				return
			}
		}
	})
}

func answerNames(query []byte, names map[string][]netip.Addr) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	addresses, ok := names[strings.ToLower(q.Name.String())]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addresses {
		var body dnsmessage.ResourceBody
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: a.As4()}
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		default:
			continue
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}, Body: body})
	}
	return m.Pack()
}

// section returns a section of a file.
func section(name string, lines ...string) string {
	return fmt.Sprintf("\n[%s]\n%s\n", name, strings.Join(lines, "\n"))
}

// pipe returns the two ends of a pipe, which are closed with the test.
func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}
