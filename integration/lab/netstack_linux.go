// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"strings"
)

// PlainName is plainforward, which forwards through a tunnel without an interface
// and does nothing else; see its package comment.
const PlainName = "plain"

const plainPackage = routerModule + "/integration/cmd/plainforward"

// Plain returns the path of plainforward.
func (p *Programs) Plain(t T) string {
	t.Helper()
	return p.build(t, "plainforward", "", plainPackage, "-trimpath")
}

// What is in the output of "router up" and of plainforward once they serve.
const (
	routerStarted = "router started"
	plainStarted  = "plainforward started"
)

// NetstackFile returns the options as a file of a router without an interface,
// with the sections, one of which may be [Router].
func (o DeviceOptions) NetstackFile(sections string) string {
	const mode = "[Router]\nMode = netstack\n"
	if strings.Contains(sections, "[Router]\n") {
		sections = strings.Replace(sections, "[Router]\n", mode, 1)
	} else {
		sections = mode + "\n" + sections
	}
	return o.File(sections)
}

// StartNetstack runs "router up" in netstack mode as the user nobody, from a file
// with the options and sections. It ends with the test. The control socket is in
// [NobodyDir].
func StartNetstack(h *Host, path string, o DeviceOptions, sections string) *Process {
	h.t.Helper()
	o.setDefaults()
	level := "debug"
	if o.Quiet {
		level = "info"
	}
	return h.StartNobody(routerStarted, Command{
		Path: path, Env: o.Env,
		Args: []string{"up", "--log-level", level, "--socket-dir", NobodyDir, h.WriteNobodyFile(o.Name+".conf", o.NetstackFile(sections))},
	})
}

// StartPlain runs plainforward as the user nobody with the flags.
func StartPlain(h *Host, path string, o DeviceOptions, flags ...string) *Process {
	h.t.Helper()
	o.setDefaults()
	return h.StartNobody(plainStarted, Command{Path: path, Args: append(flags, h.WriteNobodyFile(o.Name+".conf", o.File(""))), Env: o.Env})
}

// StartNobody starts a program as the user nobody and waits for words in its
// output.
func (h *Host) StartNobody(started string, c Command) *Process {
	h.t.Helper()
	p := h.Start(AsNobody(c))
	Wait(h.t, Patience, c.Path+" on "+h.Name, func() error {
		if !p.Running() {
			h.t.Fatalf("host %s: %s ended:\n%s", h.Name, c, p.Output())
		}
		if output := p.Output(); !strings.Contains(output, started) {
			return fmt.Errorf("output:\n%s", output)
		}
		return nil
	})
	return p
}
