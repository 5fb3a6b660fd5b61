// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"fmt"
	"strings"
)

// MaxQueues is the most queues that the router uses.
const MaxQueues = 16

// Options say what [Run] looks at.
type Options struct {
	// Interface is its name. Empty stands for that of the default route.
	Interface string
	// Queues is how many queues the router may use at most, 1 to MaxQueues; 0 stands
	// for MaxQueues.
	Queues int
	// Try has the program attached for a moment; see the package comment for what
	// that does to a device. It needs the privileges of the router.
	Try bool
}

// withDefaults returns a checked copy; o may be nil.
func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Queues == 0 {
		out.Queues = MaxQueues
	}
	if out.Queues < 0 || out.Queues > MaxQueues {
		return out, fmt.Errorf("check: %d queues, want 1 to %d, or 0 for all that there are", out.Queues, MaxQueues)
	}
	return out, nil
}

// A Level says what a [Finding] means for the router.
type Level string

// The levels, from the best to the worst.
const (
	OK     Level = "ok"     // as it should be
	Note   Level = "note"   // good to know
	Limits Level = "limits" // XDP works for less, or is slower than it could be
	Stops  Level = "stops"  // XDP does not work
)

// A Finding is one thing that was looked at.
type Finding struct {
	Level  Level  `json:"level"`
	About  string `json:"about"` // a word, as "kernel" or "queues"
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"` // what the operator can do
}

// A Verdict is how the router would receive and send.
type Verdict string

// The verdicts.
const (
	ZeroCopy   Verdict = "zero-copy"      // the device reads and writes the frames itself
	NativeCopy Verdict = "native copy"    // the program runs in the driver, frames are copied
	Generic    Verdict = "generic"        // the program runs behind the driver, frames are copied
	Kernel     Verdict = "kernel sockets" // no XDP; Report.Because says why
	Unknown    Verdict = "unknown"        // only Options.Try would tell
)

// A Report is what [Run] found.
type Report struct {
	// Interface is what was looked at, and Device the interface under it that has
	// the queues: the same but for VLAN interfaces. Empty: there is none.
	Interface string `json:"interface,omitempty"`
	Device    string `json:"device,omitempty"`
	// VLAN is the identifier of the tag between the two, 0 for none.
	VLAN   uint16 `json:"vlan,omitempty"`
	Driver string `json:"driver,omitempty"`
	MTU    int    `json:"mtu,omitempty"`
	// Queues is how many of the Available receive queues the router would use.
	Queues    int `json:"queues,omitempty"`
	Available int `json:"available,omitempty"`
	// Tried tells that the program was attached for a moment: the verdict is what
	// was seen, not what the driver says of itself.
	Tried    bool      `json:"tried"`
	Verdict  Verdict   `json:"verdict"`
	Because  []string  `json:"because,omitempty"`
	Findings []Finding `json:"findings"`
}

func (r *Report) add(level Level, about, remedy, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{level, about, fmt.Sprintf(format, args...), remedy})
}

// stops adds what makes XDP impossible; it is part of the verdict.
func (r *Report) stops(about, remedy, format string, args ...any) {
	r.add(Stops, about, remedy, format, args...)
	r.decide(Kernel, fmt.Sprintf(format, args...))
}

// decide sets the verdict, unless something has stopped everything.
func (r *Report) decide(v Verdict, because string) {
	if r.Verdict == Kernel && v != Kernel {
		return
	}
	r.Verdict = v
	if because != "" {
		r.Because = append(r.Because, because)
	}
}

// String returns the verdict with its reasons, as one line.
func (r *Report) String() string {
	if len(r.Because) == 0 {
		return string(r.Verdict)
	}
	return fmt.Sprintf("%s, because %s", r.Verdict, strings.Join(r.Because, "; "))
}
