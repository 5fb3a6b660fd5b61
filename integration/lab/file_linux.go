// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"strings"
)

// File returns the options as a configuration file for "router up", with the
// sections that only the router knows behind the others.
func (o DeviceOptions) File(sections string) string {
	o.setDefaults()
	var b strings.Builder
	line := func(key string, value any) { fmt.Fprintf(&b, "%s = %v\n", key, value) }
	b.WriteString("[Interface]\n")
	line("PrivateKey", o.PrivateKey)
	line("ListenPort", o.ListenPort)
	line("MTU", o.MTU)
	if o.FwMark != 0 {
		line("FwMark", o.FwMark)
	}
	if len(o.Addresses) > 0 {
		line("Address", strings.Join(o.Addresses, ", "))
	}
	if len(o.DNS) > 0 {
		line("DNS", strings.Join(o.DNS, ", "))
	}
	for _, p := range o.Peers {
		b.WriteString("\n[Peer]\n")
		line("PublicKey", p.PublicKey)
		if p.PresharedKey != (Key{}) {
			line("PresharedKey", p.PresharedKey)
		}
		line("AllowedIPs", strings.Join(p.AllowedIPs, ", "))
		if p.Endpoint.IsValid() {
			line("Endpoint", p.Endpoint)
		}
		if p.Keepalive != 0 {
			line("PersistentKeepalive", p.Keepalive)
		}
	}
	b.WriteString("\n" + sections)
	return b.String()
}

// startFile is [StartDevice] for the router with sections of its own, which only
// a file can have: "router up" does what the lab does for other programs.
func startFile(h *Host, im Implementation, o DeviceOptions) *Device {
	h.t.Helper()
	h.WriteFile("/etc/wireguard/"+o.Name+".conf", o.File(im.Sections), 0o600)
	level := "debug"
	if o.Quiet {
		level = "info" // with what the lab waits for
	}
	d := &Device{Host: h, Name: o.Name, PrivateKey: o.PrivateKey}
	d.Process = h.Start(Command{Path: im.Path, Args: []string{"up", "--log-level", level, o.Name}, Env: o.Env})
	Wait(h.t, Patience, "router up on "+h.Name, func() error {
		if !d.Process.Running() {
			h.t.Fatalf("host %s: router up ended:\n%s", h.Name, d.Process.Output())
		}
		if output := d.Process.Output(); !strings.Contains(output, routerStarted) {
			return fmt.Errorf("output:\n%s", output)
		}
		return nil
	})
	d.WaitReady()
	return d
}
