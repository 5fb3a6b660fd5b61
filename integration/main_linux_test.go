// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// programs is set before any test runs and builds what they ask for.
var programs *lab.Programs

func TestMain(m *testing.M) {
	lab.Main()
	traffic.Main()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tunrouter-lab-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some programs run as nobody
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	programs = &lab.Programs{Dir: dir, Race: raceEnabled}
	return m.Run()
}

// subjectVariable names the implementation under test, when it is not the
// router.
const subjectVariable = "ROUTER_LAB_SUBJECT"

// need ends the test on machines that cannot run the lab.
func need(t *testing.T) {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "go", "ip", "nft", "ping", "ps", "ss", "wg")
}

// subject returns the implementation under test.
func subject(t *testing.T) lab.Implementation {
	t.Helper()
	need(t)
	name := os.Getenv(subjectVariable)
	if name == "" {
		name = lab.RouterName
	}
	return implementation(t, name)
}

// router returns the path of the router, for tests of what only it does.
func router(t *testing.T) string {
	t.Helper()
	need(t)
	if os.Getenv(subjectVariable) != "" {
		t.Skip("only the router does this")
	}
	return programs.Router(t)
}

// implementation returns the named implementation.
func implementation(t *testing.T, name string) lab.Implementation {
	t.Helper()
	if name == lab.DebianName && programs.Debian() == "" {
		testutil.Missing(t, "the distribution's wireguard-go is not installed")
	}
	return programs.Implementation(t, name)
}

// outer returns the addresses of hosts a and b of lab.TwoHosts in a family.
func outer(family int) (a, b netip.Addr) {
	if family == 6 {
		return lab.A6, lab.B6
	}
	return lab.A4, lab.B4
}

// outerPort is where a device of the lab is found at an address.
func outerPort(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, lab.Port) }

// listenUDP takes a port in the host.
func listenUDP(h *lab.Host, port int) (c *net.UDPConn, err error) {
	err = h.Do(func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
		return err
	})
	return c, err
}

// sorted returns a sorted copy.
func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// must fails the test on an error.
func must[V any](v V, err error) func(t *testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
