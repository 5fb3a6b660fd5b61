// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// wireproxySample has the shape of the sample in wireproxy's README: its sections in
// their order, comments behind values, nothing that wireproxy does not know, and no
// AllowedIPs. To fill in: private key, public key, endpoint.
const wireproxySample = `# As in a file of wg-quick.
[Interface]
Address = 10.77.0.1/32 # one address of each family
# MTU = 1420 (optional)
PrivateKey = %s
# PrivateKey = $SOME_VARIABLE # or from the environment
DNS = 10.77.0.2

[Peer]
PublicKey = %s
# PresharedKey = UItQuvLsyh50ucXHfjF0bbR4IIpVBd74lwKc8uIPXXs= (optional)
Endpoint = %s
# PersistentKeepalive = 25 (optional)

# From here into the tunnel.
[TCPClientTunnel]
BindAddress = 127.0.0.1:25565
Target = web.lab:8000

# From the tunnel to here.
[TCPServerTunnel]
ListenPort = 3422
Target = localhost:25545

# For a ProxyCommand.
[STDIOTunnel]
Target = ssh.lab:22

# SOCKS, for everything on this host.
[Socks5]
BindAddress = 127.0.0.1:25344
#Username = ...
#Password = ...

# HTTP, likewise.
[http]
BindAddress = 127.0.0.1:25345
#Username = ...
#Password = ...
#CertFile = ...
#KeyFile = ...
`

// TestWireproxyFile runs a file of wireproxy as it is, and uses each section.
func TestWireproxyFile(t *testing.T) {
	l := newNetstackLab(t, lab.UpstreamName) // the sample has no ListenPort, which the fork wants to know
	testutil.NeedTool(t, "curl")
	t.Parallel()
	serveWeb(t, l.b, netip.AddrPortFrom(lab.TunnelB4, webPort))
	serveWeb(t, l.a, netip.MustParseAddrPort("127.0.0.1:25545"))
	serve(t, l.b, netip.AddrPortFrom(lab.TunnelB4, 22), sumOfAll)
	serveNames(t, l.b, lab.TunnelB4, map[string][]netip.Addr{webName + ".": {lab.TunnelB4}, "ssh.lab.": {lab.TunnelB4}})
	file := l.a.WriteNobodyFile("wireproxy.conf", fmt.Sprintf(wireproxySample, l.options.PrivateKey, l.far.PublicKey(), outerPort(lab.B4)))

	// With standard input still open, so that what it carries does not end the rest.
	in, out := pipe(t)
	p := l.a.StartNobody("router started", lab.Command{
		Path: "sh", Args: []string{"-c", fmt.Sprintf("exec %s up --socket-dir %s %s <&3", l.bin, lab.NobodyDir, file)}, Files: []*os.File{in},
	})
	in.Close() // or writing would not fail when the router has ended
	want := content(100_000, 1)
	for name, r := range map[string]struct {
		from *lab.Host
		args []string
	}{
		"TCPClientTunnel": {l.a, []string{"http://127.0.0.1:25565/100000/1"}},
		"TCPServerTunnel": {l.b, []string{fmt.Sprintf("http://%s:3422/100000/1", lab.TunnelA4)}},
		"Socks5":          {l.a, []string{"--proxy", "socks5h://127.0.0.1:25344", "http://web.lab:8000/100000/1"}},
		"http":            {l.a, []string{"--proxy", "http://127.0.0.1:25345", "http://web.lab:8000/100000/1"}},
	} {
		c := lab.Command{Path: "curl", Args: append([]string{"--silent", "--show-error", "--fail", "--max-time", "20"}, r.args...)}
		if got := r.from.Exec(c); got.Code != 0 || got.Stdout != string(want) {
			t.Errorf("%s: exit code %d, %d bytes, want %d\n%s", name, got.Code, len(got.Stdout), len(want), got.Stderr)
		}
	}
	sent := content(1<<20, 2)
	if _, err := out.Write(sent); err != nil {
		t.Error(err)
	}
	out.Close()
	lab.Wait(t, lab.Patience, "the answer to standard input", func() error {
		if output := p.Output(); !strings.Contains(output, sum(sent)) {
			return errors.New(output)
		}
		return nil
	})
}

