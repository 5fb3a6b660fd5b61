// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"errors"
	"slices"

	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/metrics/web"
	"github.com/tunrouter/tunrouter/peers/path"
)

// pageData returns what the status page shows.
func (e *Engine) pageData() (*web.PageData, error) {
	s := e.Snapshot()
	if s == nil {
		return nil, errors.New("the tunnel device does not answer")
	}
	mode := e.mode.String()
	if e.opts.Elsewhere {
		mode = "exec"
	}
	out := &web.PageData{
		Interface: e.name, Mode: mode, Version: e.opts.Version, PublicKey: s.PublicKey, Started: e.started,
		Advice: e.advice.page(),
	}
	if s.Hub != nil {
		out.Forwarding = s.Hub.Forwarding
	}
	for _, sock := range s.Sockets {
		if sock.Use == metrics.UsePeers && !slices.Contains(out.Listen, sock.Address) {
			out.Listen = append(out.Listen, sock.Address)
		}
	}
	for i := range s.Peers {
		out.Peers = append(out.Peers, pagePeer(&s.Peers[i]))
	}
	if r, ok := e.bind.KnownRelays(); ok {
		out.Relays = pageRelays(r)
	}
	out.Drops = pageDrops(s)
	return out, nil
}

func pagePeer(p *metrics.Peer) web.PagePeer {
	out := web.PagePeer{
		PublicKey: p.PublicKey, Name: p.Name, Handshake: p.LastHandshake,
		RxBytes: p.RxBytes, TxBytes: p.TxBytes,
	}
	if p.Endpoint.IsValid() {
		out.Endpoint, out.Path = p.Endpoint.String(), "plain"
	}
	for _, a := range p.AllowedIPs {
		out.AllowedIPs = append(out.AllowedIPs, a.String())
	}
	if w := p.Path; w != nil && w.Kind != "" {
		out.Path, out.Relay, out.Latency, out.Loss = w.Kind, w.Relay, w.Latency, &w.Loss
	}
	return out
}

// pageRelays names relays as [metrics.PeerPath] does.
func pageRelays(list []path.RelayStatus) []web.PageRelay {
	var out []web.PageRelay
	for i := range list {
		r := &list[i]
		p := web.PageRelay{ID: r.Name, Name: r.Name, Up: r.Registered, Latency: r.Latency}
		if r.Addr.IsValid() {
			p.Address = r.Addr.String()
		}
		out = append(out, p)
	}
	return out
}

// pageDrops lists what was dropped, by stage.
func pageDrops(s *metrics.Snapshot) []web.PageDrop {
	var out []web.PageDrop
	add := func(stage string, counts []metrics.Count) {
		for _, c := range counts {
			if c.N == 0 {
				continue
			}
			i := slices.IndexFunc(out, func(d web.PageDrop) bool { return d.Stage == stage && d.Reason == c.Name })
			if i < 0 {
				out = append(out, web.PageDrop{Stage: stage, Reason: c.Name, Packets: c.N})
				continue
			}
			out[i].Packets += c.N
		}
	}
	if s.TUN != nil {
		for i := range s.TUN.Queues {
			add("from the host", s.TUN.Queues[i].Read.Dropped)
			add("to the host", s.TUN.Queues[i].Write.Dropped)
		}
	}
	if s.Link != nil {
		add("from the host", []metrics.Count{{Name: "queue_full", N: s.Link.TxDropped}})
	}
	if s.Hub != nil {
		add("between peers", s.Hub.Dropped)
	}
	for i := range s.Peers {
		if n := s.Peers[i].Network; n != nil {
			add("to peers", n.Dropped)
		}
	}
	if s.Receive != nil {
		add("from peers", s.Receive.Dropped)
	}
	for i := range s.Sockets {
		add("sockets", s.Sockets[i].Receive.Dropped)
		add("sockets", []metrics.Count{{Name: "buffer_full", N: s.Sockets[i].Receive.Overflow}})
	}
	if s.Discovery != nil {
		add("path discovery", s.Discovery.Dropped)
	}
	if s.Relay != nil {
		add("relay", s.Relay.Dropped)
	}
	return out
}
