// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"io"
	"io/fs"
	"net/netip"
	"time"
)

const MainTable = tableMain

// Plan is a plan in a form that tests can compare.
type Plan struct {
	Addresses, Routes []netip.Prefix
	Table             uint32
	Default4          bool
	Default6          bool
	Skipped, Leak     bool
}

// NewPlan normalizes o and plans it. here and elsewhere say where IPv6 works.
func NewPlan(o *Options, table uint32, here, elsewhere bool) (Plan, error) {
	n, err := o.normalized()
	if err != nil {
		return Plan{}, err
	}
	p := newPlan(n, table, ipv6Support{here: here, elsewhere: elsewhere})
	out := Plan{Addresses: p.addresses, Default4: p.defaults[v4], Default6: p.defaults[v6], Skipped: p.skipped, Leak: p.leak}
	for _, r := range p.routes {
		out.Routes = append(out.Routes, r.prefix)
		out.Table = r.table
	}
	return out, nil
}

func ProbeIPv6(root fs.FS, name string) (here, elsewhere bool) {
	s := probeIPv6(root, name)
	return s.here, s.elsewhere
}

func Debounce(ctx context.Context, events <-chan struct{}, wait time.Duration, f func()) {
	debounce(ctx, events, wait, f)
}

func DNSText(servers []netip.Addr, search []string) string {
	return (&dnsRecord{servers: servers, search: search}).text()
}

func RecordPrefix(interfaceOrder io.Reader) string { return recordPrefix(interfaceOrder) }

func StepError(op, subject string, err error) error { return stepError(op, subject, err) }

func Hint(err error, remedy string) error { return hint(err, remedy) }

var (
	ComputeMTU     = computeMTU
	Covered        = covered
	ExpandHook     = expandHook
	HookArgs       = hookArgs
	ParseTables    = parseTables
	ResolveTable   = resolveTable
	RulePriorities = rulePriorities
)
