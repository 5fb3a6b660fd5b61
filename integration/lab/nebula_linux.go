// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"net/netip"
	"path/filepath"
)

// Nebula is a tunnel that is no WireGuard: certificates instead of keys, a file
// of its own, no control socket, AES-256-GCM by default.

// NebulaVersion is the newest that builds with Go 1.26 from what the module
// proxy has (2026-11-22): v1.12.0 wants Go 1.27.3, and v1.11.2 a module that the
// proxy does not serve.
const NebulaVersion = "v1.11.1"

const nebulaModule = "github.com/slackhq/nebula"

// A Nebula is what running Nebula takes beside the program.
type Nebula struct {
	Cert string // path of nebula-cert
	// Buffers asks for socket buffers of the size that its example has. By
	// default they are the kernel's, of about 200 KB, which TCP fills.
	Buffers bool
}

// Nebula returns the program, with the dependencies of its own release.
func (p *Programs) Nebula(t T) (path string, n *Nebula) {
	t.Helper()
	return p.install(t, nebulaModule+"/cmd/nebula", NebulaVersion),
		&Nebula{Cert: p.install(t, nebulaModule+"/cmd/nebula-cert", NebulaVersion)}
}

// startNebula is [StartPair] for Nebula: IPv4 in the tunnel, no lighthouse, each
// end knows where the other is; what the options do not say is its default.
func startNebula(o TunnelOptions) (a, b *Process) {
	o.HostA.t.Helper()
	dir := o.HostA.t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	cert, buffers := o.A.Nebula.Cert, ""
	if o.A.Nebula.Buffers {
		buffers = ", read_buffer: 10485760, write_buffer: 10485760"
	}
	o.HostA.Output(cert, "ca", "-name", "lab", "-out-crt", file("ca.crt"), "-out-key", file("ca.key"))
	start := func(h *Host, path string, inner, otherInner, outer, otherOuter netip.Addr) *Process {
		h.Output(cert, "sign", "-name", h.Name, "-networks", inner.String()+"/24",
			"-ca-crt", file("ca.crt"), "-ca-key", file("ca.key"), "-out-crt", file(h.Name+".crt"), "-out-key", file(h.Name+".key"))
		const config = "/etc/nebula.yml"
		h.WriteFile(config, fmt.Sprintf(nebulaConfig,
			file("ca.crt"), file(h.Name+".crt"), file(h.Name+".key"),
			otherInner, netip.AddrPortFrom(otherOuter, Port), outer, Port, buffers, o.mtu()), 0o600)
		return h.Start(Command{Path: path, Args: []string{"-config", config}})
	}
	a = start(o.HostA, o.A.Path, TunnelA4, TunnelB4, o.OuterA, o.OuterB)
	b = start(o.HostB, o.B.Path, TunnelB4, TunnelA4, o.OuterB, o.OuterA)
	for _, end := range []struct {
		h *Host
		p *Process
	}{{o.HostA, a}, {o.HostB, b}} {
		Wait(end.h.t, Patience, "nebula on "+end.h.Name, func() error {
			if !end.p.Running() {
				end.h.t.Fatalf("host %s: the program ended: %s", end.h.Name, end.p.Output())
			}
			if !end.h.HasLink("wg0") {
				return fmt.Errorf("no interface: %s", end.p.Output())
			}
			return nil
		})
	}
	return a, b
}

const nebulaConfig = `pki: { ca: %s, cert: %s, key: %s }
static_host_map: { "%s": ["%s"] }
lighthouse: { am_lighthouse: false, hosts: [] }
listen: { host: "%s", port: %d%s }
tun: { dev: wg0, mtu: %d }
logging: { level: warning }
firewall:
  outbound: [{ port: any, proto: any, host: any }]
  inbound: [{ port: any, proto: any, host: any }]
`
