// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/uapi"
)

// firstLookup bounds how long New and Reload wait for the names of endpoints;
// what takes longer goes on in the background.
const firstLookup = 3 * time.Second

// ErrNoFile means that the router was not started from a file that it could
// read again.
var ErrNoFile = errors.New("engine: not started from a configuration file, so there is none to reload")

// ReloadFile reads the configuration again, by [Options].Load, and applies it.
func (e *Engine) ReloadFile() error {
	if e.opts.Load == nil {
		return ErrNoFile
	}
	cfg, err := e.opts.Load()
	if err != nil {
		return err
	}
	return e.Reload(cfg)
}

// Reload makes the router run by cfg. Only differences to what runs now are
// applied: a peer that stays as it is keeps its session and loses no packet.
// What cannot change while the router runs is refused before anything is
// applied.
func (e *Engine) Reload(cfg *config.Config) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	live, err := e.liveLocked()
	if err != nil {
		return err
	}
	ch := config.Diff(live, effective(cfg))
	if err := fixed(&ch.Router); err != nil {
		return err
	}
	if _, err := e.filterRules(&cfg.Filter); err != nil {
		return err
	}
	if err := e.applyLocked(requestFor(ch, cfg)); err != nil {
		return err
	}
	e.addresses = cfg.Interface.Addresses
	if err := e.updateHubLocked(cfg); err != nil {
		return err
	}
	if err := e.updateSocketsLocked(&cfg.Router); err != nil {
		return err
	}
	if err := e.updateXDPLocked(cfg.Router.XDP); err != nil {
		return err
	}
	e.updatePathsLocked(cfg)
	if err := e.updateRelayLocked(cfg); err != nil {
		return err
	}
	var moved []config.Peer
	moved = append(moved, ch.Added...)
	for _, c := range ch.Changed {
		if c.Endpoint {
			moved = append(moved, c.New)
		}
	}
	e.nameEndpoints(moved)
	e.cfg, e.names = cfg, peerNames(cfg)
	if e.netdev != nil {
		if err := e.netdev.SetAddresses(addrsOf(cfg.Interface.Addresses)); err != nil {
			return fmt.Errorf("change addresses: %w", err)
		}
		if tunMTU(live) != tunMTU(cfg) {
			e.netdev.SetMTU(tunMTU(cfg))
		}
		if ch.Interface.DNS || ch.Interface.DNSSearch || ch.Proxy.Resolve {
			if err := e.netdev.SetResolver(dnsServers(&cfg.Interface), cfg.Interface.DNSSearch, preference(cfg.Proxy.Resolve.Strategy)); err != nil {
				return fmt.Errorf("change DNS: %w", err)
			}
		}
		if err := e.updateServices(cfg, ch.Router.SubnetRouter); err != nil {
			return err
		}
		e.updateAlive(cfg)
	}
	if err := e.hostUpdate(); err != nil {
		return err
	}
	e.moved = true
	e.updateRoutesLocked(e.hubActive)
	if err := e.updateObserver(cfg); err != nil {
		return err
	}
	e.updateAdviceLocked(cfg)
	e.log.Info("configuration reloaded", "added", len(ch.Added), "removed", len(ch.Removed), "changed", len(ch.Changed))
	return nil
}

// fixed returns an error that names what cannot change while the router runs. The
// log level is the caller's affair.
func fixed(ch *config.RouterChanges) error {
	cannot := config.RouterChanges{Mode: ch.Mode, Queues: ch.Queues, TxQueueLength: ch.TxQueueLength, ControlSocket: ch.ControlSocket,
		TCPRecovery: ch.TCPRecovery, TCPCongestion: ch.TCPCongestion}
	names := cannot.Names()
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("[Router] %s cannot change while the router runs; restart it, nothing was applied", strings.Join(names, ", "))
}

// liveLocked returns the configuration that describes what runs now: the one
// last applied, with the peers, keys and port that the device has. Endpoints
// are those of the configuration: a peer that roamed has not changed it.
func (e *Engine) liveLocked() (*config.Config, error) {
	d, err := e.statusLocked()
	if err != nil {
		return nil, err
	}
	configured := make(map[config.Key]*config.Peer, len(e.cfg.Peers))
	for i := range e.cfg.Peers {
		configured[e.cfg.Peers[i].PublicKey] = &e.cfg.Peers[i]
	}
	live := *e.cfg
	live.Interface.PrivateKey = config.Key(e.private)
	live.Interface.ListenPort = e.port
	live.Interface.FwMark = e.configuredMarkLocked()
	live.Peers = make([]config.Peer, 0, len(d.Peers))
	for _, p := range d.Peers {
		next := config.Peer{
			PublicKey:           config.Key(p.PublicKey),
			PresharedKey:        config.Key(p.PresharedKey),
			AllowedIPs:          e.allowed.of(p.PublicKey),
			PersistentKeepalive: p.PersistentKeepalive,
		}
		if was := configured[next.PublicKey]; was != nil {
			next.Name, next.Endpoint = was.Name, was.Endpoint
		}
		live.Peers = append(live.Peers, next)
	}
	return &live, nil
}

