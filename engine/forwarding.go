// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"errors"
	"fmt"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
)

// A parties numbers peers for the hub and the filter. A peer keeps its number for the
// life of the Engine, also while it is removed, so that no other is taken for it.
type parties map[peers.Key]filter.Party

func (p parties) of(key peers.Key) filter.Party {
	n, ok := p[key]
	if !ok {
		n = filter.Party(len(p) + 1)
		p[key] = n
	}
	return n
}

// openHub puts the hub around the TUN.
func (e *Engine) openHub() error {
	rules, err := e.filterRules(&e.cfg.Filter)
	if err != nil {
		return err
	}
	f, err := filter.New(rules, nil)
	if err != nil {
		return fmt.Errorf("[Filter]: %w", err)
	}
	e.filter = f
	e.hub, err = hub.New(e.tun, &hub.Options{Logger: e.logOf(roomlog.Hub), Filter: f, HasPeer: e.allowed.covers})
	return err
}

// updateHubLocked makes forwarding and filter those of cfg.
func (e *Engine) updateHubLocked(cfg *config.Config) error {
	rules, err := e.filterRules(&cfg.Filter)
	if err != nil {
		return err
	}
	forwarding := forwardingOf(cfg.Router.PeerForwarding)
	active := forwarding != hub.Off || len(cfg.Filter.Rules) > 0
	// Both go by where addresses are, so that comes first.
	e.updateRoutesLocked(active)
	if err := e.filter.SetRules(rules); err != nil {
		return fmt.Errorf("[Filter]: %w", err)
	}
	e.hub.SetForwarding(forwarding)
	e.hubActive = active
	return nil
}

func forwardingOf(f config.Forwarding) hub.Forwarding {
	switch f {
	case config.ForwardingOn:
		return hub.On
	case config.ForwardingIsolated:
		return hub.Isolated
	}
	return hub.Off
}

// filterRules translates the rules of the configuration. An end that names nobody,
// which a file cannot have, is an error: to the filter it would be everybody.
func (e *Engine) filterRules(f *config.Filter) ([]filter.Rule, error) {
	end := func(in config.FilterEnd) filter.End {
		out := filter.End{Host: in.Host, Peers: in.Peers, Prefixes: in.Prefixes}
		for _, key := range f.Keys(in) {
			out.Parties = append(out.Parties, e.parties.of(peers.Key(key)))
		}
		return out
	}
	ports := func(in []config.PortRange) (out []filter.PortRange) {
		for _, p := range in {
			out = append(out, filter.PortRange(p))
		}
		return out
	}
	rules := make([]filter.Rule, 0, len(f.Rules))
	for _, r := range f.Rules {
		for _, in := range []config.FilterEnd{r.From, r.To} {
			if len(in.Names)+len(in.Keys) > 0 && len(f.Keys(in)) == 0 {
				return nil, fmt.Errorf("[Filter] rule %q: %v names no peer", r.String(), in)
			}
		}
		rule := filter.Rule{
			Action:      filter.Allow,
			From:        end(r.From),
			To:          end(r.To),
			Protocol:    r.Protocol,
			SourcePorts: ports(r.SourcePorts),
			Ports:       ports(r.Ports),
			Text:        r.Text,
			Line:        r.Line,
		}
		if r.Deny {
			rule.Action = filter.Deny
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// updateRoutesLocked tells the hub where addresses are now, if anybody wants to know.
func (e *Engine) updateRoutesLocked(wanted bool) {
	e.captures.changed(e)
	if !wanted {
		return
	}
	r := &hub.Routes{Addresses: addrsOf(e.addresses)}
	for key := range e.known {
		r.Peers = append(r.Peers, hub.Peer{Party: e.parties.of(key), AllowedIPs: e.allowed.of(key)})
	}
	if e.tun.File() != nil && !e.opts.Elsewhere { // a kernel TUN of this host
		if e.moved {
			e.lookAroundLocked()
		}
		if s := e.around; s != nil {
			r.Local, r.Networks = s.Local, s.Networks
			r.HostDefault4, r.HostDefault6 = !s.Default4, !s.Default6
			if len(s.Own) > 0 {
				r.Addresses = s.Own // whoever gave them to the interface
			}
		}
	}
	e.hub.SetRoutes(r)
}

// lookAroundLocked reads the host's routing tables. If that fails it goes by what they
// said before, or by AllowedIPs and the tunnel's addresses alone.
func (e *Engine) lookAroundLocked() {
	e.moved = false
	name, err := e.tun.Name()
	if err == nil {
		var s *hostnet.Surroundings
		if s, err = hostnet.LookAround(name); err == nil {
			e.around = s
			return
		}
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		e.log.Warn("routes of the host are not known, packets between peers go by AllowedIPs", "err", err)
	}
}
