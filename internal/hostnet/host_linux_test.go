// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// A host is a network namespace with
//
//	eth0  192.0.2.2/24  2001:db8::2/64  MTU 1500  default routes via .1 and ::1
//	      (a veth whose other end, peer0, is in the same namespace)
//	wg0   a TUN device, down, without addresses, MTU 1500
type host struct {
	*testutil.NS
	t   *testing.T
	tun *netlink.Tuntap
}

func newHost(t *testing.T) *host {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "ip", "nft")
	h := &host{NS: testutil.NewNS(t), t: t}
	h.sh(`ip link add eth0 mtu 1500 type veth peer name peer0 mtu 1500
		ip link set eth0 addrgenmode none up; ip link set peer0 addrgenmode none up
		ip address add 192.0.2.2/24 dev eth0; ip address add 2001:db8::2/64 dev eth0 nodad
		ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8::1`)
	h.addTUN("wg0")
	t.Cleanup(h.closeTUN)
	testutil.Eventually(t, 10*time.Second, "veth comes up", func() error {
		state := h.state()
		for _, want := range []string{`"dev":"peer0","dst":"ff00::/8"`, `"dev":"eth0","dst":"2001:db8::2"`} {
			if !strings.Contains(state, want) {
				return fmt.Errorf("no %s in\n%s", want, state)
			}
		}
		return nil
	})
	return h
}

// addTUN makes a TUN device that lives until closeTUN, like the router's.
func (h *host) addTUN(name string) {
	h.t.Helper()
	h.Run(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		h.tun = &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN, Queues: 1,
			Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_MULTI_QUEUE_DEFAULTS, NonPersist: true}
		if err := netlink.LinkAdd(h.tun); err != nil {
			h.t.Fatalf("add %s: %v", name, err)
		}
	})
}

func (h *host) closeTUN() {
	for _, f := range h.tun.Fds {
		f.Close()
	}
	h.tun.Fds = nil
}

// sh runs a script in the namespace and returns what it prints.
func (h *host) sh(script string) string {
	h.t.Helper()
	var out []byte
	err := h.Do(func() (err error) {
		cmd := exec.Command("sh", "-ec", script)
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		h.t.Fatalf("%s\n%v\n%s", script, err, out)
	}
	return string(out)
}

func (h *host) up(o *hostnet.Options) (s *hostnet.State, err error) {
	h.t.Helper()
	h.Run(func() { s, err = hostnet.Up(h.t.Context(), h.options(o)) })
	return s, err
}

func (h *host) mustUp(o *hostnet.Options) *hostnet.State {
	h.t.Helper()
	s, err := h.up(o)
	if err != nil {
		h.t.Fatalf("up: %v", err)
	}
	return s
}

func (h *host) mustDown(s *hostnet.State) {
	h.t.Helper()
	if err := s.Down(h.t.Context()); err != nil {
		h.t.Fatalf("down: %v", err)
	}
}

// options fills in what every test needs.
func (h *host) options(o *hostnet.Options) *hostnet.Options {
	c := *o
	if c.Interface == "" {
		c.Interface = "wg0"
	}
	if c.Logger == nil {
		c.Logger = testutil.Logger(h.t)
	}
	if c.SetFwMark == nil {
		c.SetFwMark = func(uint32) error { return nil }
	}
	return &c
}

// state describes the namespace as iproute2 and nft see it. IPv6 addresses that
// the kernel makes up have random interface identifiers and are shown as such.
// The kernel makes the routes of new ones a moment later; they are waited for.
func (h *host) state() string {
	h.t.Helper()
	var state string
	testutil.Eventually(h.t, 10*time.Second, "IPv6 addresses get their routes", func() error {
		state = stateText(h.t, h.sh(stateScript))
		for _, m := range regexp.MustCompile(`(?m)^\t(\S+) address (\S*:\S*)/`).FindAllStringSubmatch(state, -1) {
			if want := fmt.Sprintf(`{"dev":"%s","dst":"%s"`, m[1], m[2]); !strings.Contains(state, want) {
				return fmt.Errorf("no %s in\n%s", want, state)
			}
		}
		return nil
	})
	return state
}

// stateScript prints what stateText reads.
const stateScript = `ip -j address; ip -j -4 route show table all; ip -j -6 route show table all
	ip -j -4 rule; ip -j -6 rule
	nft list ruleset`

// stateText makes the output of stateScript comparable: one line for each
// object, sorted where the kernel has no order, without what differs from run to
// run.
func stateText(t *testing.T, output string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(output))
	var out strings.Builder
	for _, title := range []string{"links", "routes4", "routes6", "rules4", "rules6"} {
		var objects []map[string]any
		if err := d.Decode(&objects); err != nil {
			t.Fatalf("%s: %v in\n%s", title, err, output)
		}
		var lines []string
		for _, o := range objects {
			if title == "links" {
				lines = append(lines, linkLines(o)...)
				continue
			}
			text, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(text))
		}
		if !strings.HasPrefix(title, "rules") {
			slices.Sort(lines)
		}
		fmt.Fprintf(&out, "%s\n\t%s\n", title, strings.Join(lines, "\n\t"))
	}
	tables := strings.Split("\n"+strings.TrimSpace(output[d.InputOffset():]), "\ntable ") // in the order of their making
	slices.Sort(tables)
	out.WriteString("nftables" + strings.Join(tables, "\ntable "))
	return regexp.MustCompile(`fe80:[0-9a-f:]*:[0-9a-f:]+`).ReplaceAllString(out.String(), "fe80::random")
}

