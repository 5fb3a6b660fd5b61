// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"cmp"
	"slices"
	"time"
)

// PeerStatus returns what is known about the peer; the zero PeerStatus, with
// Router "unknown", if it is not there.
func (a *Agent) PeerStatus(now time.Time, key Key) PeerStatus {
	at := a.advance(now)
	s := PeerStatus{Router: routerUnknown.String(), Paths: []PathStatus{}}
	p := a.peers[key]
	if p == nil {
		return s
	}
	s.Router = p.router.String()
	s.Choice = p.choice
	s.Since = a.time(p.since)
	s.Active = p.isActive(at)
	s.Switches = p.switches
	if p.primary != nil {
		s.Latency = p.primary.rtt
	}
	for _, c := range p.cands {
		s.Paths = append(s.Paths, c.status(a, at))
	}
	slices.SortStableFunc(s.Paths, func(x, y PathStatus) int {
		return cmp.Or(
			first(x.Path == s.Choice.Primary, y.Path == s.Choice.Primary),
			first(x.Trusted, y.Trusted),
			first(!x.Path.VNI.IsSet(), !y.Path.VNI.IsSet()),
			cmp.Compare(x.Latency, y.Latency),
		)
	})
	return s
}

// first orders by what is true.
func first(x, y bool) int {
	switch {
	case x && !y:
		return -1
	case y && !x:
		return 1
	}
	return 0
}

func (c *candidate) status(a *Agent, at moment) PathStatus {
	s := PathStatus{
		Path: c.path, Kind: c.kind.String(), Trusted: c.trusted(at), Latency: c.rtt, Loss: c.loss(),
		Last: a.time(c.lastAnswer),
	}
	if c.width.verdict != widthUnknown {
		s.Width = c.width.known
	}
	if c.session != nil {
		s.RelayName = c.session.relay.name
	}
	return s
}

// NetCheck returns what is known about the host's place in the network.
func (a *Agent) NetCheck() NetReport {
	r := NetReport{
		Local:    slices.Clone(a.ours.local),
		Mapping4: a.ours.mapping(true),
		Mapping6: a.ours.mapping(false),
		Observed: []Observation{},
		Relays:   []RelayStatus{},
	}
	for _, o := range slices.Backward(a.ours.observed) {
		r.Observed = append(r.Observed, Observation{o.observer, o.relay, o.addr, a.time(o.at)})
	}
	for _, c := range a.relays {
		s := RelayStatus{
			Name: c.name, Key: c.key, Addrs: slices.Clone(c.addrs), Registered: c.registered(a.last), Addr: c.addr(),
			Latency: c.rtt, Observed: c.observed, Last: a.time(c.renewed), Problem: c.problem(a.last),
		}
		for _, p := range a.peers {
			for _, ses := range p.sessions {
				if ses.relay == c && ses.bound {
					s.Sessions++
				}
			}
		}
		r.Relays = append(r.Relays, s)
	}
	return r
}