// effective returns cfg as WireGuard understands it: a prefix belongs to the
// last peer that claims it, and a peer with the router's own key is none.
func effective(cfg *config.Config) *config.Config {
	out := *cfg
	own := newAllowedIPs()
	public := publicOf(peers.Key(cfg.Interface.PrivateKey))
	out.Peers = nil
	for _, p := range cfg.Peers {
		if peers.Key(p.PublicKey) == public {
			continue
		}
		for _, prefix := range p.AllowedIPs {
			own.claim(prefix.Masked(), peers.Key(p.PublicKey))
		}
		out.Peers = append(out.Peers, p)
	}
	for i := range out.Peers {
		out.Peers[i].AllowedIPs = own.of(peers.Key(out.Peers[i].PublicKey))
	}
	return &out
}

// initialRequest is the set request that brings a fresh device to its
// configuration.
func (e *Engine) initialRequest() *uapi.SetRequest {
	in := &e.cfg.Interface
	r := &uapi.SetRequest{ListenPort: &in.ListenPort, FwMark: &in.FwMark}
	if !in.PrivateKey.IsZero() {
		key := peers.Key(in.PrivateKey)
		r.PrivateKey = &key
	}
	for i := range e.cfg.Peers {
		r.Peers = append(r.Peers, addRequest(&e.cfg.Peers[i]))
	}
	return r
}

// requestFor turns the changes to a configuration into a set request.
func requestFor(ch config.Changes, cfg *config.Config) *uapi.SetRequest {
	r := &uapi.SetRequest{}
	in := &cfg.Interface
	if ch.Interface.PrivateKey {
		key := peers.Key(in.PrivateKey)
		r.PrivateKey = &key
	}
	if ch.Interface.ListenPort {
		r.ListenPort = &in.ListenPort
	}
	if ch.Interface.FwMark {
		r.FwMark = &in.FwMark
	}
	for _, p := range ch.Removed {
		r.Peers = append(r.Peers, uapi.PeerRequest{PublicKey: peers.Key(p.PublicKey), Remove: true})
	}
	for _, c := range ch.Changed {
		p := addRequest(&c.New)
		p.UpdateOnly = true
		if !c.Endpoint {
			p.Endpoint = nil
		}
		if !c.PresharedKey {
			p.PresharedKey = nil
		}
		if !c.PersistentKeepalive {
			p.PersistentKeepalive = nil
		}
		if !c.AllowedIPs {
			p.AllowedIPs, p.ReplaceAllowedIPs = nil, false
		}
		r.Peers = append(r.Peers, p)
	}
	for i := range ch.Added {
		r.Peers = append(r.Peers, addRequest(&ch.Added[i]))
	}
	return r
}

// addRequest describes a whole peer. An endpoint that is a name is left out:
// nameEndpoints sees to it.
func addRequest(p *config.Peer) uapi.PeerRequest {
	psk, keepalive := peers.Key(p.PresharedKey), p.PersistentKeepalive
	r := uapi.PeerRequest{
		PublicKey:           peers.Key(p.PublicKey),
		PresharedKey:        &psk,
		PersistentKeepalive: &keepalive,
		ReplaceAllowedIPs:   true,
	}
	if addr, ok := p.Endpoint.AddrPort(); ok {
		r.Endpoint = &addr
	}
	for _, prefix := range p.AllowedIPs {
		r.AllowedIPs = append(r.AllowedIPs, uapi.AllowedIPChange{Prefix: prefix})
	}
	return r
}

// nameEndpoints tells the Bind the names of those peers whose endpoint is one,
// and looks them up once, all at the same time. A name that does not resolve
// now is tried again whenever the peer is wanted.
func (e *Engine) nameEndpoints(list []config.Peer) {
	ctx, cancel := context.WithTimeout(context.Background(), firstLookup)
	defer cancel()
	errs := make(chan error)
	waiting := 0
	for _, p := range list {
		ep := e.bind.Lookup(peers.Key(p.PublicKey))
		if ep == nil {
			continue
		}
		if _, literal := p.Endpoint.AddrPort(); literal || p.Endpoint.IsZero() {
			ep.SetName(peers.Name{})
			continue
		}
		ep.SetName(peers.Name{Host: p.Endpoint.Host, Port: p.Endpoint.Port})
		waiting++
		go func() { errs <- ep.Resolve(ctx) }()
	}
	for range waiting {
		if err := <-errs; err != nil {
			e.log.Warn("endpoint name does not resolve yet, trying again when the peer is wanted", "err", err)
		}
	}
}

// endpointAddrs returns the addresses of all peers that are somewhere.
func (e *Engine) endpointAddrs() []netip.Addr {
	var out []netip.Addr
	for _, ep := range e.bind.Endpoints() {
		if a := ep.Addr().Addr(); a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
