// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-impl", "fork,router", "-only", "udp", "-runs", "3", "-seconds", "2"}, io.Discard)
	if err != nil || len(o.impls) != 2 || o.impls[1] != "router" || len(o.only) != 1 || o.runs != 3 || o.duration != 2*time.Second {
		t.Errorf("got %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-impl", "nobody"}, {"-only", "beauty"}, {"-runs", "0"}, {"-seconds", "26"}, {"stray"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestTable(t *testing.T) {
	results := []result{
		{Figure: figureTCP, Impl: "fork", Value: 3}, {Figure: figureTCP, Impl: "router", Value: 2.9},
		{Figure: figureTCP, Impl: "fork", Value: 2}, {Figure: figureTCP, Impl: "router", Value: 3.1},
		{Figure: figureTCP, Impl: "fork", Value: 1}, {Figure: figureUDP, Impl: "router", Value: 100, Note: senderLimited},
	}
	var b bytes.Buffer
	if err := writeTable(&b, machine{Date: "2026-01-02", Command: "go run"}, []string{"router", "fork"}, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| " + figureTCP + " | router | 3.00 | 2.90 | 3.10 | 1.50 |\n",
		"| " + figureTCP + " | fork | 2.00 | 1.00 | 3.00 | 1.00 |\n",
		"| " + figureUDP + " | router | 100.00* | 100.00 | 100.00 | — |\n",
		"2026-01-02", "go run", "the sender was at its limit",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

// TestScope proves that a failed run cleans up, last things first, and says why.
func TestScope(t *testing.T) {
	var order []string
	err := inScope("run", t.TempDir(), io.Discard, func(s *scope) {
		s.Cleanup(func() { order = append(order, "first") })
		s.Cleanup(func() { s.Errorf("late") })
		s.Cleanup(func() { order = append(order, "last") })
		s.Fatalf("reason %d", 7)
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
