// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// logState logs the state of the host once, if the test has failed.
func (h *Host) logState() {
	if h.t.Failed() {
		h.logOnce.Do(func() { h.t.Logf("host %s:\n%s", h.Name, h.describe()) })
	}
}

// describe returns what a failed test wants to know about the host. It never
// fails.
func (h *Host) describe() string {
	if h.pid == nil {
		return "not started"
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var b strings.Builder
	for _, command := range [][]string{
		{"ip", "-br", "addr"}, {"ip", "-s", "-o", "link"}, {"ip", "rule"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"},
		{"nft", "list", "ruleset"}, {"wg", "show"}, {"ps", "-o", "pid,stat,args"},
	} {
		c := Command{Path: command[0], Args: command[1:]}
		r, err := h.exec(ctx, c)
		fmt.Fprintf(&b, "$ %s\n", c)
		for line := range strings.Lines(r.Stdout + r.Stderr) {
			// Routes that follow from the addresses say nothing new.
			switch first, _, _ := strings.Cut(line, " "); first {
			case "local", "broadcast", "multicast":
			default:
				b.WriteString(line)
			}
		}
		if err != nil {
			fmt.Fprintf(&b, "%v\n", err)
		}
	}
	return b.String()
}

// Snapshot returns the state that a program which sets up a tunnel may change
// in a host, without counters and ages, for comparison before and after:
// interfaces, addresses, routes, rules, firewall, processes, the names of the
// files in /run (except /run/lab) and /etc/wireguard, and /etc/resolv.conf.
func (h *Host) Snapshot() string {
	h.t.Helper()
	var b strings.Builder
	for _, command := range [][]string{
		{"ip", "-o", "link"}, {"ip", "-o", "addr"}, {"ip", "-4", "rule"}, {"ip", "-6", "rule"},
		{"ip", "-4", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"},
		{"nft", "-s", "list", "ruleset"},
	} {
		// In any order: the kernel's is that of creation.
		out := strings.Split(h.Output(command[0], command[1:]...), "\n")
		slices.Sort(out)
		fmt.Fprintf(&b, "$ %s%s\n", strings.Join(command, " "), strings.Join(out, "\n"))
	}
	for _, pid := range h.Processes() {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		fmt.Fprintf(&b, "process %s", name)
	}
	fmt.Fprintf(&b, "/etc/resolv.conf: %q\n", h.ReadFile("/etc/resolv.conf"))
	for _, dir := range []string{"/run", "/etc/wireguard"} {
		err := fs.WalkDir(os.DirFS(h.Path(dir)), ".", func(path string, d fs.DirEntry, err error) error {
			// An empty /run/wireguard may stay. /run/lab is for notes of tests.
			if err == nil && !d.IsDir() && !strings.HasPrefix(path, "lab/") {
				fmt.Fprintf(&b, "file %s/%s\n", dir, path)
			}
			return err
		})
		if err != nil {
			h.t.Fatalf("host %s: %v", h.Name, err)
		}
	}
	return b.String()
}

// Diff returns the lines that differ between two snapshots, with - for those
// only in before and + for those only in after; "" when they are the same.
func Diff(before, after string) string {
	count := make(map[string]int)
	for line := range strings.Lines(after) {
		count[line]++
	}
	var b strings.Builder
	for line := range strings.Lines(before) {
		if count[line]--; count[line] < 0 {
			b.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(after) {
		if count[line] > 0 {
			count[line]--
			b.WriteString("+ " + line)
		}
	}
	return b.String()
}
