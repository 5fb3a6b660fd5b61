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
		Advice: e.pageAdvice(),
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
	out.RelayServer = pageRelayServer(s)
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
	for _, d := range s.Drops() {
		if d.Packets > 0 {
			out = append(out, web.PageDrop{Stage: d.Stage, Reason: d.Reason, Packets: d.Packets})
		}
	}
	return out
}
