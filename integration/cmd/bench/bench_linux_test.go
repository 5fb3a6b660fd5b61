// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// asBench makes the test program the command, with the arguments that it has.
const asBench = "TUNROUTER_TEST_AS_BENCH"

func TestMain(m *testing.M) {
	lab.Main()
	traffic.Main()
	if args := os.Getenv(asBench); args != "" {
		os.Exit(run(strings.Fields(args), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-impl", "fork,router,old=/bin/true", "-only", "hub64,latency,tcp", "-runs", "3", "-seconds", "2"}, io.Discard)
	if err != nil || !slices.Equal(o.impls, []string{"fork", "router", "old"}) || o.paths["old"] != "/bin/true" || len(o.paths) != 1 ||
		o.runs != 3 || o.duration != 2*time.Second || o.trial != time.Second {
		t.Errorf("got %+v, %v", o, err)
	}
	if got := names(o.works); got != "tcp1 tcp4 tcp32 latency hub64" {
		t.Errorf("works %s", got)
	}
	o, err = parse([]string{"-size", "300", "-only", "udp", "-quick", "-svg", "x"}, io.Discard)
	if err != nil || names(o.works) != "udp300x1 udp300x16" || o.runs != 1 || o.duration != time.Second || o.svg != "x" || !slices.Equal(o.impls, lab.ProgramNames()) {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err = parse(nil, io.Discard); err != nil || len(o.works) != 3+8+1+4+3+6+5 || o.json != "" {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, test := range []struct {
		args []string
		json string
	}{
		{[]string{"-json"}, "-"}, {[]string{"-json", "-v"}, "-"}, {[]string{"-json", "-"}, "-"},
		{[]string{"-json", "file", "-v"}, "file"}, {[]string{"-v", "-json=file"}, "file"},
	} {
		if o, err := parse(test.args, io.Discard); err != nil || o.json != test.json {
			t.Errorf("%q: %q, %v", test.args, o.json, err)
		}
	}
	for _, args := range [][]string{
		{"-impl", "nobody"}, {"-impl", "fork,fork"}, {"-impl", "fork=/x"}, {"-impl", "x="}, {"-impl", "=/x"},
		{"-only", "beauty"}, {"-only", ""}, {"-runs", "0"}, {"-seconds", "26"}, {"-seconds", "0"}, {"stray"},
		{"-impl", "x=router:Queues"}, {"-impl", "x=router:Queues=1;"}, {"-impl", "kernel=/x"}, {"-impl", "queues3"},
		{"-size", "7"}, {"-size", "1473"}, {"-hubrate", "99"}, {"-udprate", "0"}, {"-sessions", "0"}, {"-sessions", "10001"}, {"-impl", "direct=/x"},
	} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	if _, err := parse([]string{"-only", "beauty"}, io.Discard); err == nil || !strings.Contains(err.Error(), "hub64-host") {
		t.Errorf("the error names no works: %v", err)
	}
}

// TestVariants says which programs are measured at which works, and with which
// configuration.
func TestVariants(t *testing.T) {
	o, err := parse([]string{"-only", "latency,hubpair"}, io.Discard)
	if err != nil || names(o.works) != "latency hubudp200 hubtcp1 hublatency" {
		t.Fatalf("works %s, %v", names(o.works), err)
	}
	hubs := []string{kernelName, cutThroughName, cutThroughFilterName, lab.ForkName}
	if !slices.Equal(o.works[0].impls, lab.ProgramNames()) || o.works[0].baseline != lab.ForkName ||
		!slices.Equal(o.works[2].impls, hubs) || o.works[2].baseline != kernelName {
		t.Errorf("got %+v", o.works)
	}
	if n := o.runTotal(); n != 5*(len(lab.ProgramNames())+3*len(hubs)) {
		t.Errorf("%d runs", n)
	}
	if s := o.sections[cutThroughFilterName]; strings.Count(s, "\nDeny = ")+strings.Count(s, "\nAllow = ") != filterRules || !strings.HasSuffix(s, "\nAllow = any\n") {
		t.Errorf("the filter is\n%s", s)
	}
	if o.sections[lab.RouterName] != "" || o.sections["queues4"] != "" {
		t.Errorf("sections %q", o.sections)
	}
	o, err = parse([]string{"-impl", "router,queues4,x=router:Queues=3;GSO=off,y=/bin/true:Queues=2", "-only", "hubpair"}, io.Discard)
	if err != nil || !slices.Equal(o.works[0].impls, []string{"router", "queues4", "x", "y"}) || o.paths["x"] != "" || o.paths["y"] != "/bin/true" {
		t.Errorf("got %+v, %v", o, err)
	}
	for name, want := range map[string]string{"queues4": "[Router]\nQueues = 4\n", "x": "[Router]\nQueues=3\nGSO=off\n", "y": "[Router]\nQueues=2\n"} {
		if got := o.sections[name]; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestUnfit says which programs a work leaves out.
func TestUnfit(t *testing.T) {
	all := works(udpSizes)
	find := func(name string) work {
		for _, w := range all {
			if w.name == name {
				return w
			}
		}
		t.Fatalf("no work %s", name)
		return work{}
	}
	for _, test := range []struct {
		work string
		im   lab.Implementation
		want error
	}{
		{"tcp1", lab.Implementation{Name: lab.RouterName}, nil},
		{"tcp1", lab.Implementation{Name: lab.NebulaName, Nebula: new(lab.Nebula)}, nil},
		{"tcp1", lab.Implementation{Name: lab.PlainName}, errNoInterface},
		{"hub16", lab.Implementation{Name: lab.NebulaName, Nebula: new(lab.Nebula)}, errNotWireGuard},
		{"forward1", lab.Implementation{Name: lab.RouterName}, nil},
		{"forward1", lab.Implementation{Name: "old"}, nil},
		{"forward1", lab.Implementation{Name: tunName}, nil},
		{"forward1", lab.Implementation{Name: lab.PlainName}, nil},
		{"forward1", lab.Implementation{Name: lab.ForkName}, errNoForwards},
		{"exec1", lab.Implementation{Name: lab.PlainName}, errNoExec},
		{"relayfwd", lab.Implementation{Name: lab.NebulaName, Nebula: new(lab.Nebula)}, nil},
		{"relayfwd", lab.Implementation{Name: lab.ForkName}, errNoRelay},
		{"relayraw", lab.Implementation{Name: lab.NebulaName, Nebula: new(lab.Nebula)}, errNotWireGuard},
		{"relaytcp", lab.Implementation{Name: directName}, nil},
		{"exec1", lab.Implementation{Name: lab.RouterName}, nil},
	} {
		if got := find(test.work).unfit(test.im); got != test.want {
			t.Errorf("%s, %s: %v, want %v", test.work, test.im.Name, got, test.want)
		}
		if test.want != nil && !leftOut(result{Error: test.want.Error()}) {
			t.Errorf("%v counts as a failure", test.want)
		}
	}
}

func names(works []work) string {
	var all []string
	for _, w := range works {
		all = append(all, w.name)
	}
	return strings.Join(all, " ")
}

// TestMeasureAll proves that what fails is recorded and does not end the rest.
func TestMeasureAll(t *testing.T) {
	o := options{
		paths: map[string]string{"good": "/bin/true", "bad": "/bin/false"}, runs: 2,
		works: []work{{name: "w", impls: []string{"good", "bad"}, measure: func(s *scope, _ options, im lab.Implementation) []result {
			if im.Name == "bad" {
				s.Fatalf("no luck with %s", im.Path)
			}
			return []result{{Figure: "f", Value: 7}}
		}}},
	}
	c := new(collector)
	measureAll(o, t.TempDir(), newProgress(io.Discard, 4), c)
	var got []string
	for _, r := range c.all() {
		got = append(got, r.Work+" "+r.Impl+" "+r.Figure+" "+r.Error)
	}
	want := []string{"w good f ", "w bad  w, bad, run 1 of 2: no luck with /bin/false", "w good f ", "w bad  w, bad, run 2 of 2: no luck with /bin/false"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestScope proves that a failed run cleans up, last things first, and says why.
func TestScope(t *testing.T) {
	var order []string
	err := inScope("run", t.TempDir(), io.Discard, func(s *scope) {
		s.Cleanup(func() { order = append(order, "first") })
		s.Cleanup(func() { s.Errorf("late") })
		s.Cleanup(func() { order = append(order, "last") })
		s.check(nil)
		s.check(errors.New("reason 7"))
		order = append(order, "not reached")
	})
	if err == nil || !strings.Contains(err.Error(), "run: reason 7") || !strings.Contains(err.Error(), "run: late") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(order, " "); got != "last first" {
		t.Errorf("cleanups ran: %q", got)
	}
	defer func() {
		if r := recover(); r == nil {
			t.Error("a panic that is no failure is swallowed")
		}
	}()
	inScope("run", t.TempDir(), io.Discard, func(*scope) { panic(errors.New("bug")) })
}
