// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/tunrouter/tunrouter/netstack/resolver"
)

// Resolver returns the host's resolver. DialContext asks it for names unless
// Options.LookupHost is set. What it has learned is lost in SetResolver.
func (n *Net) Resolver() *resolver.Resolver { return n.resolver }

// SetResolver replaces Options.DNS, Search and Prefer. Lookups under way end
// with what they began with. Nothing changes when servers has an address that
// no host can have.
func (d *Device) SetResolver(servers []netip.AddrPort, search []string, prefer resolver.Preference) error {
	if err := checkDNS(servers); err != nil {
		return fmt.Errorf("netstack: %w", err)
	}
	if d.net.check() != nil {
		return os.ErrClosed
	}
	d.net.resolver.Reconfigure(&resolver.Options{Servers: servers, Search: search, Prefer: prefer})
	return nil
}

// setResolver makes names known to n: by o.LookupHost, or by DNS through d.
func (n *Net) setResolver(d *Device, o *Options) {
	n.resolver = resolver.New(n.DialContext, &resolver.Options{
		Servers:  o.DNS,
		Search:   o.Search,
		Prefer:   o.Prefer,
		Families: d.families,
		Logger:   o.Logger,
	})
	n.lookup = o.LookupHost
	if n.lookup == nil {
		n.lookup = n.resolver.LookupNetIP
	}
}

// families reports which families the device has addresses of.
func (d *Device) families() (v4, v6 bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.addresses {
		v4 = v4 || a.Is4()
		v6 = v6 || a.Is6() && !a.IsLinkLocalUnicast() // which no name has
	}
	return v4, v6
}

// checkDNS returns an error for each server that no host can be.
func checkDNS(servers []netip.AddrPort) error {
	var errs []error
	for _, s := range servers {
		if a := s.Addr().Unmap(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			errs = append(errs, fmt.Errorf("name server %v: not the address of a host", s))
		}
	}
	return errors.Join(errs...)
}
