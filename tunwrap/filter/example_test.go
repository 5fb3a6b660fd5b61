// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter_test

import (
	"fmt"
	"net/netip"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// A peer may ask the host for names, and nothing else may be begun.
func ExampleFilter_Verdict() {
	const laptop = filter.Party(1)
	f, err := filter.New([]filter.Rule{{
		From: filter.End{Parties: []filter.Party{laptop}}, To: filter.End{Host: true},
		Protocol: inner.UDP, Ports: []filter.PortRange{{First: 53, Last: 53}},
		Text: "Allow = from laptop to host proto udp port 53",
	}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	its, ours := netip.MustParseAddrPort("10.0.0.2:5000"), netip.MustParseAddrPort("10.0.0.1:53")
	query, answer := testutil.UDP(its, ours, nil), testutil.UDP(ours, its, nil)

	var b filter.Batch // one for each goroutine
	var p inner.Packet
	judge := func(pkt []byte, from, to filter.Party) {
		b.Reset() // for each batch of packets
		if problem := p.Parse(pkt); problem != inner.OK {
			fmt.Println(problem)
			return
		}
		fmt.Println(f.Verdict(&b, &p, pkt, from, to))
	}
	judge(answer, filter.Host, laptop)
	judge(query, laptop, filter.Host)
	judge(answer, filter.Host, laptop)
	// Output:
	// default
	// pass
	// pass
}
