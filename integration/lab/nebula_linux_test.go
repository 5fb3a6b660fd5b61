// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab_test

import (
	"errors"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestNebula proves that a pair of the foreign tunnel carries packets, that they
// go through it and that its ends are the processes that are said to be.
func TestNebula(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "ip", "ping", "ss")
	programs := &lab.Programs{Dir: t.TempDir()}
	im := programs.Implementation(t, lab.NebulaBuffersName)
	n := lab.TwoHosts(1500).Build(t)
	ha, hb := n.Host("a"), n.Host("b")
	a, b := lab.StartPair(lab.TunnelOptions{A: im, B: im, HostA: ha, HostB: hb, OuterA: lab.A4, OuterB: lab.B4, MTU: 1400})
	ping := func(size string) lab.Result {
		return ha.Exec(lab.Command{Path: "ping", Args: []string{"-n", "-c", "1", "-W", "1", "-M", "do", "-s", size, lab.TunnelB4.String()}})
	}
	lab.Wait(t, lab.Patience, "ping", func() error {
		if r := ping("1372"); r.Code != 0 { // with 28 bytes of headers the MTU
			return errors.New(r.Stdout + r.Stderr)
		}
		return nil
	})
	if r := ping("1373"); r.Code == 0 {
		t.Errorf("a packet above the MTU passes: %s", r.Stdout)
	}
	for _, p := range []*lab.Process{a, b} {
		u, err := p.Usage()
		if err != nil || u.CPU <= 0 || u.PeakMemory < 1<<20 {
			t.Errorf("%+v, %v", u, err)
		}
	}
	b.Kill()
	if r := ping("56"); r.Code == 0 {
		t.Errorf("without the program: %s", r.Stdout)
	}
}
