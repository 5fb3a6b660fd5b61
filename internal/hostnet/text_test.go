// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
)

const tablesFile = `#
# reserved values
#
255	local
254	main
253	default
0	unspec
#
# local
#
#1	inr.ruhep
  42   vpn  # the provider's
0x100 hex
nonsense
7 too many fields
99999999999 toobig
`

func TestParseTables(t *testing.T) {
	got, err := hostnet.ParseTables(strings.NewReader(tablesFile))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint32{"local": 255, "main": 254, "default": 253, "unspec": 0, "vpn": 42, "hex": 256}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestResolveTable(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	root := fstest.MapFS{
		"etc/iproute2/rt_tables":              file("42 vpn\n"),
		"etc/iproute2/rt_tables.d/a.conf":     file("43 fromdir\n"),
		"etc/iproute2/rt_tables.d/a.txt":      file("44 other\n"),
		"usr/share/iproute2/rt_tables":        file("1042 vpn\n45 shared\n254 main\n"),
		"usr/lib/iproute2/rt_tables.d/b.conf": file("46 lib\n"),
	}
	for name, want := range map[string]uint32{
		"vpn": 42, "fromdir": 43, "shared": 45, "lib": 46, "main": 254,
		"200": 200, "0x10": 16, "4294967295": 4294967295,
	} {
		got, err := hostnet.ResolveTable(root, name)
		if err != nil || got != want {
			t.Errorf("table %s: got %d, %v, want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"other", "4294967296", "-1", "VPN"} {
		_, err := hostnet.ResolveTable(root, name)
		if err == nil || !strings.Contains(err.Error(), "rt_tables") {
			t.Errorf("table %s: got error %v, want one that names rt_tables", name, err)
		}
	}
	for name, want := range map[string]uint32{"main": 254, "local": 255, "default": 253} {
		if got, err := hostnet.ResolveTable(fstest.MapFS{}, name); err != nil || got != want {
			t.Errorf("without files, table %s: got %d, %v, want %d", name, got, err, want)
		}
	}
}

func TestHookText(t *testing.T) {
	for hook, want := range map[string]string{
		"ip link show %i":        "ip link show wg0",
		"echo %i %i100%":         "echo wg0 wg0100%",
		"iptables -A x # 100% y": "iptables -A x # 100% y",
		"":                       "",
	} {
		if got := hostnet.ExpandHook(hook, "wg0"); got != want {
			t.Errorf("%q: got %q, want %q", hook, got, want)
		}
	}
	for _, bash := range []bool{true, false} {
		args := hostnet.HookArgs(bash, "echo %i", "wg0")
		if got := args[len(args)-1]; got != "echo wg0" {
			t.Errorf("bash %v: the last argument is %q", bash, got)
		}
	}
}

func TestDNSRecord(t *testing.T) {
	got := hostnet.DNSText(addrs("10.0.0.53", "fd00::53"), []string{"corp.example", "example"})
	want := "nameserver 10.0.0.53\nnameserver fd00::53\nsearch corp.example example\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := hostnet.DNSText(addrs("10.0.0.53"), nil); got != "nameserver 10.0.0.53\n" {
		t.Errorf("without search: got %q", got)
	}
	for order, want := range map[string]string{
		"":                               "",
		"# top\nlo.inet*\nlo*\ntun*\n":   "lo.",
		"lo.inet\ntun-x*\n":              "tun-x.",
		"lo.inet\nlo.@(dnsmasq|pdnsd)\n": "",
	} {
		if got := hostnet.RecordPrefix(strings.NewReader(order)); got != want {
			t.Errorf("order %q: got %q, want %q", order, got, want)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("no")
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"plain", cause, "add route 10.0.0.0/8 to wg0: no"},
		{"with remedy", hostnet.Hint(cause, "do this"), "add route 10.0.0.0/8 to wg0: no (do this)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := hostnet.StepError("add route", "10.0.0.0/8 to wg0", tt.err)
			if err.Error() != tt.want || !errors.Is(err, cause) {
				t.Errorf("got %q, want %q", err, tt.want)
			}
		})
	}
	err := hostnet.StepError("add route", "x", fs.ErrPermission)
	if !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("%q does not name the capability", err)
	}
	var typed *hostnet.Error
	if !errors.As(err, &typed) || typed.Op != "add route" || typed.Remedy == "" {
		t.Errorf("got %#v", typed)
	}
}

func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wait = 100 * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		events := make(chan struct{}, 1)
		announce := func() {
			select {
			case events <- struct{}{}:
			default:
			}
		}
		start := time.Now()
		var calls []time.Duration
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			hostnet.Debounce(ctx, events, wait, func() { calls = append(calls, time.Since(start)) })
		}()
		for range 50 { // a storm of 250 ms: no call is put off for ever
			announce()
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		announce() // alone
		time.Sleep(time.Second)
		announce() // interrupted by the end
		synctest.Wait()
		cancel()
		<-ended
		// The storm ends at 245 ms. Its first call is due 100 ms after the first
		// event; each further event opens a new window.
		want := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 1350 * time.Millisecond}
		if len(calls) != len(want) {
			t.Fatalf("calls at %v, want about %v", calls, want)
		}
		for i, c := range calls {
			if c < want[i] || c > want[i]+15*time.Millisecond {
				t.Errorf("call %d at %v, want %v or up to 15 ms later", i, c, want[i])
			}
		}
	})
}

// Names are names, and what was read reads the same when written out.
func FuzzParseTables(f *testing.F) {
	f.Add(tablesFile)
	f.Add("1 a\n1 b\n2 a")
	f.Add("0x 7\n08 x\r\n1 \x00")
	f.Fuzz(func(t *testing.T, text string) {
		tables, err := hostnet.ParseTables(strings.NewReader(text))
		if err != nil {
			return // a line longer than a scanner takes
		}
		var out strings.Builder
		for name, id := range tables {
			if len(strings.Fields(name)) != 1 || strings.Contains(name, "#") {
				t.Fatalf("name %q", name)
			}
			fmt.Fprintf(&out, "%d\t%s # x\n", id, name)
		}
		again, err := hostnet.ParseTables(strings.NewReader(out.String()))
		if diff := cmp.Diff(tables, again); err != nil || diff != "" {
			t.Fatalf("read again: %v (-first +again):\n%s", err, diff)
		}
	})
}
