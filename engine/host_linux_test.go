// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// A namespace of its own with nothing but lo, and a router with a kernel TUN in
// it.
type host struct {
	t  *testing.T
	ns *testutil.NS
}

func newHost(t *testing.T) *host {
	testutil.NeedNetNS(t)
	return &host{t, testutil.NewNS(t)}
}

// snapshot describes links, addresses, routes and rules.
func (h *host) snapshot() string {
	h.t.Helper()
	var b strings.Builder
	h.ns.Run(func() {
		links, err := netlink.LinkList()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, l := range links {
			fmt.Fprintln(&b, l.Attrs().Name, l.Attrs().MTU, l.Attrs().Flags)
		}
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			addrs, _ := netlink.AddrList(nil, family)
			for _, a := range addrs {
				fmt.Fprintln(&b, a)
			}
			routes, _ := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
			for _, r := range routes {
				fmt.Fprintln(&b, r)
			}
			rules, _ := netlink.RuleList(family)
			for _, r := range rules {
				fmt.Fprintln(&b, r)
			}
		}
	})
	return b.String()
}

func (h *host) config(name string) *config.Config {
	return &config.Config{
		Name: name,
		Interface: config.Interface{
			PrivateKey: newKey(h.t),
			Addresses:  []netip.Prefix{prefix("10.7.0.1/24"), prefix("fd07::1/64")},
		},
		Peers: []config.Peer{{
			PublicKey:  newKey(h.t).Public(),
			AllowedIPs: []netip.Prefix{prefix("10.7.0.2/32"), prefix("192.168.77.0/24"), prefix("fd77::/64")},
		}},
		Router: config.Router{ControlSocket: filepath.Join(h.t.TempDir(), "c.sock")},
	}
}

func (h *host) new(cfg *config.Config, hostNetwork bool) (e *engine.Engine, err error) {
	h.ns.Run(func() {
		e, err = engine.New(cfg, &engine.Options{Logger: testutil.Logger(h.t), HostNetwork: hostNetwork})
	})
	return e, err
}

func (h *host) run(e *engine.Engine) <-chan error {
	done := make(chan error, 1)
	go h.ns.Run(func() { done <- e.Run(context.Background()) })
	return done
}

func TestHostNetworkIsSetUpAndTakenBack(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	before := h.snapshot()
	e, err := h.new(h.config("wgt0"), true)
	if err != nil {
		t.Fatal(err)
	}
	during := h.snapshot()
	for _, want := range []string{"wgt0 1420", "10.7.0.1/24", "fd07::1/64", "192.168.77.0/24", "fd77::/64"} {
		if !strings.Contains(during, want) {
			t.Errorf("the host has no %q:\n%s", want, during)
		}
	}
	if e.ListenPort() == 0 {
		t.Error("no socket is open")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, h.snapshot()); diff != "" {
		t.Errorf("the host is not as before (-before +after):\n%s", diff)
	}
}

func TestFailedStartLeavesNothingBehind(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	before := h.snapshot()
	cfg := h.config("wgt0")
	cfg.Interface.PostUp = []string{"false"}
	if e, err := h.new(cfg, true); err == nil {
		e.Close()
		t.Fatal("New succeeded although a hook failed")
	} else if !strings.Contains(err.Error(), "PostUp") {
		t.Errorf("the error does not name the hook: %v", err)
	}
	if diff := cmp.Diff(before, h.snapshot()); diff != "" {
		t.Errorf("the host is not as before (-before +after):\n%s", diff)
	}
	if _, err := os.Lstat(cfg.Router.ControlSocket); !os.IsNotExist(err) {
		t.Errorf("the control socket stayed: %v", err)
	}
}

func TestRunEndsWhenTheTUNIsDeleted(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	e, err := h.new(h.config("wgt0"), true)
	if err != nil {
		t.Fatal(err)
	}
	done := h.run(e)
	h.ns.Run(func() {
		l, err := netlink.LinkByName("wgt0")
		if err == nil {
			err = netlink.LinkDel(l)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRunEndsWhenTheSocketIsDeleted(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	cfg := h.config("wgt0")
	e, err := h.new(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	done := h.run(e)
	if err := os.Remove(cfg.Router.ControlSocket); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestTakenInterfaceName(t *testing.T) {
	h := newHost(t)
	first, err := h.new(h.config("wgt0"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if e, err := h.new(h.config("wgt0"), true); err == nil {
		e.Close()
		t.Fatal("two routers have one interface")
	} else if !strings.Contains(err.Error(), "wgt0") {
		t.Errorf("the error does not name the interface: %v", err)
	}
}

func TestSaveConfig(t *testing.T) {
	h := newHost(t)
	path := filepath.Join(t.TempDir(), "wgt0.conf")
	cfg := h.config("wgt0")
	cfg.Interface.SaveConfig = true
	cfg.Path = path
	if err := cfg.Save(path); err != nil {
		t.Fatal(err)
	}
	e, err := h.new(cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	port := e.ListenPort()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	saved, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := *cfg
	want.Interface.ListenPort = port
	if d := config.Diff(&want, saved); !d.Empty() {
		t.Errorf("the saved file differs from what ran: %+v", d)
	}
}
