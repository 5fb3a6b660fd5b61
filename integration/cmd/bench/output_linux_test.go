// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// sample is three runs of two programs, and a third that fails.
func sample() (machine, []work, []result) {
	m := machine{Date: "2026-01-02", CPU: "A <fast> one", CPUs: 2, Command: "go run ./cmd/bench -only x"}
	works := []work{{name: "tcp1", title: "TCP, 1 stream"}, {name: "udp200x1", title: "UDP"}, {name: "later", title: "not run"}}
	for i := range works {
		works[i].impls, works[i].baseline = []string{"router", "fork", "third"}, "fork"
	}
	var results []result
	tcp := func(impl string, values ...float64) {
		for _, v := range values {
			results = append(results, result{Work: "tcp1", Figure: "there", Unit: "Gbit/s", Main: true, Impl: impl, Value: v, Note: "3 retransmits"})
		}
	}
	tcp("fork", 3, 2, 1)
	tcp("router", 2.9, 3.1)
	results = append(results,
		result{Work: "tcp1", Figure: "memory", Unit: "MiB", Less: true, Impl: "fork", Value: 0},
		result{Work: "tcp1", Figure: "memory", Unit: "MiB", Less: true, Impl: "router", Value: 1},
		result{Work: "tcp1", Impl: "third", Error: "no | such\nprogram"},
		result{Work: "tcp1", Impl: "third", Error: "no | such\nprogram"},
		result{Work: "udp200x1", Figure: "most", Unit: "k/s", Main: true, Impl: "router", Value: 100, Note: senderLimited},
		result{Work: "udp200x1", Figure: "CPU", Unit: "µs", Less: true, Main: true, Impl: "router", Value: 12.345, Note: tooFast})
	return m, works, results
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	m, works, results := sample()
	if err := writeTable(&b, m, works, results); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		"### tcp1: TCP, 1 stream\n",
		"| there, Gbit/s | router | 3.00 | 2.90 | 3.10 | 1.50 |\n| there, Gbit/s | fork | 2.00 | 1.00 | 3.00 | 1.00 |\n",
		"| memory, MiB | router | 1.00 | 1.00 | 1.00 | — |\n",
		"| no figures, 2 runs | third | no \\| such program | | | |\n",
		"| most, k/s | router | 100\\* | 100 | 100 | — |\n",
		"| CPU, µs | router | 12.3† | 12.3 | 12.3 | — |\n",
		"2026-01-02", "    go run ./cmd/bench -only x\n", "the sender was at its limit", "† In some run",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "later") || strings.Contains(got, stoppedNote) || strings.Contains(got, "slackhq") {
		t.Errorf("it says what was not run:\n%s", got)
	}
	// No mark, no note.
	b.Reset()
	m.Stopped = true
	works[0].impls, works[0].baseline = []string{lab.NebulaName, "fork"}, "router"
	if err := writeTable(&b, m, works[:1], results); err != nil || strings.Contains(b.String(), "In some run") || !strings.Contains(b.String(), lab.NebulaVersion) || !strings.Contains(b.String(), stoppedNote) {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

func TestSVG(t *testing.T) {
	var b bytes.Buffer
	m, works, results := sample()
	if err := writeSVG(&b, m, works, results); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for d := xml.NewDecoder(&b); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in:\n%s", err, got)
		}
	}
	for _, want := range []string{
		"A &lt;fast&gt; one", "prefers-color-scheme: dark", ">tcp1: there, Gbit/s<", ">udp200x1: CPU, µs (less is better)<",
		">3.00 (2.90 – 3.10)<", ">100* (100 – 100)<", ">12.3† (12.3 – 12.3)<", ">no | such program<",
		// The longest bar is of the largest value of any run, 3.1: 2 / 3.1 and 3 / 3.1 of it.
		`width="141.9"`, `width="212.9"`,
		"M211.0 ", // the least of the fork: 20 + 120 + 1/3.1*220
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "memory") {
		t.Error("a figure that is not for the chart is in it")
	}
	b.Reset()
	if err := writeSVG(&b, m, works, nil); err != nil || !strings.HasSuffix(b.String(), "</svg>\n") {
		t.Errorf("without results: %v\n%s", err, b.String())
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	m, _, results := sample()
	if err := writeJSON(&b, m, results); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Machine machine
		Results []result
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Machine != m || !slices.Equal(got.Results, results) {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestSeries(t *testing.T) {
	for _, test := range []struct {
		values              []float64
		median, least, most float64
	}{{[]float64{4}, 4, 4, 4}, {[]float64{1, 3}, 2, 1, 3}, {[]float64{1, 2, 9}, 2, 1, 9}, {[]float64{0, 1, 2, 9}, 1.5, 0, 9}} {
		s := series{values: test.values}
		if s.median() != test.median || s.least() != test.least || s.most() != test.most {
			t.Errorf("%v: %v %v %v", test.values, s.median(), s.least(), s.most())
		}
	}
	two, zero := series{values: []float64{2}}, series{values: []float64{0}}
	for _, test := range []struct {
		of, to series
		want   string
	}{{two, two, "1.00"}, {zero, two, "0.00"}, {two, zero, "—"}, {two, series{}, "—"}, {series{}, two, "—"}} {
		if got := test.of.ratio(test.to); got != test.want {
			t.Errorf("%v to %v: %s, want %s", test.of.values, test.to.values, got, test.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1.00", 12.345: "12.3", 99.96: "100.0", 123.4: "123", 159911.2: "159911",
		0.5: "0.500", 0.01234: "0.0123", 0.000001: "0.0000", -2: "-2.00",
	} {
		if got := number(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, 4)
	p.start("building x")
	p.start("tcp1, x")
	p.done("tcp1, x", []result{{Figure: "there", Unit: "Gbit/s", Value: 2, Note: senderLimited}, {Error: "one\ntwo"}})
	if got, want := b.String(), "building x\n1/4 tcp1, x: there 2.00* Gbit/s, one\n"; got != want {
		t.Errorf("without a terminal: %q, want %q", got, want)
	}

	b.Reset()
	clock := time.Unix(0, 0)
	p = newProgress(&b, 4)
	p.bar, p.now = true, func() time.Time { return clock }
	p.start("tcp1, x")
	clock = clock.Add(10 * time.Second)
	p.done("tcp1, x", nil)
	p.Write([]byte("a line\n"))
	p.end()
	got := b.String()
	bar := "[" + strings.Repeat("#", 5) + strings.Repeat(".", 15) + "] 1/4, 30s left: tcp1, x"
	if want := eraseLine + bar + eraseLine + "a line\n" + bar + eraseLine; !strings.HasSuffix(got, want) {
		t.Errorf("on a terminal: %q, want it to end with %q", got, want)
	}
}
