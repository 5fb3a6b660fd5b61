// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// configurations are walked through by Update; neighbours differ in ways that
// are awkward for the kernel.
func configurations() map[string]*hostnet.Options {
	table := func(id uint32) hostnet.Table { return hostnet.Table{Mode: hostnet.TableID, ID: id} }
	return map[string]*hostnet.Options{
		"everything": everything(),
		"plain":      {Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("10.9.0.1/32", "172.16.0.0/12")},
		// The first address of a network takes the others with it.
		"secondary": {Addresses: prefixes("10.9.0.2/24", "10.9.0.3/24", "10.9.0.4/24"), AllowedIPs: prefixes("10.9.0.1/32", "172.16.0.0/12")},
		"primary":   {Addresses: prefixes("10.9.0.4/24"), AllowedIPs: prefixes("10.9.0.1/32", "172.16.0.0/12")},
		// What the network of the address covered needs a route of its own.
		"uncovered": {Addresses: prefixes("10.7.0.1/32"), AllowedIPs: prefixes("10.9.0.1/32", "172.16.0.0/12")},
		// The last IPv4 address takes all IPv4 routes with it.
		"only IPv6 addresses": {Addresses: prefixes("fd09::2/64"), AllowedIPs: prefixes("172.16.0.0/12", "0.0.0.0/0")},
		// IPv6 has an address once.
		"other length": {Addresses: prefixes("fd09::2/128", "10.9.0.2/32"), AllowedIPs: prefixes("fd09::/64", "10.9.0.0/24")},
		"IPv4 default": {Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("0.0.0.0/0")},
		"IPv6 default": {Addresses: prefixes("fd09::2/64"), AllowedIPs: prefixes("::/0")},
		"own mark":     {Addresses: prefixes("10.9.0.2/24", "fd09::2/64"), AllowedIPs: prefixes("0.0.0.0/0", "::/0"), FwMark: 77},
		"other mark":   {Addresses: prefixes("10.9.0.2/24", "fd09::2/64"), AllowedIPs: prefixes("0.0.0.0/0", "::/0"), FwMark: 78, MTU: 1300},
		"a table":      {Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("0.0.0.0/0", "10.0.0.0/8"), Table: table(99)},
		"other table":  {Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("0.0.0.0/0", "10.0.0.0/8"), Table: table(98)},
		"table off":    {Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("0.0.0.0/0"), Table: hostnet.Table{Mode: hostnet.TableOff}},
		"other dns":    {DNS: addrs("10.9.0.1")},
		"nothing":      {},
	}
}

// Update from any configuration to any other makes what Up makes of the other.
func TestUpdateIsUp(t *testing.T) {
	testutil.LeakCheck(t)
	records := fakeResolvconf(t)
	h := newHost(t)
	before := h.state()
	all := configurations()
	names := make([]string, 0, len(all))
	wantState, wantRecords := map[string]string{}, map[string]string{}
	for name, o := range all {
		names = append(names, name)
		o.PreUp, o.PostUp, o.PreDown, o.PostDown = nil, nil, nil, nil
		s := h.mustUp(o)
		wantState[name], wantRecords[name] = h.state(), records()
		h.mustDown(s)
		h.mustBe(before, "after Down of "+name)
	}
	slices.Sort(names)
	s := h.mustUp(all["nothing"])
	from := "nothing"
	var device uint32 // the device's mark
	for _, to := range tour(names) {
		o := h.options(all[to])
		if o.FwMark != 0 || all[from].FwMark != 0 {
			device = o.FwMark // as the engine does before it calls Update
		}
		o.SetFwMark = func(m uint32) error { device = m; return nil }
		if err := s.Update(t.Context(), o); err != nil {
			t.Fatalf("%s -> %s: %v", from, to, err)
		}
		h.mustBe(wantState[to], fmt.Sprintf("after update of %s to %s", from, to), anyOrder)
		if diff := cmp.Diff(wantRecords[to], records()); diff != "" {
			t.Errorf("%s -> %s: dns records (-want +got):\n%s", from, to, diff)
		}
		if marked := strings.Contains(wantState[to], fmt.Sprintf(`"fwmark":"0x%x","`, device)); marked != (device != 0) {
			t.Errorf("%s -> %s: the device has mark %d, the rules are\n%s", from, to, device, wantState[to])
		}
		if t.Failed() {
			return
		}
		from = to
	}
	h.mustDown(s)
	h.mustBe(before, "after the tour")
	h.closeTUN()
}

