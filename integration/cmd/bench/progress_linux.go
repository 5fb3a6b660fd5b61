// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A progress is a bar on a terminal, and elsewhere a line for each run. What is
// written to it goes above the bar. It is safe for concurrent use.
type progress struct {
	mu       sync.Mutex
	out      io.Writer
	bar      bool
	n, total int // runs
	what     string
	began    time.Time // zero until the first run
	now      func() time.Time
}

func newProgress(out io.Writer, total int) *progress {
	p := &progress{out: out, total: total, now: time.Now}
	if f, ok := out.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.bar = err == nil
	}
	return p
}

const (
	eraseLine = "\r\x1b[K"
	barWidth  = 20
)

// Write writes whole lines.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	n, err := p.out.Write(b)
	if bytes.HasSuffix(b, []byte("\n")) {
		p.draw()
	}
	return n, err
}

// start says what begins.
func (p *progress) start(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = what
	if p.began.IsZero() && !strings.HasPrefix(what, "building") {
		p.began = p.now()
	}
	if p.bar {
		p.erase()
		p.draw()
	} else if strings.HasPrefix(what, "building") {
		fmt.Fprintln(p.out, what)
	}
}

// done says what a run that ended has found.
func (p *progress) done(what string, results []result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	p.erase()
	if !p.bar {
		fmt.Fprintf(p.out, "%d/%d %s: %s\n", p.n, p.total, what, summary(results))
	}
	p.draw()
}

// end removes the bar.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.bar = false
}

// summary returns the results in one line.
func summary(results []result) string {
	var parts []string
	for _, r := range results {
		if r.Error != "" {
			line, _, _ := strings.Cut(r.Error, "\n")
			parts = append(parts, line)
			continue
		}
		note := ""
		if mark(r.Note) {
			note = r.Note
		}
		parts = append(parts, fmt.Sprintf("%s %s%s %s", r.Figure, number(r.Value), note, r.Unit))
	}
	return strings.Join(parts, ", ")
}

func (p *progress) erase() {
	if p.bar {
		io.WriteString(p.out, eraseLine)
	}
}

func (p *progress) draw() {
	if p.bar {
		io.WriteString(p.out, p.line())
	}
}

// line is the bar: how much is done, how long the rest will take at that pace,
// and what runs.
func (p *progress) line() string {
	full := barWidth * p.n / max(p.total, 1)
	left := ""
	if p.n > 0 {
		left = fmt.Sprintf(", %v left", (p.now().Sub(p.began) / time.Duration(p.n) * time.Duration(p.total-p.n)).Round(time.Second))
	}
	return fmt.Sprintf("[%s%s] %d/%d%s: %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), p.n, p.total, left, p.what)
}
