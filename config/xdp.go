// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An XDP is the value of the key XDP: whether packets of peers go past the kernel's
// UDP sockets, by AF_XDP sockets on an interface of the host. The zero XDP is off.
type XDP struct {
	On bool
	// Interface is the name of the interface; empty is that of the default route
	// (auto).
	Interface string
	// Queues is how many queues of the interface are used at most, 1 to 16; 0 is as
	// many as it has, at most 16.
	Queues int
}

const (
	xdpOff, xdpAuto = "off", "auto"
	// maxXDPQueues is what package batching/xdp uses. A queue costs 8 MiB.
	maxXDPQueues = 16
)

// String returns the value as a file has it.
func (x XDP) String() string {
	text := x.Interface
	switch {
	case !x.On:
		return xdpOff
	case text == "":
		text = xdpAuto
	}
	if x.Queues != 0 {
		text += ":" + strconv.Itoa(x.Queues)
	}
	return text
}

// setXDP reads off, auto or an interface, the latter two with a number of queues
// behind a colon if wanted. No interface has a colon in its name.
func setXDP(e *entry) {
	hint := fmt.Sprintf("write off, auto or an interface, with :1 to :%d behind it for that many queues at most, for example eth0:4", maxXDPQueues)
	name, number, numbered := strings.Cut(e.value, ":")
	next := XDP{On: true, Interface: name}
	switch {
	case sameName(name, xdpOff) && numbered:
		e.wrong("write off alone", "off has no queues")
		return
	case sameName(name, xdpOff):
		e.cfg.Router.XDP = XDP{}
		return
	case sameName(name, xdpAuto):
		next.Interface = ""
	case slices.ContainsFunc([]string{"on", "yes", "true", "no", "false", "none"}, func(w string) bool { return sameName(w, name) }):
		e.wrong(hint, "unknown value %s", show(e.value)) // the kernel would take it as a name, nobody else
		return
	case !isKernelName(name):
		e.wrong(hint, "%s is not an interface", show(name))
		return
	}
	if numbered {
		n, err := strconv.ParseUint(number, 10, 8)
		if err != nil || n < 1 || n > maxXDPQueues {
			e.wrong(fmt.Sprintf("write a number from 1 to %d behind the colon, or neither", maxXDPQueues), "%s is not a number of queues", show(number))
			return
		}
		next.Queues = int(n)
	}
	e.cfg.Router.XDP = next
}

// isKernelName reports whether Linux takes name for an interface (dev_valid_name in
// net/core/dev.c, 6.12) and a line can hold it.
func isKernelName(name string) bool {
	if name == "" || len(name) > maxName || name == "." || name == ".." || !utf8.ValidString(name) {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || unicode.IsSpace(r) || unicode.IsControl(r)
	}) < 0
}

// writeXDP writes XDP unless it is off.
func (d *document) writeXDP(x XDP) {
	text := x.String()
	if strings.HasPrefix(text, "$") {
		text = "$" + text // no environment variable
	}
	if x != (XDP{}) {
		d.line("XDP", text)
	}
}