// anyOrder hides what depends on the way. Where another mark replaces one, the
// new rules are there before the old ones go and so in another place. And the
// address that was there first is the source for its network.
func anyOrder(state string) string {
	state = strings.NewReplacer(`"priority":32762`, `"priority":32764`, `"priority":32763`, `"priority":32765`).Replace(state)
	return regexp.MustCompile(`"prefsrc":"10\.9\.0\.[234]"`).ReplaceAllString(state, `"prefsrc":"10.9.0.any"`)
}

// tour visits names so that each follows several others: in order, backwards,
// and in steps of three and seven.
func tour(names []string) []string {
	var out []string
	for _, step := range []int{1, len(names) - 1, 3, 7} {
		for i := range names {
			out = append(out, names[(i+1)*step%len(names)])
		}
	}
	return out
}

// What stays is not touched: an update does nothing but what it must.
func TestUpdateSteps(t *testing.T) {
	fakeResolvconf(t)
	h := newHost(t)
	st := &steps{failAt: -1}
	var s *hostnet.State
	h.Run(func() {
		var err error
		if s, err = hostnet.UpInjected(t.Context(), h.options(everything()), st.inject); err != nil {
			t.Fatal(err)
		}
	})
	update := func(what string, change func(o *hostnet.Options), want ...string) {
		t.Helper()
		st.done = nil
		o := h.options(everything())
		change(o)
		if err := s.Update(t.Context(), o); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		want = append([]string{"read the state of wg0"}, want...)
		if diff := cmp.Diff(want, st.done); diff != "" {
			t.Errorf("%s: steps (-want +got):\n%s", what, diff)
		}
	}
	update("nothing", func(*hostnet.Options) {})
	update("other hooks", func(o *hostnet.Options) { o.PostDown = nil })
	update("one more route", func(o *hostnet.Options) { o.AllowedIPs = append(o.AllowedIPs, prefixes("10.20.0.0/16")...) },
		"add route 10.20.0.0/16 to wg0")
	update("one less", func(*hostnet.Options) {}, "remove route 10.20.0.0/16 to wg0")
	update("MTU", func(o *hostnet.Options) { o.MTU = 1400 }, "set mtu 1400 of wg0")
	update("endpoint, same MTU", func(o *hostnet.Options) { o.MTU = 1400 })
	update("MTU by route", func(*hostnet.Options) {}, "set mtu 1420 of wg0")
	update("DNS", func(o *hostnet.Options) { o.DNSSearch = nil }, "set dns of wg0")
	update("no DNS", func(o *hostnet.Options) { o.DNS = nil }, "remove dns of wg0")
	update("DNS again", func(*hostnet.Options) {}, "set dns of wg0")
	update("no IPv6 default", func(o *hostnet.Options) {
		o.AllowedIPs = slices.DeleteFunc(o.AllowedIPs, func(p netip.Prefix) bool { return p.String() == "::/0" })
	},
		"remove rule not fwmark 51820 table 51820 (ipv6)", "remove rule table main suppress_prefixlength 0 (ipv6)",
		"remove default route ::/0 to wg0 in table 51820", "remove leak protection of wg0 (ipv6, nftables)")
	update("and back", func(*hostnet.Options) {},
		"add default route ::/0 to wg0 in table 51820", "add leak protection of wg0 (ipv6, nftables)",
		"add rule table main suppress_prefixlength 0 (ipv6)", "add rule not fwmark 51820 table 51820 (ipv6)")
	update("one more address", func(o *hostnet.Options) { o.Addresses = append(o.Addresses, prefixes("10.20.0.1/32")...) },
		"add address 10.20.0.1/32 to wg0", "add leak protection of wg0 (ipv4, nftables)")
	h.mustDown(s)
}

