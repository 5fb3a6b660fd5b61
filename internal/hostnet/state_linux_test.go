// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

func TestUpDown(t *testing.T) {
	testutil.LeakCheck(t)
	records := fakeResolvconf(t)
	h := newHost(t)
	before := h.state()
	var marks []uint32
	o := everything()
	o.SetFwMark = func(m uint32) error { marks = append(marks, m); return nil }
	s := h.mustUp(o)
	if want := "wg0:\nnameserver 10.9.0.1\nnameserver fd09::1\nsearch corp.example\n"; records() != want {
		t.Errorf("dns records: got %q, want %q", records(), want)
	}
	if diff := cmp.Diff([]uint32{51820}, marks); diff != "" {
		t.Errorf("marks set (-want +got):\n%s", diff)
	}
	state := h.state()
	for _, want := range []string{
		"wg0 address 10.9.0.2/24", "wg0 address fd09::2/64", "mtu 1420", `"dst":"172.16.0.0/12"`,
		`"table":"51820"`, "table ip wg-quick-wg0", "table ip6 wg-quick-wg0",
	} {
		if !strings.Contains(state, want) {
			t.Errorf("no %s in\n%s", want, state)
		}
	}
	if got := strings.TrimSpace(h.sh("cat /proc/sys/net/ipv4/conf/all/src_valid_mark")); got != "1" {
		t.Errorf("src_valid_mark: got %s, want 1", got)
	}
	addresses, mtu, err := s.Live()
	if diff := cmp.Diff(o.Addresses, addresses, compareIP); diff != "" || mtu != 1420 || err != nil {
		t.Errorf("live: mtu %d, %v, addresses (-want +got):\n%s", mtu, err, diff)
	}
	h.mustDown(s)
	h.mustBe(before, "after Down")
	if records() != "" {
		t.Errorf("dns records left: %q", records())
	}
	if err := s.Down(background); err != nil {
		t.Errorf("second Down: %v", err)
	}
	if err := s.Update(background, h.options(o)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("update after Down: got %v, want %v", err, os.ErrClosed)
	}
	h.closeTUN()
}

// Where packets go: the point of the rules.
func TestDefaultRoute(t *testing.T) {
	h := newHost(t)
	s := h.mustUp(&hostnet.Options{Addresses: prefixes("10.9.0.2/24", "fd09::2/64"), AllowedIPs: prefixes("0.0.0.0/0", "::/0"), FwMark: 4242})
	tests := []struct {
		dst  string
		mark uint32
		want string
	}{
		{"198.51.100.1", 0, "wg0"}, {"198.51.100.1", 4242, "eth0"}, {"192.0.2.7", 0, "eth0"}, {"10.9.0.1", 0, "wg0"},
		{"2001:db8:1::1", 0, "wg0"}, {"2001:db8:1::1", 4242, "eth0"}, {"2001:db8::7", 0, "eth0"}, {"fd09::1", 0, "wg0"},
	}
	for _, tt := range tests {
		h.Run(func() {
			index, err := hostnet.RouteInterface(netip.MustParseAddr(tt.dst), netip.Addr{}, tt.mark)
			if got := h.interfaceName(index); err != nil || got != tt.want {
				t.Errorf("to %s with mark %d: got %s, %v, want %s", tt.dst, tt.mark, got, err, tt.want)
			}
		})
	}
	h.mustDown(s)
}

