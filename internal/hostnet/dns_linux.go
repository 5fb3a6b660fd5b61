// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// resolvconfTimeout bounds taking a DNS record back, which is done even if the
// caller's context has ended.
const resolvconfTimeout = 30 * time.Second

// interfaceOrder exists with Debian's resolvconf only.
const interfaceOrder = "/etc/resolvconf/interface-order"

// resolvconfName returns the name of the record for an interface.
func resolvconfName(name string) string {
	f, err := os.Open(interfaceOrder)
	if err != nil {
		return name
	}
	defer f.Close()
	return recordPrefix(f) + name
}

// setDNS registers the name servers of o, or takes back those registered.
func (s *State) setDNS(ctx context.Context, o *Options) error {
	if len(o.DNS) == 0 {
		if len(o.DNSSearch) > 0 {
			s.log.Warn("dns search domains without a dns server are left out", "interface", s.name)
		}
		return s.removeDNS(ctx)
	}
	want := &dnsRecord{name: resolvconfName(s.name), servers: o.DNS, search: o.DNSSearch}
	if s.did.dns.equal(want) {
		return nil
	}
	err := s.step(ctx, "set dns", "of "+s.name, func() error {
		err := s.resolvconf(ctx, want.text(), "-a", want.name, "-m", "0", "-x")
		if err != nil && s.did.dns == nil {
			// It may have got half way. What it says now, it has said before.
			back, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolvconfTimeout)
			defer cancel()
			_ = s.resolvconf(back, "", "-d", want.name, "-f")
		}
		return err
	})
	if err == nil {
		s.did.dns = want
	}
	return err
}

func (s *State) removeDNS(ctx context.Context) error {
	if s.did.dns == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolvconfTimeout)
	defer cancel()
	err := s.step(ctx, "remove dns", "of "+s.name, func() error { return s.resolvconf(ctx, "", "-d", s.did.dns.name, "-f") })
	if err == nil {
		s.did.dns = nil
	}
	return err
}

// resolvconf runs resolvconf, or systemd's resolvectl under that name, by which
// it takes the same arguments.
func (s *State) resolvconf(ctx context.Context, input string, args ...string) error {
	path, err := exec.LookPath("resolvconf")
	if err != nil {
		path, err = exec.LookPath("resolvectl")
	}
	if err != nil {
		return hint(errors.New("there is no program resolvconf"), "install openresolv or systemd-resolved, or take DNS out of the configuration")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0] = "resolvconf"
	cmd.Stdin = strings.NewReader(input)
	if err := s.run.run(ctx, cmd); err != nil {
		return fmt.Errorf("resolvconf: %w", err)
	}
	return nil
}
