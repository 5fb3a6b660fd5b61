// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"errors"
	"net/netip"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/netstack/proxy"
	"github.com/tunrouter/tunrouter/netstack/resolver"
)

// sectionOf is how a section without its line tells that it is the same as another.
type sectionOf[T comparable] struct {
	section string
	value   T
}

// subnetKey is all of a subnet router that cannot change while it runs.
type subnetKey struct{ perPeer int }

// wantedServices returns what the configuration asks for beside the tunnel.
func (e *Engine) wantedServices(cfg *config.Config) []wantedService {
	var all []wantedService
	p, n := &cfg.Proxy, e.Net()
	for _, s := range p.SOCKS5 {
		w := wantedService{section: "Socks5", line: s.Line, listen: s.BindAddress.String()}
		w.place = "host tcp " + w.listen
		w.open = func() (service, error) {
			return opened(proxy.ListenSOCKS5(n, &proxy.SOCKS5Options{
				Listen: w.listen, Username: s.Username, Password: string(s.Password), DisableUDP: s.UDP == config.SwitchOff,
				Limits: limits(s.MaxConnections, s.MaxPerClient), Logger: e.logOf(roomlog.Proxy),
			}))
		}
		s.Line = 0
		w.key = sectionOf[config.SOCKS5]{w.section, s}
		all = append(all, w)
	}
	for _, s := range p.HTTP {
		w := wantedService{section: "http", line: s.Line, listen: s.BindAddress.String()}
		w.place = "host tcp " + w.listen
		w.open = func() (service, error) {
			return opened(proxy.ListenHTTP(n, &proxy.HTTPOptions{
				Listen: w.listen, Username: s.Username, Password: string(s.Password), CertFile: s.CertFile, KeyFile: s.KeyFile,
				Limits: limits(s.MaxConnections, s.MaxPerClient), Logger: e.logOf(roomlog.Proxy),
			}))
		}
		s.Line = 0
		w.key = sectionOf[config.HTTP]{w.section, s}
		all = append(all, w)
	}
	all = append(all, e.tcpForwards("TCPClientTunnel", p.TCPClient, false)...)
	all = append(all, e.tcpForwards("TCPServerTunnel", p.TCPServer, true)...)
	all = append(all, e.udpForwards("UDPProxyTunnel", p.UDPClient, false)...)
	all = append(all, e.udpForwards("UDPServerTunnel", p.UDPServer, true)...)
	if s := p.STDIO; s != nil {
		all = append(all, e.stdio(s))
	}
	if r := &cfg.Router; r.SubnetRouter.On() {
		all = append(all, wantedService{
			section: "Router", line: r.SubnetRouter.Line, target: r.SubnetRouter.String(), key: subnetKey{r.SubnetRouterPerPeer},
			place: "transit",
			open:  func() (service, error) { return opened(proxy.NewSubnetRouter(n, e.subnetOptions(r))) },
		})
	}
	return all
}

// tcpForwards are [TCPClientTunnel] or, inside the tunnel, [TCPServerTunnel].
func (e *Engine) tcpForwards(section string, list []config.TCPForward, inside bool) []wantedService {
	var all []wantedService
	for _, s := range list {
		w := wantedService{section: section, line: s.Line, listen: s.BindAddress.String(), target: s.Target.String()}
		w.place = side(inside) + " tcp " + w.listen
		w.open = func() (service, error) {
			o := &proxy.TCPForwardOptions{Listen: w.listen, Target: w.target, Limits: limits(s.MaxConnections, s.MaxPerClient), Logger: e.logOf(roomlog.Proxy)}
			if inside {
				return opened(proxy.ListenTCPServer(e.Net(), o))
			}
			return opened(proxy.ListenTCPClient(e.Net(), o))
		}
		s.Line = 0
		w.key = sectionOf[config.TCPForward]{section, s}
		all = append(all, w)
	}
	return all
}

