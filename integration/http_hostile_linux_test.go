// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

const (
	httpToken = "correct-horse-battery"
	// idleClients is how many connections ask nothing.
	idleClients = 10_000
	// maxHTTPConns is how many the router keeps (package metrics/web).
	maxHTTPConns = 64
)

// TestHostileHTTP lets somebody do his worst to the port of the metrics while traffic
// flows: names of strangers, slow clients, 10,000 connections that ask nothing, requests
// as long as books. They are refused, or bounded, nothing of the traffic is lost, and who
// has the token is answered.
//
//	a (the router, with metrics) eth0 ── veth ── eth0 b (a peer, and the attacker)
func TestHostileHTTP(t *testing.T) {
	bin := router(t)
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	at := netip.AddrPortFrom(lab.A4, 9586)
	im := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true}
	watched := im
	watched.Sections = fmt.Sprintf("[Router]\nMetrics = %s\nMetricsToken = %s\n", at, httpToken)
	tun := lab.StartTunnel(lab.TunnelOptions{A: watched, B: im, HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4})
	traffic.WaitPing(t, b, lab.TunnelA4)
	pid := tun.A.Process.Pid()
	resident := residentBytes(t, pid)

	flow := must(traffic.StartFlow(b, a, lab.TunnelA4, 200, 500))(t)
	back := must(traffic.StartFlow(a, b, lab.TunnelB4, 200, 500))(t)
	attack := &httpAttack{t: t, from: b, to: at.String()}
	defer attack.close()

	for range 200 {
		attack.wants("GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n", http.StatusMisdirectedRequest)
		attack.wants("GET /metrics HTTP/1.1\r\nHost: "+at.String()+"\r\n\r\n", http.StatusUnauthorized)
		attack.wants("POST /api/v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", http.StatusMethodNotAllowed)
		attack.wants("GET /metrics?"+strings.Repeat("a", 4000)+" HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusRequestURITooLong)
	}
	for range 20 {
		attack.wants("GET /metrics?"+strings.Repeat("a", 1<<20)+" HTTP/1.1\r\nHost: localhost\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge)
		attack.wants("GET / HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("a", 1<<20)+"\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge)
	}
	for range 2 * maxHTTPConns { // a header that does not end
		attack.hold("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ")
	}
	for range idleClients {
		attack.hold("")
	}
	lab.Wait(t, lab.Patience, "few connections are kept", func() error {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err == nil && len(fds) > maxHTTPConns+64 {
			err = fmt.Errorf("%d descriptors", len(fds))
		}
		return err
	})
	status, text := attack.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + httpToken + "\r\nConnection: close\r\n\r\n")
	if status != http.StatusOK || !strings.Contains(text, "wireguard_peer_receive_bytes_total{") {
		t.Errorf("with the token: %d %s", status, text)
	}
	for line := range strings.Lines(text) {
		// The kernel tells neighbours on a new interface about itself, of whom there are none.
		if strings.HasPrefix(line, "router_dropped_packets_total{") && !strings.HasSuffix(line, " 0\n") && !strings.Contains(line, `"no_peer"`) {
			t.Errorf("dropped: %s", line)
		}
	}
	for name, f := range map[string]*traffic.Flow{"in": flow, "out": back} {
		r := must(f.Stop())(t)
		if r.Lost+r.Duplicated+r.Corrupt+r.Reordered != 0 {
			t.Errorf("traffic %s: %s", name, r)
		}
		t.Logf("traffic %s: %s", name, r)
	}
	if growth := residentBytes(t, pid) - resident; growth > 32<<20 {
		t.Errorf("memory has grown by %d bytes", growth)
	}
}

// An httpAttack asks from a host, and holds connections.
type httpAttack struct {
	t    *testing.T
	from *lab.Host
	to   string
	held []net.Conn
}

func (h *httpAttack) close() {
	for _, c := range h.held {
		c.Close()
	}
}

func (h *httpAttack) dial() net.Conn {
	h.t.Helper()
	var c net.Conn
	err := h.from.Do(func() (err error) {
		c, err = net.Dial("tcp4", h.to)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// hold begins a request and leaves it at that.
func (h *httpAttack) hold(text string) {
	h.t.Helper()
	c := h.dial()
	h.held = append(h.held, c)
	if _, err := io.WriteString(c, text); err != nil && text == "" {
		h.t.Fatal(err)
	}
}

// ask sends a request and returns the answer, status 0 if there is none.
func (h *httpAttack) ask(request string) (status int, text string) {
	h.t.Helper()
	c := h.dial()
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, request) // the server may have answered before the end of it
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			h.t.Errorf("no answer to %.60q", request)
		}
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body) // as far as it came
	return res.StatusCode, string(body)
}

// wants fails unless a request is answered so. One that is still being sent may be cut
// off instead: the answer is lost with the connection.
func (h *httpAttack) wants(request string, want int) {
	h.t.Helper()
	if got, text := h.ask(request); got != want && (got != 0 || len(request) < 1<<16) {
		h.t.Errorf("%.60q: %d %.100q, want %d", request, got, text, want)
	}
}
