// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

const (
	python = "/usr/bin/python3" // Debian's, which has its packages

	socksAt   = "127.0.0.1:1080"
	socksAuth = "127.0.0.1:1081" // asks for a password
	httpAt    = "127.0.0.1:8118"
	httpAuth  = "127.0.0.1:8119"
	webName   = "web.lab"
	webPort   = 8000
	echoPort  = 7007
	large     = 20 << 20
)

// credentials are lines of the sections that ask for them.
var credentials = []string{"Username = user", "Password = pass word"}

// TestProxyClients uses the proxies of the router with the programs that people
// have. Every name is resolved in the tunnel, and no packet for a name server
// leaves the host.
func TestProxyClients(t *testing.T) {
	l := newNetstackLab(t, lab.ForkName)
	testutil.NeedTool(t, "curl", "proxychains4", python, "node", "dig", "nc")
	t.Parallel()
	web4, web6 := netip.AddrPortFrom(lab.TunnelB4, webPort), netip.AddrPortFrom(lab.TunnelB6, webPort)
	server := serveWeb(t, l.b, web4)
	serveWeb(t, l.b, web6)
	echoUDP(t, l.b, netip.AddrPortFrom(lab.TunnelB4, echoPort))
	serveNames(t, l.b, lab.TunnelB4, map[string][]netip.Addr{webName + ".": {lab.TunnelB4, lab.TunnelB6}})
	l.options.DNS = []string{lab.TunnelB4.String()}
	// Where a leak would go.
	l.a.WriteFile("/etc/resolv.conf", "nameserver "+lab.B4.String()+"\n", 0o644)
	l.a.NFT(`table inet lab { counter names {}
		chain out { type filter hook output priority 0; meta l4proto { tcp, udp } th dport 53 counter name names
		}
		}`)
	p := l.start(t, section("Socks5", "BindAddress = "+socksAt)+
		section("Socks5", append(credentials, "BindAddress = "+socksAuth)...)+
		section("http", "BindAddress = "+httpAt)+
		section("http", append(credentials, "BindAddress = "+httpAuth)...))
	before := must(p.Holdings())(t)

	page := fmt.Sprintf("http://%s:%d/%d/1", webName, webPort, large)
	want := sum(content(large, 1))
	fetch := func(t *testing.T, c lab.Command) {
		t.Helper()
		r := l.a.Exec(c)
		if got := sum([]byte(r.Stdout)); r.Code != 0 || got != want {
			t.Errorf("%s: exit code %d, %d bytes with sum %s, want %s\n%s", c, r.Code, len(r.Stdout), got, want, r.Stderr)
		}
	}
	curl := func(args ...string) lab.Command {
		return lab.Command{Path: "curl", Args: append([]string{"--silent", "--show-error", "--fail", "--max-time", "20"}, args...)}
	}
	for _, proxy := range []string{
		"socks5h://" + socksAt, "socks5h://user:pass%20word@" + socksAuth, "http://" + httpAt, "http://user:pass%20word@" + httpAuth,
	} {
		t.Run("curl "+proxy, func(t *testing.T) {
			fetch(t, curl("--proxy", proxy, page))
			if strings.HasPrefix(proxy, "http") {
				fetch(t, curl("--proxy", proxy, "--proxytunnel", page)) // CONNECT
			}
		})
	}
	t.Run("curl by address", func(t *testing.T) {
		for _, to := range []netip.AddrPort{web4, web6} {
			for _, proxy := range []string{"socks5://" + socksAt, "http://" + httpAt} {
				fetch(t, curl("--proxy", proxy, "--globoff", fmt.Sprintf("http://%s/%d/1", to, large)))
			}
		}
	})
	t.Run("curl refused", func(t *testing.T) {
		for _, c := range []lab.Command{
			curl("--proxy", "socks5h://user:wrong@"+socksAuth, page),
			curl("--proxy", "socks5h://"+socksAuth, page),
			curl("--proxy", "http://user:wrong@"+httpAuth, page),
			curl("--proxy", "http://"+httpAuth, page),
			curl("--proxy", "socks5h://"+socksAt, fmt.Sprintf("http://no.lab:%d/1/1", webPort)),
			curl("--proxy", "http://"+httpAt, fmt.Sprintf("http://%s:1/1/1", webName)),
			curl("--proxy", "http://"+httpAt, "--proxytunnel", fmt.Sprintf("http://%s:1/1/1", webName)),
		} {
			if r := l.a.Exec(c); r.Code == 0 || r.Stdout != "" || r.Code == 28 { // 28: a time-out
				t.Errorf("%s: exit code %d, %d bytes", c, r.Code, len(r.Stdout))
			}
		}
	})
	t.Run("curl methods", func(t *testing.T) {
		body := strings.Repeat("what is put\n", 10_000)
		for _, method := range []string{"PUT", "DELETE", "OPTIONS", "PROPFIND"} {
			c := curl("--proxy", "http://"+httpAt, "--request", method, "--data-binary", "@-", fmt.Sprintf("http://%s:%d/", webName, webPort))
			c.Stdin = body
			if r := l.a.Exec(c); r.Stdout != method+" "+sum([]byte(body)) {
				t.Errorf("%s: exit code %d: %q%s", c, r.Code, r.Stdout, r.Stderr)
			}
		}
	})
	t.Run("curl keep-alive", func(t *testing.T) {
		one := fmt.Sprintf("http://%s:%d/1000/1", webName, webPort)
		before := server.Connections()
		r := l.a.Exec(curl("--proxy", "http://"+httpAt, "--write-out", "%{num_connects}\n", "--output", "/dev/null", one, "--output", "/dev/null", one, "--output", "/dev/null", one))
		if r.Stdout != "1\n0\n0\n" {
			t.Errorf("new connections of three requests: %q%s", r.Stdout, r.Stderr)
		}
		// Whether there is one behind the proxy is its own business, but not one each.
		if n := server.Connections() - before; n > 1 {
			t.Errorf("the server has had %d connections for three requests over one", n)
		}
	})
	t.Run("proxychains4", func(t *testing.T) {
		l.a.WriteFile("/run/proxychains.conf", "strict_chain\nproxy_dns\nquiet_mode\n[ProxyList]\nsocks5 127.0.0.1 1080\n", 0o644)
		chained := func(c lab.Command) lab.Command {
			return lab.Command{Path: "proxychains4", Args: append([]string{"-q", "-f", "/run/proxychains.conf", c.Path}, c.Args...), Stdin: c.Stdin}
		}
		fetch(t, chained(curl(page)))
		r := l.a.Exec(chained(lab.Command{Path: "nc", Args: []string{"-N", webName, fmt.Sprint(webPort)}, Stdin: "GET /3/1 HTTP/1.0\r\n\r\n"}))
		if want := string(content(3, 1)); !strings.HasSuffix(r.Stdout, "\r\n\r\n"+want) {
			t.Errorf("nc: exit code %d: %q%s", r.Code, r.Stdout, r.Stderr)
		}
	})
	t.Run("PySocks", func(t *testing.T) { pySocks(t, l.a, page, want) })
	t.Run("node socks", func(t *testing.T) { nodeSocks(t, l.a, page, want) })
	t.Run("nc", func(t *testing.T) {
		for _, args := range [][]string{{"-X", "5", "-x", socksAt}, {"-X", "connect", "-x", httpAt}} {
			c := lab.Command{Path: "nc", Args: append(args, "-N", lab.TunnelB4.String(), fmt.Sprint(webPort)), Stdin: "GET /3/1 HTTP/1.0\r\n\r\n"}
			if r := l.a.Exec(c); !strings.HasSuffix(r.Stdout, "\r\n\r\n"+string(content(3, 1))) {
				t.Errorf("%s: exit code %d: %q%s", c, r.Code, r.Stdout, r.Stderr)
			}
		}
	})
	t.Run("dig", func(t *testing.T) {
		at := relaySOCKS(t, l.a, socksAt, netip.AddrPortFrom(lab.TunnelB4, 53))
		for _, family := range []struct {
			record string
			want   netip.Addr
		}{{"A", lab.TunnelB4}, {"AAAA", lab.TunnelB6}} {
			c := lab.Command{Path: "dig", Args: []string{"@" + at.Addr().String(), "-p", fmt.Sprint(at.Port()), "+short", "+noedns", webName, family.record}}
			if r := l.a.Exec(c); r.Code != 0 || strings.TrimSpace(r.Stdout) != family.want.String() {
				t.Errorf("%s: exit code %d: %q%s", c, r.Code, r.Stdout, r.Stderr)
			}
		}
	})
	t.Run("many at once", func(t *testing.T) { fetchMany(t, l.a, httpAt, fmt.Sprintf("http://%s:%d", webName, webPort)) })

	if n := l.a.NFTCounter("names"); n != 0 {
		t.Errorf("%d packets to a name server have left the router's host outside of the tunnel", n)
	}
	l.a.Exec(lab.Command{Path: "dig", Args: []string{"+time=1", "+tries=1", webName}})
	if l.a.NFTCounter("names") == 0 {
		t.Error("packets to a name server are not counted")
	}
	lab.Wait(t, lab.Patience, "descriptors as before", func() error {
		if now := must(p.Holdings())(t); now.Files > before.Files+2 {
			return fmt.Errorf("%d, before %d", now.Files, before.Files)
		}
		return nil
	})
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, p.Output())
	}
}

// fetchMany does what a browser does: many requests at once, over connections
// that are kept.
func fetchMany(t *testing.T, h *lab.Host, proxy, server string) {
	const clients, each, size = 50, 4, 100_000
	var mu sync.Mutex
	dialled := 0
	transport := &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}),
		DialContext: func(_ context.Context, network, to string) (net.Conn, error) {
			mu.Lock()
			dialled++
			mu.Unlock()
			return dialIn(h, network, to)
		},
		MaxIdleConnsPerHost: clients, MaxConnsPerHost: clients,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: lab.Patience}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for j := range each {
				if err := fetchOne(client, server, size, i*each+j); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if dialled < 1 || dialled > clients {
		t.Errorf("%d connections to the proxy for %d clients", dialled, clients)
	}
}

func fetchOne(client *http.Client, server string, size, seed int) error {
	r, err := client.Get(fmt.Sprintf("%s/%d/%d", server, size, seed))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK || !bytes.Equal(got, content(size, seed)) {
		return errors.New(r.Status + ": wrong content")
	}
	return nil
}