func linkLines(link map[string]any) []string {
	direction := "down"
	if flags, _ := link["flags"].([]any); slices.Contains(flags, any("UP")) {
		direction = "up"
	}
	lines := []string{fmt.Sprintf("%v %s mtu %v", link["ifname"], direction, link["mtu"])}
	addresses, _ := link["addr_info"].([]any)
	for _, a := range addresses {
		a := a.(map[string]any)
		lines = append(lines, fmt.Sprintf("%v address %v/%v scope %v broadcast %v label %v",
			link["ifname"], a["local"], a["prefixlen"], a["scope"], a["broadcast"], a["label"]))
	}
	return lines
}

// mustBe fails the test if the state is not soon the wanted one: the kernel does
// some of its part, such as carrier and IPv6 addresses, a moment later. views
// hide what does not count.
func (h *host) mustBe(want, when string, views ...func(state string) string) {
	h.t.Helper()
	view := func(state string) []string {
		for _, v := range views {
			state = v(state)
		}
		return strings.Split(state, "\n")
	}
	var diff string
	for deadline := time.Now().Add(5 * time.Second); ; {
		diff = cmp.Diff(view(want), view(h.state()))
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			h.t.Errorf("state %s (-want +got):\n%s", when, diff)
			return
		}
	}
}

// fakeResolvconf puts a resolvconf into PATH that keeps a file for each record.
// It returns a function that lists the records.
func fakeResolvconf(t *testing.T) (records func() string) {
	t.Helper()
	bin, db := t.TempDir(), t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
set -e
case "$1" in
-a) [ "$3 $4 $5" = "-m 0 -x" ]; cat > %[1]s/"$2" ;;
-d) [ "$3" = -f ]; rm -f %[1]s/"$2" ;;
*) exit 64 ;;
esac
`, db)
	if err := os.WriteFile(filepath.Join(bin, "resolvconf"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return func() string {
		entries, err := os.ReadDir(db)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(db, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s:\n%s", e.Name(), text)
		}
		return out.String()
	}
}

// everything uses every part of the package.
func everything() *hostnet.Options {
	return &hostnet.Options{
		Addresses:  prefixes("10.9.0.2/24", "fd09::2/64"),
		Endpoints:  addrs("198.51.100.1", "2001:db8:1::1"),
		AllowedIPs: prefixes("0.0.0.0/0", "::/0", "10.9.0.1/32", "172.16.0.0/12", "fd10::/48", "fd09::1/128"),
		DNS:        addrs("10.9.0.1", "fd09::1"),
		DNSSearch:  []string{"corp.example"},
		PreUp:      []string{"test -e /sys/class/net || true"},
		PostUp:     []string{"ip link show %i up | grep -q mtu"},
		PreDown:    []string{"true"},
		PostDown:   []string{"true"},
	}
}

var background = context.Background()

// interfaceName is for use inside the namespace.
func (h *host) interfaceName(index int) string {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Sprint(err)
	}
	return link.Attrs().Name
}
