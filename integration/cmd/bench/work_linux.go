// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// A work is something that every program is made to do, and measured at.
type work struct {
	name, group string
	title       string
	// measure makes what it needs in the scope, and returns the figures of one
	// run.
	measure func(s *scope, o options, im lab.Implementation) []result
	// wireGuardOnly says that programs which speak something else are left out.
	wireGuardOnly bool
	// inside says that it is a program in the network of the tunnel that is measured.
	inside bool
	// impls are the programs that are measured: those of -impl, or without it the
	// defaults when there are any.
	impls, defaults []string
	baseline        string // the program that the others are compared with
}

// A result is one figure of one run, or the failure of a run.
type result struct {
	Work   string  `json:"work"`
	Figure string  `json:"figure,omitempty"`
	Unit   string  `json:"unit,omitempty"`
	Less   bool    `json:"less_is_better,omitempty"`
	Main   bool    `json:"main,omitempty"` // is in the chart
	Impl   string  `json:"impl"`
	Run    int     `json:"run"`
	Value  float64 `json:"value"`
	Note   string  `json:"note,omitempty"`
	Error  string  `json:"error,omitempty"` // why there is no figure
}

// Notes that mark a figure.
const (
	senderLimited = "*" // the sender, not the program, was at its limit
	tooFast       = "†" // too much was lost at the fixed rate
)

// Numbers of peers, streams and flows, and sizes of payload in bytes.
var (
	tcpStreams = []int{1, 4, 32}
	udpSizes   = []int{64, 200, 1200, 1400}
	udpFlows   = []int{1, 16}
	hubPeers   = []int{16, 64}
)

// maxPayload is the payload of the largest UDP packet over IPv4 in the tunnel,
// whose MTU is 1420.
const maxPayload = 1420 - 28

// Groups of works, for -only.
const (
	groupTCP      = "tcp"
	groupUDP      = "udp"
	groupLatency  = "latency"
	groupHub      = "hub"
	groupHubPair  = "hubpair"
	groupNetstack = "netstack"
	groupRelay    = "relay"
)

var groups = []string{groupTCP, groupUDP, groupLatency, groupHub, groupHubPair, groupNetstack, groupRelay}

// works returns all works in the order in which they are run; udp with packets
// of the sizes.
func works(sizes []int) []work {
	var all []work
	for _, n := range tcpStreams {
		all = append(all, work{
			name: fmt.Sprintf("tcp%d", n), group: groupTCP,
			title:   fmt.Sprintf("TCP, %s, both ways", plural(n, "stream")),
			measure: func(s *scope, o options, im lab.Implementation) []result { return measureTCP(s, o, im, n) },
		})
	}
	for _, size := range sizes {
		note := ""
		if size > maxPayload {
			note = ", which the kernel sends in two fragments"
		}
		for _, flows := range udpFlows {
			all = append(all, work{
				name: fmt.Sprintf("udp%dx%d", size, flows), group: groupUDP,
				title:   fmt.Sprintf("UDP, %d bytes of payload%s, %s", size, note, plural(flows, "flow")),
				measure: func(s *scope, o options, im lab.Implementation) []result { return measureUDP(s, o, im, size, flows) },
			})
		}
	}
	all = append(all, work{
		name: "latency", group: groupLatency, title: "UDP request and response, 64 bytes, idle tunnel",
		measure: measureLatency,
	})
	for _, n := range hubPeers {
		for _, toHub := range []bool{false, true} {
			name, title := fmt.Sprintf("hub%d", n), "from each to the next, forwarded by the hub"
			if toHub {
				name, title = name+"-host", "from all to a socket of the hub"
			}
			all = append(all, work{
				name: name, group: groupHub, wireGuardOnly: true,
				title:   fmt.Sprintf("hub with %d peers, UDP with %d bytes of payload %s", n, hubSize, title),
				measure: func(s *scope, o options, im lab.Implementation) []result { return measureHub(s, o, im, n, toHub) },
			})
		}
	}
	all = append(all, hubPairWorks()...)
	all = append(all, netstackWorks()...)
	all = append(all, relayWorks()...)
	for i := range all {
		if all[i].baseline == "" {
			all[i].baseline = lab.ForkName
		}
	}
	return all
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// choose returns the works that the names, of works or groups, stand for.
func choose(all []work, names []string) ([]work, error) {
	var chosen []work
	for _, name := range names {
		if !slices.ContainsFunc(all, func(w work) bool { return w.name == name || w.group == name }) {
			known := slices.Clone(groups)
			for _, w := range all {
				if w.name != w.group {
					known = append(known, w.name)
				}
			}
			return nil, fmt.Errorf("%q is none of %s", name, strings.Join(known, ", "))
		}
	}
	for _, w := range all {
		if slices.Contains(names, w.name) || slices.Contains(names, w.group) {
			chosen = append(chosen, w)
		}
	}
	return chosen, nil
}
