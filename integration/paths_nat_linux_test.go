// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// pathsTableVariable names a file that TestPathsNATTable writes its table to.
const pathsTableVariable = "ROUTER_PATHS_TABLE"

// Limits of the acceptance, which the table marks when they are exceeded: a direct path
// after the first packet, or else an answered packet. A busy machine exceeds them
// without being wrong, and the test waits for lab.Patience.
const (
	limitDirect  = 5 * time.Second
	limitRelayed = 3 * time.Second
	// watched is how long a path is watched once it is what it should be.
	watched = 2 * time.Second
)

// A natRow is one row of the table.
type natRow struct {
	name    string
	o       pathsOptions
	blocked bool // the core drops what goes between a and b
	direct  bool // what is expected
}

func natRows() []natRow {
	pair := func(a, b lab.NAT) pathsOptions { return pathsOptions{a: a, b: b} }
	v6 := pair(lab.HardNAT, lab.HardNAT)
	v6.ipv6 = true
	netstack := pair(lab.EasyNAT, lab.EasyNAT)
	netstack.netstackB = true
	return []natRow{
		{name: "public-easy", o: pair(lab.NoNAT, lab.EasyNAT), direct: true},
		{name: "public-hard", o: pair(lab.NoNAT, lab.HardNAT), direct: true},
		{name: "easy-easy", o: pair(lab.EasyNAT, lab.EasyNAT), direct: true},
		{name: "easy-cone", o: pair(lab.EasyNAT, lab.ConeNAT), direct: true},
		{name: "easy-hard", o: pair(lab.EasyNAT, lab.HardNAT)},
		{name: "cone-hard", o: pair(lab.ConeNAT, lab.HardNAT), direct: true},
		{name: "hard-hard", o: pair(lab.HardNAT, lab.HardNAT)},
		{name: "hard-hard, with IPv6", o: v6, direct: true},
		{name: "blocked-blocked", o: pair(lab.NoNAT, lab.NoNAT), blocked: true},
		{name: "easy-easy, netstack", o: netstack, direct: true},
	}
}

// A natResult is what became of a row.
type natResult struct {
	outcome                   string
	answered, relayed, direct time.Duration // since the first packet; 0 = never
	lost                      int           // echo requests after the first answered one
	late                      bool
}

// TestPathsNATTable lets two routers find each other, that have a relay and know of
// each other at most a public address, through every pair of NATs.
func TestPathsNATTable(t *testing.T) {
	router(t)
	rows := natRows()
	results := make([]natResult, len(rows))
	t.Run("pairs", func(t *testing.T) {
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				results[i] = runNATRow(t, row)
			})
		}
	})
	var table strings.Builder
	fmt.Fprintf(&table, "| pair | expected | outcome | first answer | relayed | direct | lost after it | in time |\n| --- | --- | --- | ---: | ---: | ---: | ---: | --- |\n")
	for i, row := range rows {
		r := results[i]
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s | %d | %s |\n", row.name, pathWord(row.direct), r.outcome,
			milliseconds(r.answered), milliseconds(r.relayed), milliseconds(r.direct), r.lost, map[bool]string{false: "yes", true: "no"}[r.late])
	}
	t.Logf("times since the first packet:\n%s", table.String())
	if name := os.Getenv(pathsTableVariable); name != "" {
		if err := os.WriteFile(name, []byte(table.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func pathWord(direct bool) string {
	if direct {
		return "direct"
	}
	return "relayed"
}

func milliseconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func runNATRow(t *testing.T, row natRow) (r natResult) {
	l := newPathsLab(t, row.o)
	if row.blocked {
		l.Cut(l.a, l.b)
	}
	l.start(t)
	tap := l.tap(t, l.a)
	first := time.Now()
	ping := l.ping(t, 20*time.Millisecond)

	// Whatever comes first, and then what is expected.
	lab.Wait(t, lab.Patience, "an answer through the tunnel", func() error {
		at := ping.Packets().FirstAnswer(first)
		if at.IsZero() {
			return errors.New("none")
		}
		r.answered = at.Sub(first)
		return nil
	})
	var settled time.Time
	lab.Wait(t, lab.Patience, "a path that is "+pathWord(row.direct), func() error {
		direct, relayed := l.firstPackets(tap)
		if settled = relayed; row.direct {
			settled = direct
		}
		if settled.IsZero() {
			return errors.New("none")
		}
		return nil
	})
	// A relayed path is watched for as long as a direct one might have taken.
	until := settled.Add(watched)
	if !row.direct {
		until = first.Add(limitDirect)
	}
	lab.Wait(t, lab.Patience, "the end of the watch", func() error {
		if time.Now().Before(until) {
			return errors.New("not yet")
		}
		return nil
	})
	chosenA, errA := l.chosen(l.a.Host)
	packets := must(ping.Stop())(t)
	direct, relayed := l.firstPackets(tap)
	frames := must(tap.Stop())(t)
	since := func(at time.Time) time.Duration {
		if at.IsZero() {
			return 0
		}
		return at.Sub(first)
	}
	r.relayed, r.direct, r.outcome = since(relayed), since(direct), pathWord(!direct.IsZero())
	r.late = r.answered > limitRelayed || row.direct && r.direct > limitDirect
	r.lost = packets.Lost(packets.FirstAnswer(first), time.Now())
	if r.lost != 0 || packets.Duplicated() != 0 {
		t.Errorf("after the first answer: %s", packets)
	}
	if r.outcome != pathWord(row.direct) {
		t.Errorf("packets are %s, want %s", r.outcome, pathWord(row.direct))
	}
	if errA != nil || chosenA.Relayed == row.direct || chosenA.Router != "yes" {
		t.Errorf("the router says: %s, %v", chosenA, errA)
	}
	if want := l.b.Mapped(); row.direct && want.Port() != 0 && !row.o.ipv6 && chosenA.Addr != want {
		t.Errorf("the path is to %s, want %s", chosenA.Addr, want)
	}
	for _, f := range frames {
		if f.Src.Addr().IsPrivate() || f.Dst.Addr() == netip.IPv4Unspecified() {
			t.Errorf("a datagram from %s to %s in the core", f.Src, f.Dst)
			break
		}
	}
	return r
}
