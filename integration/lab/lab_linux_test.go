// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

func TestMain(m *testing.M) {
	lab.Main()
	os.Exit(m.Run())
}

// recorder is a test inside the test, that may fail.
type recorder struct {
	*testing.T
	failures []string
	logs     []string
	cleanups []func()
}

func (r *recorder) Failed() bool     { return len(r.failures) > 0 }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// end runs the cleanups as the end of a test does.
func (r *recorder) end() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	r.cleanups = nil
}

func need(t *testing.T) {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "ip", "nft", "ping", "sh", "ps", "wg")
}

func TestHostIsPrivate(t *testing.T) {
	need(t)
	testutil.LeakCheck(t)
	h := lab.NewHost(t, "a")
	h.WriteFile("/etc/wireguard/private.conf", "here", 0o600)
	h.WriteFile("/run/private", "here", 0o644)
	h.WriteFile("/etc/hosts", "192.0.2.1 only.here\n", 0o644)
	for _, name := range []string{"/etc/wireguard/private.conf", "/run/private"} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is seen outside: %v", name, err)
		}
	}
	if outside, err := os.ReadFile("/etc/hosts"); err == nil && strings.Contains(string(outside), "only.here") {
		t.Error("/etc/hosts was changed outside")
	}
	if got := h.Output("cat", "/etc/wireguard/private.conf", "/run/private"); got != "herehere" {
		t.Errorf("inside: %q", got)
	}
	if got := h.Output("sh", "-c", "ls /sys/class/net"); strings.TrimSpace(got) != "lo" {
		t.Errorf("interfaces inside: %q", got)
	}
	if out := h.Output("ps", "-e", "-o", "args="); strings.Count(out, "\n") != 2 {
		t.Errorf("processes inside, want init and ps: %q", out)
	}
	// The rest of /etc is the machine's.
	if h.Output("cat", "/etc/passwd") == "" {
		t.Error("no /etc/passwd inside")
	}
	h.AddTool("mytool", "", "#!/bin/sh\necho tool $1\n")
	if got := h.Output("mytool", "runs"); got != "tool runs\n" {
		t.Errorf("tool: %q", got)
	}
}

func TestCloseEndsDaemons(t *testing.T) {
	need(t)
	r := &recorder{T: t}
	h := lab.NewHost(r, "a")
	if got := h.Exec(lab.Command{Path: "sh", Args: []string{"-c", "setsid sleep 1000 & exit 7"}}); got.Code != 7 {
		t.Errorf("exit code %d, want 7", got.Code)
	}
	var pids []int
	lab.Wait(t, lab.Patience, "daemon", func() error {
		if pids = h.Processes(); len(pids) != 1 {
			return fmt.Errorf("processes %v", pids)
		}
		return nil
	})
	r.end()
	// The kernel may take a moment to let the number go.
	lab.Wait(t, lab.Patience, "daemon ends", func() error {
		if err := syscall.Kill(pids[0], 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d is there: %v", pids[0], err)
		}
		return nil
	})
	if r.Failed() {
		t.Errorf("failures: %q", r.failures)
	}
}

// TestCrashIsNoticed proves that a program that panics fails the test that
// started it, and that its output is shown then.
func TestCrashIsNoticed(t *testing.T) {
	need(t)
	for name, line := range map[string]string{
		"panic": "panic: runtime error", "race": "WARNING: DATA RACE", "runtime": "fatal error: all goroutines are asleep",
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{T: t}
			h := lab.NewHost(r, "a")
			p := h.Start(lab.Command{Path: "sh", Args: []string{"-c", "echo before; echo '" + line + "' >&2; exit 66"}})
			if code := p.Wait(); code != 66 {
				t.Errorf("exit code %d, want 66", code)
			}
			r.end()
			if len(r.failures) != 1 || !strings.Contains(r.failures[0], line) {
				t.Errorf("failures: %q, want one with %q", r.failures, line)
			}
			if !strings.Contains(strings.Join(r.logs, "\n"), "before") {
				t.Errorf("the output is not shown: %q", r.logs)
			}
		})
	}
}

func TestTopologies(t *testing.T) {
	need(t)
	for name, test := range map[string]struct {
		topology lab.Topology
		from     string
		dst      []netip.Addr
	}{
		"two hosts":      {lab.TwoHosts(9000), "a", []netip.Addr{lab.B4, lab.B6}},
		"through router": {lab.ThroughRouter(1500), "a", []netip.Addr{lab.C4, lab.C6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := test.topology.Build(t)
			for _, dst := range test.dst {
				// At once: there is nothing to wait for after Build.
				n.Host(test.from).Output("ping", "-n", "-q", "-c", "1", "-W", "5", dst.String())
			}
		})
	}
	link := lab.TwoHosts(9000).Build(t).Host("b").Output("ip", "-o", "link", "show", "eth0")
	if !strings.Contains(link, "mtu 9000") {
		t.Errorf("MTU: %s", link)
	}
}

func TestSnapshot(t *testing.T) {
	need(t)
	t.Parallel()
	h := lab.TwoHosts(1500).Build(t).Host("a")
	before := h.Snapshot()
	if diff := lab.Diff(before, h.Snapshot()); diff != "" {
		t.Fatalf("two snapshots of one state differ:\n%s", diff)
	}
	for name, change := range map[string]func(){
		"10.1.2.3":      func() { h.AddAddress("lo", "10.1.2.3/32") },
		"10.9.0.0/16":   func() { h.AddRoute("10.9.0.0/16", "", "eth0", 77) },
		"fwmark 0x5":    func() { h.Output("ip", "rule", "add", "fwmark", "5", "table", "5") },
		"table ip left": func() { h.NFT("table ip left {}\n") },
		"/run/left":     func() { h.WriteFile("/run/left", "", 0o600) },
		"nameserver":    func() { h.WriteFile("/etc/resolv.conf", "nameserver 192.0.2.1\n", 0o644) },
		"process sleep": func() { h.Start(lab.Command{Path: "sleep", Args: []string{"1000"}}) },
	} {
		change()
		if diff := lab.Diff(before, h.Snapshot()); !strings.Contains(diff, name) {
			t.Errorf("the change with %q does not show:\n%s", name, diff)
		}
	}
}

func TestRunStaysInHost(t *testing.T) {
	need(t)
	h := lab.TwoHosts(1500).Build(t).Host("a")
	var c net.PacketConn
	h.Run(func() {
		var err error
		if c, err = net.ListenPacket("udp", lab.A4.String()+":0"); err != nil {
			t.Error(err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	defer c.Close()
	if _, err := net.ListenPacket("udp", lab.A4.String()+":0"); err == nil {
		t.Error("the address of the host is here too")
	}
}

func TestKeys(t *testing.T) {
	need(t)
	h := lab.NewHost(t, "a")
	k := lab.NewKey()
	r := h.Exec(lab.Command{Path: "wg", Args: []string{"pubkey"}, Stdin: k.String() + "\n"})
	if got := strings.TrimSpace(r.Stdout); got != k.Public().String() {
		t.Errorf("public key %s, wg says %s", k.Public(), got)
	}
}