// udpForwards are [UDPProxyTunnel] or, inside the tunnel, [UDPServerTunnel].
func (e *Engine) udpForwards(section string, list []config.UDPForward, inside bool) []wantedService {
	var all []wantedService
	for _, s := range list {
		w := wantedService{section: section, line: s.Line, listen: s.BindAddress.String(), target: s.Target.String()}
		w.place = side(inside) + " udp " + w.listen
		w.open = func() (service, error) {
			o := &proxy.UDPForwardOptions{Listen: w.listen, Target: w.target, Limits: limits(s.MaxConnections, s.MaxPerClient), Logger: e.logOf(roomlog.Proxy)}
			switch {
			case s.InactivityTimeoutSet && s.InactivityTimeout == 0:
				o.InactivityTimeout = -1 // never
			case s.InactivityTimeoutSet:
				o.InactivityTimeout = s.InactivityTimeout
			}
			if inside {
				return opened(proxy.ListenUDPServer(e.Net(), o))
			}
			return opened(proxy.ListenUDPClient(e.Net(), o))
		}
		s.Line = 0
		w.key = sectionOf[config.UDPForward]{section, s}
		all = append(all, w)
	}
	return all
}

func (e *Engine) stdio(s *config.STDIO) wantedService {
	target := s.Target.String()
	return wantedService{
		section: "STDIOTunnel", line: s.Line, target: target, key: sectionOf[string]{"STDIOTunnel", target}, last: true,
		open: func() (service, error) {
			if e.opts.Stdin == nil || e.opts.Stdout == nil {
				return nil, errors.New("there is no standard input and output to connect; run it with \"router up\"")
			}
			return opened(proxy.NewSTDIO(e.Net(), &proxy.STDIOOptions{Target: target, In: e.opts.Stdin, Out: e.opts.Stdout, Logger: e.logOf(roomlog.Proxy)}))
		},
	}
}

func (e *Engine) subnetOptions(r *config.Router) *proxy.SubnetRouterOptions {
	o := &proxy.SubnetRouterOptions{
		Any:      r.SubnetRouter.Any,
		Prefixes: r.SubnetRouter.Prefixes,
		PeerOf: func(a netip.Addr) (any, bool) {
			key, ok := e.allowed.ownerOf(a)
			return key, ok
		},
		Logger: e.logOf(roomlog.Proxy),
	}
	o.TCP.PerClient, o.UDP.PerClient = r.SubnetRouterPerPeer, r.SubnetRouterPerPeer
	return o
}

// side is where a forward listens.
func side(inside bool) string {
	if inside {
		return "tunnel"
	}
	return "host"
}

func limits(total, perClient int) proxy.Limits {
	return proxy.Limits{Total: total, PerClient: perClient}
}

// opened keeps a nil pointer from becoming an interface that is not nil.
func opened[S service](s S, err error) (service, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// updateServices makes proxies, forwards and the subnet router those of cfg. What a
// running subnet router lets through changes only if told that it differs.
func (e *Engine) updateServices(cfg *config.Config, subnetDiffers bool) error {
	if e.netdev == nil {
		return nil
	}
	err := e.services.update(e.wantedServices(cfg))
	if !subnetDiffers {
		return err
	}
	e.services.each(func(r *runningService) {
		if s, ok := r.service.(*proxy.SubnetRouter); ok {
			err = errors.Join(err, s.Reconfigure(e.subnetOptions(&cfg.Router)))
		}
	})
	return err
}

// dnsServers are the name servers of the configuration, asked through the tunnel.
func dnsServers(in *config.Interface) []netip.AddrPort {
	out := make([]netip.AddrPort, len(in.DNS))
	for i, a := range in.DNS {
		out[i] = netip.AddrPortFrom(a, 53)
	}
	return out
}

// preference is which family of addresses a name is tried with first.
func preference(s config.ResolveStrategy) resolver.Preference {
	switch s {
	case config.ResolveIPv4:
		return resolver.PreferIPv4
	case config.ResolveIPv6:
		return resolver.PreferIPv6
	}
	return resolver.PreferAuto
}
