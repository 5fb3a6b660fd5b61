// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
)

// xdpAdvice is what to do when the configuration asks for XDP and less is to be had;
// empty when all is well. st is the status of the underlay, nil without one.
func xdpAdvice(s *xdpState, st *xdp.Status) []Advice {
	a := Advice{ID: "xdp", Severity: string(hostnet.SeverityWarning), Remedy: s.remedy()}
	switch {
	case st == nil:
		a.Text = "packets of peers take the kernel's sockets: " + s.failed.Error()
		return []Advice{a}
	case st.Interface != "":
		a.Remedy = `run "router xdp check ` + st.Interface + `"`
	}
	switch {
	case !st.Active:
		a.Text = "packets of peers take the kernel's sockets: " + st.Reason
	case st.Attach == "generic":
		a.Severity = string(hostnet.SeverityInfo)
		a.Text = "XDP is in generic mode, which saves little"
	default:
		return nil
	}
	return []Advice{a}
}

// remedy says what helps against what keeps the underlay from being opened, or from
// finding an interface.
func (s *xdpState) remedy() string {
	switch {
	case s.failed == nil:
		return "name the interface, with [Router] XDP = INTERFACE"
	case errors.Is(s.failed, errors.ErrUnsupported):
		return "remove XDP from [Router], or use a Linux kernel with AF_XDP"
	case errors.Is(s.failed, fs.ErrPermission):
		return "run the router as root or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (docs/XDP.md), or remove XDP from [Router]"
	}
	return "remove XDP from [Router]"
}

// adviceNow is what was found about the host, and what is the matter with XDP now; the
// worst first.
func (e *Engine) adviceNow() []Advice {
	e.advice.mu.Lock()
	list := slices.Clone(e.advice.list)
	e.advice.mu.Unlock()
	if s := e.xdp.Load(); s != nil {
		list = append(list, xdpAdvice(s, s.status())...)
	}
	slices.SortStableFunc(list, func(a, b Advice) int { return severityRank(a.Severity) - severityRank(b.Severity) })
	return list
}

// severityRank orders severities, the worst first.
func severityRank(severity string) int {
	return slices.Index([]string{string(hostnet.SeverityError), string(hostnet.SeverityWarning), string(hostnet.SeverityInfo)}, severity)
}