// Down works from any thread and touches no other namespace.
func TestDownElsewhere(t *testing.T) {
	fakeResolvconf(t)
	h, other := newHost(t), newHost(t)
	before, otherBefore := h.state(), other.state()
	s := h.mustUp(everything())
	other.Run(func() {
		if err := s.Down(background); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	h.mustBe(before, "after Down")
	other.mustBe(otherBefore, "of another namespace")
}

func TestInterfaceGone(t *testing.T) {
	testutil.LeakCheck(t)
	records := fakeResolvconf(t)
	h := newHost(t)
	with := h.state()
	h.closeTUN()
	without := h.state()
	if with == without {
		t.Fatal("the TUN device is still there")
	}
	h.addTUN("wg0")
	s := h.mustUp(everything())
	h.closeTUN()
	h.mustDown(s)
	h.mustBe(without, "after Down without the interface")
	if records() != "" {
		t.Errorf("dns records left: %q", records())
	}
}

// An interface that was up before stays up; nothing of ours stays on it, and
// what was there is not touched.
func TestInterfaceWasUp(t *testing.T) {
	fakeResolvconf(t)
	h := newHost(t)
	h.sh(`ip link set wg0 mtu 1400 up; ip address add 10.9.0.2/24 dev wg0; ip address add fd77::1/64 dev wg0
		ip route add 10.88.0.0/16 dev wg0; ip -6 route add fd88::/64 dev wg0`)
	before := h.state()
	o := everything()
	o.AllowedIPs = append(o.AllowedIPs, prefixes("10.88.1.0/24", "fd88::/64")...)
	s := h.mustUp(o)
	if err := s.Update(t.Context(), h.options(o)); err != nil {
		t.Error(err)
	}
	h.mustDown(s)
	h.mustBe(before, "after Down")
}

// PostDown runs when the interface is gone.
func TestRemoveInterface(t *testing.T) {
	h := newHost(t)
	var out strings.Builder
	s := h.mustUp(&hostnet.Options{
		HookOutput:      &out,
		PreDown:         []string{"test -e /proc/sys/net/ipv4/conf/%i && echo there"},
		PostDown:        []string{"test -e /proc/sys/net/ipv4/conf/%i || echo gone"},
		RemoveInterface: func() error { h.closeTUN(); return nil },
	})
	h.mustDown(s)
	if want := "there\ngone\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// A failing hook at the end does not keep the rest from being taken back.
func TestFailingDownHooks(t *testing.T) {
	h := newHost(t)
	before := h.state()
	var out strings.Builder
	s := h.mustUp(&hostnet.Options{
		Addresses: prefixes("10.9.0.2/24"), HookOutput: &out,
		PreDown: []string{"echo a; false", "echo b"}, PostDown: []string{"echo c; false", "echo d"},
	})
	h.mustDown(s)
	h.mustBe(before, "after Down")
	if want := "a\nb\nc\nd\n"; out.String() != want {
		t.Errorf("hooks: got %q, want %q", out.String(), want)
	}
}

// steps records what is done, and fails one step.
type steps struct {
	done   []string
	failAt int // -1: never
	failed string
}

var errInjected = errors.New("injected")

func (s *steps) inject(op, subject string) error {
	i := len(s.done)
	s.done = append(s.done, op+" "+subject)
	if i == s.failAt {
		s.failed = op
		return errInjected
	}
	return nil
}

func TestFailureAtEveryStepOfUp(t *testing.T) {
	testutil.LeakCheck(t)
	records := fakeResolvconf(t)
	h := newHost(t)
	before := h.state()
	try := func(failAt int) (*steps, error) {
		h.sh("echo 0 > /proc/sys/net/ipv4/conf/all/src_valid_mark") // which stays set
		st := &steps{failAt: failAt}
		var mark uint32
		o := h.options(everything())
		o.SetFwMark = func(m uint32) error { mark = m; return nil }
		var s *hostnet.State
		var err error
		h.Run(func() { s, err = hostnet.UpInjected(t.Context(), o, st.inject) })
		if err != nil && mark != 0 {
			t.Errorf("step %d: mark %d left", failAt, mark)
		}
		if err == nil {
			h.mustDown(s)
		}
		return st, err
	}
	st, err := try(-1)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, step := range st.done {
		if strings.HasPrefix(step, "PostUp") {
			total = i + 1
		}
	}
	if total < 20 {
		t.Fatalf("only %d steps: %q", total, st.done)
	}
	for i := range total {
		st, err := try(i)
		if !errors.Is(err, errInjected) || !strings.Contains(err.Error(), st.failed) {
			t.Errorf("step %d: got error %v, want one of %q", i, err, st.failed)
		}
		h.mustBe(before, fmt.Sprintf("after failure of step %d, %s", i, st.failed))
		if records() != "" {
			t.Errorf("step %d: dns records left: %q", i, records())
		}
	}
	h.closeTUN()
}

func TestFailureAtEveryStepOfDown(t *testing.T) {
	records := fakeResolvconf(t)
	h := newHost(t)
	before := h.state()
	names := func() []string { return strings.Split(h.state(), "\n") }
	for i := 0; ; i++ {
		st := &steps{failAt: -1}
		var s *hostnet.State
		h.Run(func() {
			var err error
			if s, err = hostnet.UpInjected(t.Context(), h.options(everything()), st.inject); err != nil {
				t.Fatal(err)
			}
		})
		ups := len(st.done)
		st.failAt = ups + i
		err := s.Down(background)
		if len(st.done) <= st.failAt {
			if i < 13 {
				t.Errorf("Down has only %d steps: %q", i, st.done[ups:])
			}
			break
		}
		isHook := st.failed == "PreDown" || st.failed == "PostDown"
		if isHook != (err == nil) || !isHook && !errors.Is(err, errInjected) {
			t.Errorf("step %d, %s: got error %v", i, st.failed, err)
		}
		// That one thing is left (an nftables table is the longest, 17 lines). What
		// hangs on the interface goes with it, the rest is cleaned up by hand.
		if left := len(names()) - len(strings.Split(before, "\n")); left > 20 {
			t.Errorf("step %d, %s: %d lines left:\n%s", i, st.failed, left, cmp.Diff(before, h.state()))
		}
		h.closeTUN()
		h.sh(`nft flush ruleset
			for f in -4 -6; do ip $f rule del not fwmark 51820 table 51820 2>/dev/null || true
				ip $f rule del table main suppress_prefixlength 0 2>/dev/null || true; done`)
		h.addTUN("wg0")
		h.mustBe(before, "after cleaning up by hand")
		if rs := records(); rs != "" {
			if st.failed != "remove dns" {
				t.Errorf("step %d, %s: dns records left: %q", i, st.failed, rs)
			}
			h.sh("resolvconf -d wg0 -f")
		}
	}
}

// What a run that was killed has left behind is no obstacle for the next.
func TestAfterKill(t *testing.T) {
	fakeResolvconf(t)
	h := newHost(t)
	before := h.state()
	s := h.mustUp(everything())
	first := h.state()
	h.closeTUN() // and with it the routes; nobody calls Down
	if left := h.state(); !strings.Contains(left, "51820") || !strings.Contains(left, "wg-quick-wg0") {
		t.Fatalf("nothing left behind:\n%s", left)
	}
	h.addTUN("wg0")
	again := h.mustUp(everything())
	h.mustBe(first, "of the second run")
	h.mustDown(again)
	h.mustBe(before, "after Down of the second run")
	h.mustDown(s) // what it did is gone: no error, nothing done
	h.mustBe(before, "after Down of the first run")

	// A run without default route cleans up too.
	h.mustUp(everything())
	h.closeTUN()
	h.addTUN("wg0")
	plain := h.mustUp(&hostnet.Options{Addresses: prefixes("10.9.0.2/24")})
	h.mustDown(plain)
	h.mustBe(before, "after a run without default route")
}

// Two tunnels with default routes do not take each other's rules, and the
// second has precedence; nor does cleaning up touch the other.
func TestTwoTunnels(t *testing.T) {
	h := newHost(t)
	before := h.state()
	one := h.tun
	full := func(name, address string) *hostnet.Options {
		return &hostnet.Options{Interface: name, Addresses: prefixes(address), AllowedIPs: prefixes("0.0.0.0/0")}
	}
	s1 := h.mustUp(full("wg0", "10.9.0.2/24"))
	only1 := h.state()
	h.addTUN("wg1")
	two := h.tun
	with1 := h.state()
	s2 := h.mustUp(full("wg1", "10.8.0.2/24"))
	both := h.state()
	if !strings.Contains(both, `"table":"51820"`) || !strings.Contains(both, `"table":"51821"`) {
		t.Errorf("the tables are not different:\n%s", both)
	}
	h.mustDown(s2)
	h.mustBe(with1, "after the second tunnel went")
	s2 = h.mustUp(full("wg1", "10.8.0.2/24"))
	h.mustBe(both, "with the second tunnel again")
	h.mustDown(s1)
	if state := h.state(); strings.Contains(state, "51820") || !strings.Contains(state, "51821") || !strings.Contains(state, `"suppress_prefixlen":0`) {
		t.Errorf("after the first tunnel went:\n%s", state)
	}
	h.mustDown(s2)
	for _, f := range two.Fds {
		f.Close()
	}
	h.tun = one
	h.mustBe(before, "after both went")
	_ = only1
}

func TestIPv6Off(t *testing.T) {
	off := func(h *host, names ...string) {
		for _, n := range names {
			h.sh("echo 1 > /proc/sys/net/ipv6/conf/" + n + "/disable_ipv6")
		}
	}
	t.Run("everywhere", func(t *testing.T) {
		fakeResolvconf(t)
		h := newHost(t)
		off(h, "all")
		before := h.state()
		s := h.mustUp(everything())
		state := h.state()
		if strings.Contains(state, "fd09") || strings.Contains(state, "table ip6") || !strings.Contains(state, "table ip wg-quick-wg0") {
			t.Errorf("state:\n%s", state)
		}
		h.mustDown(s)
		h.mustBe(before, "after Down")
	})
	t.Run("on the interface only", func(t *testing.T) {
		fakeResolvconf(t)
		h := newHost(t)
		off(h, "wg0")
		before := h.state()
		_, err := h.up(everything())
		if err == nil || !strings.Contains(err.Error(), "outside the tunnel") {
			t.Errorf("got error %v, want one about the leak", err)
		}
		h.mustBe(before, "after the failure")
	})
}

func TestMTU(t *testing.T) {
	tests := []struct {
		name   string
		script string
		o      hostnet.Options
		want   int
	}{
		{"default route", "", hostnet.Options{}, 1420},
		{"given", "", hostnet.Options{MTU: 1300}, 1300},
		{"interface of the default route", "ip link set eth0 mtu 1400", hostnet.Options{}, 1320},
		{"interface of the IPv6 default route", "ip link set eth0 mtu 1400; ip -4 route del default", hostnet.Options{}, 1320},
		{"no default route", "ip -4 route del default; ip -6 route del default", hostnet.Options{}, 1420},
		{"route to an endpoint", "ip route add 198.51.100.0/24 via 192.0.2.1 mtu 1450", hostnet.Options{Endpoints: addrs("198.51.100.1")}, 1370},
		{"the smallest of two", "ip route add 198.51.100.1 via 192.0.2.1 mtu 1450; ip route add 198.51.100.2 via 192.0.2.1 mtu 1480",
			hostnet.Options{Endpoints: addrs("198.51.100.2", "198.51.100.1", "203.0.113.1")}, 1370},
		{"IPv6 endpoint", "ip -6 route add 2001:db8:1::/48 via 2001:db8::1 mtu 1440", hostnet.Options{Endpoints: addrs("2001:db8:1::1")}, 1360},
		{"unreachable endpoint", "ip route add unreachable 198.51.100.0/24", hostnet.Options{Endpoints: addrs("198.51.100.1")}, 1420},
		{"the mark's own route", "ip route add default via 192.0.2.1 mtu 1390 table 77; ip rule add fwmark 5 table 77",
			hostnet.Options{Endpoints: addrs("198.51.100.1"), FwMark: 5}, 1310},
		{"too narrow for IPv6", "ip link set eth0 mtu 1300", hostnet.Options{Addresses: prefixes("fd09::2/64")}, 1280},
		{"narrow without IPv6", "ip link set eth0 mtu 1300", hostnet.Options{Addresses: prefixes("10.9.0.2/24")}, 1220},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			if tt.script != "" {
				h.sh(tt.script)
			}
			before := h.state()
			s := h.mustUp(&tt.o)
			if state := h.state(); !strings.Contains(state, fmt.Sprintf("wg0 up mtu %d", tt.want)) {
				t.Errorf("want mtu %d:\n%s", tt.want, state)
			}
			h.mustDown(s)
			h.mustBe(before, "after Down")
		})
	}
}

// Each mistake has an error that says what to do, and leaves nothing behind.
func TestUpErrors(t *testing.T) {
	tests := []struct {
		name   string
		script string
		o      hostnet.Options
		want   []string
	}{
		{"no interface", "", hostnet.Options{Interface: "wg7"}, []string{"find interface wg7", "there is none"}},
		{"route taken", "", hostnet.Options{AllowedIPs: prefixes("192.0.2.0/24")}, []string{"add route 192.0.2.0/24 to wg0: file exists", "AllowedIPs"}},
		{"mark taken", "ip route add default dev eth0 table 99", hostnet.Options{FwMark: 99, AllowedIPs: prefixes("0.0.0.0/0")},
			[]string{"add default route 0.0.0.0/0 to wg0 in table 99: file exists", "FwMark"}},
		{"mark of a system table", "", hostnet.Options{FwMark: 254, AllowedIPs: prefixes("0.0.0.0/0")}, []string{"FwMark 254", "another FwMark"}},
		{"no such table", "", hostnet.Options{Table: hostnet.Table{Mode: hostnet.TableID, Name: "nowhere"}}, []string{`table "nowhere"`, "rt_tables"}},
		{"mtu for IPv6", "", hostnet.Options{MTU: 1200, Addresses: prefixes("fd09::2/64")}, []string{"set mtu 1200 of wg0", "1280"}},
		{"mtu of the device", "", hostnet.Options{MTU: 70000}, []string{"set mtu 70000 of wg0"}},
		{"hook", "", hostnet.Options{PostUp: []string{"echo the reason >&2; exit 3"}}, []string{"PostUp echo the reason", "exit status 3", "the reason"}},
		{"mark refused", "", hostnet.Options{AllowedIPs: prefixes("0.0.0.0/0"), SetFwMark: func(m uint32) error {
			if m != 0 {
				return errInjected
			}
			return nil
		}}, []string{"set fwmark 51820 on wg0: injected"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testutil.LeakCheck(t)
			h := newHost(t)
			if tt.script != "" {
				h.sh(tt.script)
			}
			before := h.state()
			o := tt.o
			o.Addresses = append(prefixes("10.9.0.2/24"), tt.o.Addresses...)
			_, err := h.up(&o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not contain %q", err, want)
				}
			}
			if strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("more than one line: %q", err)
			}
			h.mustBe(before, "after the failure")
			h.closeTUN()
		})
	}
}

