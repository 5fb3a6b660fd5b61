// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// writeTable writes Markdown: for each work a table with one row for each figure
// and program, and one for each program of which a run failed.
func writeTable(w io.Writer, m machine, works []work, results []result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d CPUs, Linux %s, %s; load average %s at the start, %s at the end.\n\n    %s\n",
		m.Date, m.CPU, m.CPUs, m.Kernel, m.Go, m.LoadStart, m.LoadEnd, m.Command)
	if m.Stopped {
		b.WriteString("\n" + stoppedNote + "\n")
	}
	if slices.ContainsFunc(works, func(w work) bool {
		return slices.Contains(w.impls, lab.NebulaName) || slices.Contains(w.impls, lab.NebulaBuffersName)
	}) {
		b.WriteString("\n" + nebulaNote + "\n")
	}
	marks := ""
	for _, work := range works {
		if !slices.ContainsFunc(results, func(r result) bool { return r.Work == work.name }) {
			continue // stopped before
		}
		fmt.Fprintf(&b, "\n### %s: %s\n\n", work.name, work.title)
		fmt.Fprintf(&b, "| figure | program | median | least | most | to %s |\n| --- | --- | ---: | ---: | ---: | ---: |\n", work.baseline)
		for _, f := range figures(results, work.name) {
			baseline := find(results, work.name, f.name, work.baseline)
			for _, impl := range work.impls {
				s := find(results, work.name, f.name, impl)
				if len(s.values) == 0 {
					continue
				}
				marks += s.marks
				fmt.Fprintf(&b, "| %s, %s | %s | %s%s | %s | %s | %s |\n", f.name, f.unit, impl,
					number(s.median()), strings.ReplaceAll(s.marks, "*", "\\*"), number(s.least()), number(s.most()), s.ratio(baseline))
			}
		}
		for _, impl := range work.impls {
			for reason, n := range count(failures(results, work.name, impl)) {
				fmt.Fprintf(&b, "| no figures, %s | %s | %s | | | |\n", plural(n, "run"), impl, cell(reason))
			}
		}
	}
	if strings.Contains(marks, senderLimited) {
		b.WriteString("\n\\* In some run the sender was at its limit, not the program: it could not keep its pace above this rate.\n")
	}
	if strings.Contains(marks, tooFast) {
		b.WriteString("\n† In some run 1 % or more was lost at the fixed rate, so the figures at it do not compare with the others'.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// count yields each different string with how often it is there, in the order of
// their first appearance.
func count(all []string) func(yield func(string, int) bool) {
	return func(yield func(string, int) bool) {
		for i, s := range all {
			if slices.Index(all, s) != i {
				continue
			}
			n := 0
			for _, other := range all {
				if other == s {
					n++
				}
			}
			if !yield(s, n) {
				return
			}
		}
	}
}

// cell makes a text fit into a cell of a table.
func cell(s string) string { return strings.ReplaceAll(clip(s, 200), "|", "\\|") }

// clip makes a text one line of at most so many characters.
func clip(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}

// writeJSON writes every result.
func writeJSON(w io.Writer, m machine, results []result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(struct {
		Machine machine  `json:"machine"`
		Results []result `json:"results"`
	}{m, results})
}

// nebulaNote is what to know when comparing.
const nebulaNote = "`nebula` is github.com/slackhq/nebula " + lab.NebulaVersion + ", the newest that builds with Go 1.26 from what the module proxy serves: " +
	"AES-256-GCM, its default, where the others have ChaCha20-Poly1305; the same MTU of 1420 inside the tunnel; it has no offloads to switch on; otherwise its defaults, " +
	"socket buffers of the kernel's default size among them. `nebula-buffers` is the same with the buffers that its example configuration has, 10 MB."
