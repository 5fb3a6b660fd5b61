// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// A chosenPath is what a router says about the path to its peer.
type chosenPath struct {
	Addr    netip.AddrPort
	Relayed bool
	Router  string // yes, no or unknown
}

// String returns the path in a few words.
func (c chosenPath) String() string {
	kind := "direct"
	if c.Relayed {
		kind = "relayed"
	}
	return fmt.Sprintf("%s %s (router: %s)", kind, c.Addr, c.Router)
}

// chosen asks the router of a host which path it has to its only peer.
func (l *pathsLab) chosen(h *lab.Host, dir ...string) (c chosenPath, err error) {
	r := h.Exec(lab.Command{Path: l.bin, Args: append(append([]string{"status"}, dir...), "wg0", "--json")})
	if r.Code != 0 {
		return c, fmt.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	var status map[string]struct {
		Peers map[string]struct {
			Paths *struct {
				Router, Path string
				All          []struct {
					Path, Endpoint string
					VNI            uint32
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &status); err != nil {
		return c, err
	}
	for _, peer := range status["wg0"].Peers {
		if peer.Paths == nil {
			break
		}
		c.Router = peer.Paths.Router
		for _, p := range peer.Paths.All {
			if p.Path == peer.Paths.Path {
				c.Addr, err = netip.ParseAddrPort(p.Endpoint)
				c.Relayed = p.VNI != 0
			}
		}
		return c, err
	}
	return c, fmt.Errorf("no paths in %s", r.Stdout)
}

// waitChosen waits until the router of a host has chosen such a path.
func (l *pathsLab) waitChosen(t *testing.T, h *lab.Host, relayed bool) chosenPath {
	t.Helper()
	var got chosenPath
	lab.Wait(t, lab.Patience, fmt.Sprintf("host %s chooses a path, relayed: %t", h.Name, relayed), func() (err error) {
		if got, err = l.chosen(h); err == nil && (got.Relayed != relayed || !got.Addr.IsValid()) {
			err = errors.New(got.String())
		}
		return err
	})
	return got
}