func TestNoPrivilege(t *testing.T) {
	h := newHost(t)
	before := h.state()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread has lost its capabilities
		result <- h.Do(func() error {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var all, less [2]unix.CapUserData
			if err := unix.Capget(&header, &all[0]); err != nil {
				return err
			}
			less = all
			less[0].Effective &^= 1 << unix.CAP_NET_ADMIN
			if err := unix.Capset(&header, &less[0]); err != nil {
				return err
			}
			_, err := hostnet.Up(background, h.options(&hostnet.Options{Addresses: prefixes("10.9.0.2/24")}))
			return errors.Join(err, unix.Capset(&header, &all[0]))
		})
	}()
	err := <-result
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") || !strings.Contains(err.Error(), "add address 10.9.0.2/24 to wg0") {
		t.Errorf("got %v, want an error that names operation, object and capability", err)
	}
	h.mustBe(before, "after the failure")
}

// An ended context stops Up and not what takes it back.
func TestUpCanceled(t *testing.T) {
	testutil.LeakCheck(t)
	fakeResolvconf(t)
	h := newHost(t)
	before := h.state()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("signal")
	o := everything()
	o.SetFwMark = func(m uint32) error {
		if m != 0 {
			cancel(why)
		}
		return nil
	}
	h.Run(func() {
		if _, err := hostnet.Up(ctx, h.options(o)); !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
	})
	h.mustBe(before, "after the end of the context")
	h.closeTUN()
}