// What somebody has removed is put back, whatever it is.
func TestUpdateHeals(t *testing.T) {
	fakeResolvconf(t)
	h := newHost(t)
	s := h.mustUp(everything())
	want := h.state()
	for _, script := range []string{
		"ip address del 10.9.0.2/24 dev wg0",
		"ip route del 172.16.0.0/12",
		"ip -6 route del fd10::/48",
		"ip route flush table 51820",
		"ip rule del not fwmark 51820 table 51820",
		"ip rule del table main suppress_prefixlength 0",
		"ip -6 rule del not fwmark 51820 table 51820; ip -6 rule del table main suppress_prefixlength 0",
		"nft flush ruleset",
		"nft delete table ip wg-quick-wg0",
		"ip link set wg0 down; ip link set wg0 up",
		"ip link set wg0 down",
	} {
		h.sh(script)
		if err := s.Update(t.Context(), h.options(everything())); err != nil {
			t.Errorf("after %q: %v", script, err)
		}
		h.mustBe(want, "after update that follows "+script)
	}
	h.mustDown(s)
}

// An update that fails half way leaves what was there before.
func TestFailureAtEveryStepOfUpdate(t *testing.T) {
	records := fakeResolvconf(t)
	h := newHost(t)
	before := h.state()
	all := configurations()
	for _, names := range [][2]string{{"everything", "other mark"}, {"own mark", "other mark"}, {"plain", "everything"}, {"everything", "a table"}, {"secondary", "only IPv6 addresses"}} {
		from, to := all[names[0]], all[names[1]]
		st := &steps{failAt: -1}
		var s *hostnet.State
		h.Run(func() {
			var err error
			if s, err = hostnet.UpInjected(t.Context(), h.options(from), st.inject); err != nil {
				t.Fatal(err)
			}
		})
		want, wantRecords := h.state(), records()
		for i := 0; ; i++ {
			h.sh("echo 0 > /proc/sys/net/ipv4/conf/all/src_valid_mark")
			st.done, st.failAt, st.failed = nil, i, ""
			err := s.Update(t.Context(), h.options(to))
			if err == nil {
				if st.failed != "" || i < 3 {
					t.Errorf("%v: no error at step %d: %q", names, i, st.done)
				}
				break
			}
			if !errors.Is(err, errInjected) || strings.Contains(err.Error(), "former state") {
				t.Errorf("%v, step %d (%s): %v", names, i, st.failed, err)
			}
			h.mustBe(want, fmt.Sprintf("after failure of step %d, %s, of update %v", i, st.failed, names))
			if records() != wantRecords {
				t.Errorf("%v, step %d (%s): dns records %q, want %q", names, i, st.failed, records(), wantRecords)
			}
		}
		st.failAt = -1
		h.mustDown(s)
		h.mustBe(before, "after Down")
	}
}

func TestUpdateErrors(t *testing.T) {
	h := newHost(t)
	s := h.mustUp(&hostnet.Options{Addresses: prefixes("10.9.0.2/24")})
	want := h.state()
	for text, o := range map[string]*hostnet.Options{
		"cannot be renamed": {Interface: "wg1"},
		"rt_tables":         {Table: hostnet.Table{Mode: hostnet.TableID, Name: "nowhere"}},
		"AllowedIPs":        {Addresses: prefixes("10.9.0.3/24"), AllowedIPs: prefixes("192.0.2.0/24")},
	} {
		if err := s.Update(t.Context(), h.options(o)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want an error with %q", err, text)
		}
		h.mustBe(want, "after the failure")
	}
	h.closeTUN()
	if err := s.Update(t.Context(), h.options(&hostnet.Options{Addresses: prefixes("10.9.0.3/24")})); err == nil {
		t.Error("no error without the interface")
	}
	h.mustDown(s)
}