// sumOfAll reads to the end and answers with the checksum.
func sumOfAll(c *net.TCPConn) {
	if b, err := io.ReadAll(c); err == nil {
		io.WriteString(c, sum(b)+"\n")
	}
}

// TestSTDIO pipes through the router as "ssh -o ProxyCommand" does: nothing but
// what the target sends is on standard output, the end of input is passed on, and
// the program ends when the target has sent all.
func TestSTDIO(t *testing.T) {
	l := newNetstackLab(t, lab.ForkName)
	t.Parallel()
	serve(t, l.b, netip.AddrPortFrom(lab.TunnelB4, 22), sumOfAll)
	file := l.a.WriteNobodyFile("wg0.conf", l.options.NetstackFile(section("STDIOTunnel", fmt.Sprintf("Target = %s:22", lab.TunnelB4))))
	c := lab.AsNobody(lab.Command{Path: l.bin, Args: []string{"up", "--socket-dir", lab.NobodyDir, file}, Stdin: string(content(5<<20, 3))})
	if r := l.a.Exec(c); r.Code != 0 || r.Stdout != sum(content(5<<20, 3))+"\n" {
		t.Errorf("exit code %d: %q\n%s", r.Code, r.Stdout, r.Stderr)
	}
	// A target that refuses is an error, and ends the program.
	file = l.a.WriteNobodyFile("wg0.conf", l.options.NetstackFile(section("STDIOTunnel", fmt.Sprintf("Target = %s:23", lab.TunnelB4))))
	if r := l.a.Exec(c); r.Code == 0 || r.Stdout != "" || !strings.Contains(r.Stderr, "refused") {
		t.Errorf("exit code %d: %q\n%s", r.Code, r.Stdout, r.Stderr)
	}
}

// TestForwards uses the four kinds of forwards: content, half-close both ways,
// refusals, datagrams of every size.
func TestForwards(t *testing.T) {
	l := newNetstackLab(t, lab.ForkName)
	t.Parallel()
	const listen, echo, dead = 7001, 7002, 7003
	for _, end := range []struct {
		h  *lab.Host
		at netip.Addr
	}{{l.b, lab.TunnelB4}, {l.c, inside4}} {
		serve(t, end.h, netip.AddrPortFrom(end.at, listen), sumOfAll)
		serve(t, end.h, netip.AddrPortFrom(end.at, listen+100), speakFirst)
		echoUDP(t, end.h, netip.AddrPortFrom(end.at, echo))
	}
	var sections strings.Builder
	for _, port := range []int{listen, listen + 100, dead} {
		sections.WriteString(section("TCPClientTunnel", fmt.Sprintf("BindAddress = 127.0.0.1:%d", port), fmt.Sprintf("Target = %s:%d", lab.TunnelB4, port)))
		sections.WriteString(section("TCPServerTunnel", fmt.Sprintf("ListenPort = %d", port), fmt.Sprintf("Target = %s:%d", inside4, port)))
	}
	for _, port := range []int{echo, dead} {
		sections.WriteString(section("UDPProxyTunnel", fmt.Sprintf("BindAddress = 127.0.0.1:%d", port), fmt.Sprintf("Target = %s:%d", lab.TunnelB4, port), "InactivityTimeout = 30"))
		sections.WriteString(section("UDPServerTunnel", fmt.Sprintf("ListenPort = %d", port), fmt.Sprintf("Target = %s:%d", inside4, port)))
	}
	l.start(t, sections.String())
	for _, from := range []struct {
		name string
		h    *lab.Host
		at   string
	}{{"into the tunnel", l.a, "127.0.0.1"}, {"out of the tunnel", l.b, lab.TunnelA4.String()}} {
		t.Run(from.name, func(t *testing.T) {
			at := func(port int) string { return fmt.Sprintf("%s:%d", from.at, port) }
			wantHalfClose(t, from.h, at(listen))
			wantSpokenFirst(t, from.h, at(listen+100))
			if err := connectAndRead(from.h, at(dead)); err == nil || errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("a forward to a port that is closed: %v", err)
			}
			for _, size := range []int{0, 1, 1200, 1392, 1393, 9000, 65507} {
				b := content(size, size)
				if got, err := askUDP(from.h, at(echo), b); err != nil || !bytes.Equal(got, b) {
					t.Errorf("a datagram of %d bytes: %d came back, %v", size, len(got), err)
				}
			}
		})
	}
}

