// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab_test

import (
	"errors"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestRelayed proves that what the ends of a tunnel exchange goes over the relay:
// nothing does when it is gone.
func TestRelayed(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "ip", "ping", "ss", "nft")
	programs := &lab.Programs{Dir: t.TempDir()}
	for _, name := range []string{lab.RouterName, lab.NebulaName} {
		t.Run(name, func(t *testing.T) {
			r := lab.StartRelayed(t, lab.RelayedOptions{Program: programs.Implementation(t, name)})
			ping := func() lab.Result {
				// A packet of 1400 bytes must fit the way, with all headers.
				return r.HostA.Exec(lab.Command{Path: "ping", Args: []string{"-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1372", lab.TunnelB4.String()}})
			}
			lab.Wait(t, lab.Patience, "ping", func() error {
				if p := ping(); p.Code != 0 {
					return errors.New(p.Stdout + p.Stderr)
				}
				return nil
			})
			if n := r.Relayed(); name == lab.RouterName && n < 2 {
				t.Errorf("%d packets went over the relay", n)
			}
			r.Relay.Kill()
			if p := ping(); p.Code == 0 {
				t.Errorf("without the relay: %s", p.Stdout)
			}
		})
	}
}
