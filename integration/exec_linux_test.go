// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestExec runs programs that know nothing of proxies in the network of the
// tunnel, as a user without privileges: TCP, UDP, ping and names go through the
// tunnel and nowhere else, and the exit code is the program's.
func TestExec(t *testing.T) {
	l := newNetstackLab(t, lab.ForkName)
	testutil.NeedTool(t, "curl", "dig", "nc", "sha256sum")
	t.Parallel()
	serveWeb(t, l.b, netip.AddrPortFrom(lab.TunnelB4, webPort))
	serveWeb(t, l.c, netip.AddrPortFrom(inside4, webPort))
	echoUDP(t, l.b, netip.AddrPortFrom(lab.TunnelB4, echoPort))
	serveNames(t, l.b, lab.TunnelB4, map[string][]netip.Addr{webName + ".": {lab.TunnelB4}})
	l.options.DNS = []string{lab.TunnelB4.String()}
	l.a.AllowTUN()
	file := l.a.WriteNobodyFile("wg0.conf", l.options.File(""))
	before := l.a.Snapshot()
	run := func(script string) lab.Result {
		return l.a.Exec(lab.AsNobody(lab.Command{Path: l.bin, Args: []string{"exec", file, "--", "sh", "-c", script}}))
	}
	for name, c := range map[string]struct {
		script, want string
		code         int
	}{
		"exit code": {"echo out; exit 7", "out\n", 7},
		"name":      {fmt.Sprintf("curl -sSf --retry 3 --retry-connrefused http://%s:%d/%d/1 | sha256sum | cut -c-64", webName, webPort, large), sum(content(large, 1)) + "\n", 0},
		"ping":      {fmt.Sprintf("ping -n -q -c 3 -i 0.1 -w 20 %s >/dev/null && echo yes", lab.TunnelB4), "yes\n", 0},
		"ping IPv6": {fmt.Sprintf("ping -n -q -c 3 -i 0.1 -w 20 %s >/dev/null && echo yes", lab.TunnelB6), "yes\n", 0},
		"dig":       {"dig +short +timeout=2 +tries=5 " + webName, lab.TunnelB4.String() + "\n", 0},
		"UDP":       {fmt.Sprintf("ping -n -q -c 1 -w 20 %s >/dev/null; echo hello | nc -u -w 2 %[1]s %d", lab.TunnelB4, echoPort), "hello\n", 0},
		// Not in AllowedIPs, though the host itself reaches it.
		"not beside the tunnel": {fmt.Sprintf("curl -sS --max-time 3 http://%s:%d/1/1 || echo failed", inside4, webPort), "failed\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if r := run(c.script); r.Stdout != c.want || r.Code != c.code {
				t.Errorf("exit code %d, output %q, want %d and %q\n%s", r.Code, r.Stdout, c.code, c.want, r.Stderr)
			}
		})
	}
	if diff := lab.Diff(before, l.a.Snapshot()); diff != "" {
		t.Errorf("before and after differ:\n%s", diff)
	}
}