// speakFirst sends at once, closes its own side, and waits for the other.
func speakFirst(c *net.TCPConn) {
	if _, err := c.Write(content(300_000, 9)); err == nil && c.CloseWrite() == nil {
		io.Copy(io.Discard, c)
	}
}

// wantHalfClose sends until the end and wants the answer to all of it.
func wantHalfClose(t *testing.T, h *lab.Host, to string) {
	t.Helper()
	c := must(dialIn(h, "tcp", to))(t).(*net.TCPConn)
	defer c.Close()
	b := content(3_000_000, 4)
	_, err := c.Write(b)
	if err == nil {
		err = c.CloseWrite()
	}
	got, rerr := io.ReadAll(c)
	if err := errors.Join(err, rerr); err != nil || string(got) != sum(b)+"\n" {
		t.Errorf("%s answered %q, %v", to, got, err)
	}
}

// wantSpokenFirst reads to the end before it sends.
func wantSpokenFirst(t *testing.T, h *lab.Host, to string) {
	t.Helper()
	c := must(dialIn(h, "tcp", to))(t).(*net.TCPConn)
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, content(300_000, 9)) {
		t.Errorf("%s: %d bytes, %v", to, len(got), err)
	}
	// The other direction still works.
	if _, err := c.Write(content(100_000, 9)); err != nil {
		t.Errorf("%s: write after the other end is done: %v", to, err)
	}
}

// connectAndRead returns how a connection fails, as far as it gets.
func connectAndRead(h *lab.Host, to string) error {
	c, err := dialIn(h, "tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	return err
}

// TestChurn makes many short connections through a forward, and many at once that
// stay: none fails, and afterwards the program holds what it did before.
func TestChurn(t *testing.T) {
	l := newNetstackLab(t, lab.ForkName)
	t.Parallel()
	at := netip.AddrPortFrom(lab.TunnelB4, 7001)
	traffic.Answerer(t, l.b, at)
	p := l.start(t, section("TCPClientTunnel", "BindAddress = 127.0.0.1:7001", "Target = "+at.String()))
	local := netip.MustParseAddrPort("127.0.0.1:7001")
	traffic.WaitExchange(t, l.a, local)
	before := must(p.Holdings())(t)
	release := must(traffic.HoldOpen(l.a, local, 1000))(t)
	during := must(p.Holdings())(t)
	if during.Files < before.Files+990 {
		t.Errorf("%d descriptors with 1000 connections, %d without", during.Files, before.Files)
	}
	e := must(traffic.Churn(l.a, local, 500, 4*time.Second))(t)
	if e.Failed != 0 || e.Done == 0 {
		t.Errorf("of connections beside them %d worked, %d failed, one of them so: %v", e.Done, e.Failed, e.Err)
	}
	release()
	lab.Wait(t, lab.Patience, "descriptors as before", func() error {
		if now := must(p.Holdings())(t); now.Files > before.Files+2 {
			return fmt.Errorf("%d, before %d", now.Files, before.Files)
		}
		return nil
	})
	const most = 200
	if n := p.Goroutines(); n > most {
		t.Errorf("%d goroutines with no connection left", n)
	}
}
