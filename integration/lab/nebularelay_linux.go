// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net/netip"
	"path/filepath"
)

// nebulaRelay is the address of the relay inside the tunnel. With Nebula a relay is
// a member of the network, and only a lighthouse can say who is reached over it: it
// is both.
var nebulaRelay = netip.MustParseAddr("10.77.0.254")

// startNebula is [StartRelayed] for Nebula.
func (r *RelayedTunnel) startNebula(o RelayedOptions) {
	t := r.HostR.t
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	cert := o.Program.Nebula.Cert
	r.HostR.Output(cert, "ca", "-name", "lab", "-out-crt", file("ca.crt"), "-out-key", file("ca.key"))
	buffers := ""
	if o.Program.Nebula.Buffers {
		buffers = ", read_buffer: 10485760, write_buffer: 10485760"
	}
	start := func(h *Host, inner netip.Addr, sections string) *Process {
		h.Output(cert, "sign", "-name", h.Name, "-networks", inner.String()+"/24",
			"-ca-crt", file("ca.crt"), "-ca-key", file("ca.key"), "-out-crt", file(h.Name+".crt"), "-out-key", file(h.Name+".key"))
		const config = "/etc/nebula.yml"
		mtu := TunnelOptions{MTU: o.MTU}.mtu()
		h.WriteFile(config, fmt.Sprintf(nebulaRelayConfig, file("ca.crt"), file(h.Name+".crt"), file(h.Name+".key"), Port, buffers, mtu)+sections, 0o600)
		p := h.Start(Command{Path: o.Program.Path, Args: []string{"-config", config}})
		Wait(t, Patience, "nebula on "+h.Name, func() error {
			if !p.Running() {
				t.Fatalf("host %s: the program ended: %s", h.Name, p.Output())
			}
			if !h.HasLink("wg0") {
				return fmt.Errorf("no interface: %s", p.Output())
			}
			return nil
		})
		return p
	}
	r.Relay = start(r.HostR, nebulaRelay, `lighthouse: { am_lighthouse: true }
relay: { am_relay: true, use_relays: false }
`)
	client := func(outer netip.Addr) string {
		return fmt.Sprintf(`static_host_map: { "%[1]s": ["%[2]s"] }
lighthouse: { am_lighthouse: false, interval: 10, hosts: ["%[1]s"] }
relay: { am_relay: false, use_relays: true, relays: ["%[1]s"] }
`, nebulaRelay, netip.AddrPortFrom(outer, Port))
	}
	r.A = start(r.HostA, TunnelA4, client(RouterA4))
	r.C = start(r.HostC, TunnelB4, client(RouterC4))
}

const nebulaRelayConfig = `pki: { ca: %s, cert: %s, key: %s }
listen: { host: "0.0.0.0", port: %d%s }
tun: { dev: wg0, mtu: %d }
logging: { level: warning }
firewall:
  outbound: [{ port: any, proto: any, host: any }]
  inbound: [{ port: any, proto: any, host: any }]
`
